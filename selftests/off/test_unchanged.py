# SPDX-License-Identifier: MIT
"""With the series applied and its option off, a kernel is as it was.

These tests are meant to pass on the unpatched base as well (profile ``before``): together the two
runs show that nothing but what is asked for changes. The one thing that does is error-order's: what
is wrong with a filter is said before EACCES. Its tests are in test_install_errors.py.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.harness import bpf, child, objects, seccomp, uapi
from selftests.harness.asm import Classic, classic_on_syscall, classic_ret, ret
from selftests.harness.bpf import BpfError, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import (
    buffer,
    errno_of,
    error_of,
    no_new_privs,
    prctl,
    ptrace,
    syscall,
)
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

pytestmark = proves("program-type")

FLAGS = [1 << bit for bit in range(6)]
DENY = SECCOMP_RET_ERRNO | errno.EDOM


def classic(answer: int, flags: int = 0) -> int:
    """Filter getppid() with a classic program."""
    no_new_privs()
    return seccomp.install_classic(classic_on_syscall(NR.getppid, answer), flags)


# What the series would add


@pytest.mark.parametrize("others", [0, *FLAGS])
def test_the_flag_is_unknown(others: int) -> None:
    """SECCOMP_FILTER_FLAG_EXTENDED gives EINVAL, before its argument is looked at."""

    def case() -> tuple[int, int]:
        no_new_privs()
        flags = uapi.SECCOMP_FILTER_FLAG_EXTENDED | others
        mode = uapi.SECCOMP_SET_MODE_FILTER
        descriptor = buffer(struct.pack("=i", -1))
        return (
            errno_of(NR.seccomp, mode, flags, 0),
            errno_of(NR.seccomp, mode, flags, descriptor),
        )

    assert child.run(case) == (errno.EINVAL, errno.EINVAL)


@pytest.mark.parametrize("type_", range(uapi.BPF_PROG_TYPE_SECCOMP, uapi.BPF_PROG_TYPE_SECCOMP + 3))
def test_the_program_type_is_unknown(type_: int) -> None:
    """Its number is refused like any other that nobody uses."""
    with pytest.raises(BpfError) as refused:
        prog_load(ret(SECCOMP_RET_ALLOW), type_)
    assert refused.value.errno == errno.EINVAL


def test_the_ptrace_request_is_unknown() -> None:
    """0x4213 is EIO, like the request after it, which nobody has taken."""

    def case() -> tuple[int, ...]:
        with child.running(lambda: time.sleep(60)) as pid:
            ptrace(uapi.PTRACE_ATTACH, pid)
            os.waitpid(pid, 0)
            request = uapi.PTRACE_SECCOMP_GET_FILTER_EXTENDED
            return tuple(errno_of(NR.ptrace, request + n, pid, 0, 0) for n in (0, 1))

    assert child.run(case) == (errno.EIO, errno.EIO)


def test_the_kernels_types_do_not_name_it() -> None:
    """No enumerator and no function of the program type is in the kernel's BTF."""
    blob = Path("/sys/kernel/btf/vmlinux").read_bytes()
    for name in (b"seccomp_prog_ops", b"seccomp_verifier_ops", b"bpf_seccomp_prog_init"):
        assert b"\0" + name + b"\0" not in blob


def test_libbpf_finds_that_the_type_is_not_supported() -> None:
    """libbpf_probe_bpf_prog_type() answers 0."""
    answer = objects.libbpf().libbpf_probe_bpf_prog_type(uapi.BPF_PROG_TYPE_SECCOMP, None)
    # The base's own libbpf has not heard of the type either.
    assert answer in (0, -errno.EOPNOTSUPP)


# What was there before


ANSWERS = {
    "errno": (SECCOMP_RET_ERRNO | errno.E2BIG, errno.E2BIG),
    "errno that is too large": (SECCOMP_RET_ERRNO | 5000, uapi.MAX_ERRNO),
    "errno 0": (SECCOMP_RET_ERRNO, 0),
    "allow": (SECCOMP_RET_ALLOW, 0),
    "log": (uapi.SECCOMP_RET_LOG, 0),
    "trace": (uapi.SECCOMP_RET_TRACE, errno.ENOSYS),
    "notify": (uapi.SECCOMP_RET_USER_NOTIF, errno.ENOSYS),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_classic_filters_answer(name: str) -> None:
    """Each action that leaves the caller alive."""
    answer, expected = ANSWERS[name]

    def case() -> int:
        classic(answer)
        return errno_of(NR.getppid)

    assert child.run(case) == expected


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (uapi.SECCOMP_RET_KILL_PROCESS, signal.SIGSYS),
        (uapi.SECCOMP_RET_KILL_THREAD, signal.SIGSYS),
        (0x12340000, signal.SIGSYS),
    ],
)
def test_a_classic_filter_kills(answer: int, number: int) -> None:
    """KILL_PROCESS, KILL_THREAD of the only thread, and an action that does not exist."""

    def case() -> None:
        classic(answer)
        seccomp.getppid()

    assert child.wait(case).signal == number


def test_a_classic_filter_traps() -> None:
    """SECCOMP_RET_TRAP sends SIGSYS, which can be caught."""

    def case() -> list[int]:
        caught: list[int] = []
        signal.signal(signal.SIGSYS, lambda number, _: caught.append(number))
        classic(uapi.SECCOMP_RET_TRAP | 7)
        errno_of(NR.getppid)
        return caught

    assert child.run(case) == [signal.SIGSYS]


def test_classic_filters_synchronise_threads() -> None:
    """TSYNC reaches a thread that was there before."""

    def case() -> int:
        go = threading.Event()
        seen: list[int] = []

        def body() -> None:
            go.wait(20)
            seen.append(errno_of(NR.getppid))

        thread = threading.Thread(target=body)
        thread.start()
        classic(DENY, uapi.SECCOMP_FILTER_FLAG_TSYNC)
        go.set()
        thread.join(20)
        return seen[0]

    assert child.run(case) == errno.EDOM


def test_a_listener_answers_for_a_classic_filter() -> None:
    """NEW_LISTENER, one notification, one answer."""

    def case() -> int:
        listener = classic(uapi.SECCOMP_RET_USER_NOTIF, uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER)

        def supervise() -> None:
            seccomp.respond(listener, seccomp.receive(listener), value=4711)

        thread = threading.Thread(target=supervise)
        thread.start()
        result = syscall(NR.getppid)
        thread.join(20)
        return result

    assert child.run(case) == 4711


INVALID: dict[str, Callable[[], object]] = {
    "TSYNC and NEW_LISTENER": lambda: classic(SECCOMP_RET_ALLOW, 1 << 0 | 1 << 3),
    "WAIT_KILLABLE_RECV alone": lambda: classic(SECCOMP_RET_ALLOW, 1 << 5),
    "no such flag": lambda: classic(SECCOMP_RET_ALLOW, 1 << 7),
    "no instruction": lambda: seccomp.install_classic([]),
    "no such instruction": lambda: seccomp.install_classic([Classic(0xFFFF)]),
    "no return": lambda: seccomp.install_classic([Classic(0x20, 0)]),
    "flags with strict mode": lambda: syscall(NR.seccomp, 0, 1, 0),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_was_invalid_stays_invalid(name: str) -> None:
    """EINVAL, and no filter."""

    def case() -> tuple[int, str]:
        no_new_privs()
        return error_of(INVALID[name]), seccomp.status("Seccomp_filters")

    assert child.run(case) == (errno.EINVAL, "0")


def test_filters_are_counted() -> None:
    """Seccomp and Seccomp_filters in /proc/PID/status."""

    def case() -> list[tuple[str, str]]:
        seen = [(seccomp.status("Seccomp"), seccomp.status("Seccomp_filters"))]
        for _ in range(3):
            classic(SECCOMP_RET_ALLOW)
            seen.append((seccomp.status("Seccomp"), seccomp.status("Seccomp_filters")))
        return seen

    assert child.run(case) == [("0", "0"), ("2", "1"), ("2", "2"), ("2", "3")]


def test_the_limit_of_a_chain() -> None:
    """Filters of 4096 instructions, with a penalty of 4 each: seven fit into 32768, not eight."""

    def case() -> list[int]:
        no_new_privs()
        long = [Classic(0x20, 0)] * 4095 + classic_ret(SECCOMP_RET_ALLOW)
        return [error_of(lambda: seccomp.install_classic(long)) for _ in range(8)]

    assert child.run(case) == [0] * 7 + [errno.ENOMEM]


def test_prctl_installs_classic_filters() -> None:
    """PR_SET_SECCOMP, and PR_GET_SECCOMP afterwards."""

    def case() -> tuple[int, int]:
        classic(DENY)
        return errno_of(NR.getppid), prctl(21)

    assert child.run(case) == (errno.EDOM, 2)


def test_other_program_types_and_maps_work() -> None:
    """A socket filter with a map, as before."""
    state = map_create()
    prog = prog_load(ret(0), uapi.BPF_PROG_TYPE_SOCKET_FILTER)
    assert prog.id in set(bpf.ids(uapi.BPF_PROG_GET_NEXT_ID))
    assert state.lookup_int() == 0
