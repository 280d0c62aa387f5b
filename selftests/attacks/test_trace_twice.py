# SPDX-License-Identifier: MIT
"""Attack: let a tracer change the system call after filters have looked at it.

After SECCOMP_RET_TRACE all filters run again, from the start, on what the tracer has left
(__seccomp_filter(), kernel/seccomp.c). So a filter with state sees such a call twice.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Callable

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import (
    R1,
    R2,
    Source,
    atomic_add,
    classic_on_syscall,
    map_value,
    mov,
    on_syscall,
    ret,
)
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.lacks import SET_SYSCALL_INFO, Lacks
from selftests.harness.patches import proves
from selftests.harness.sys import address, buffer, errno_of, no_new_privs, ptrace, syscall
from selftests.harness.uapi import NR

pytestmark = [proves("program-type"), pytest.mark.usefixtures("state_allowed")]

TRACE = uapi.SECCOMP_RET_TRACE
DENY = uapi.SECCOMP_RET_ERRNO | errno.EDOM
INFO_SIZE = 88
"""struct ptrace_syscall_info (include/uapi/linux/ptrace.h)."""


def ebpf(nr: int, answer: int) -> None:
    """Answer for one system call."""
    seccomp.install(prog_load(on_syscall(nr, *ret(answer))))


def cbpf(nr: int, answer: int) -> None:
    """The same, classic."""
    seccomp.install_classic(classic_on_syscall(nr, answer))


KINDS: dict[str, Callable[[int, int], None]] = {"ebpf": ebpf, "cbpf": cbpf}


def change_call(pid: int, nr: int) -> None:
    """Give a task in PTRACE_EVENT_SECCOMP another system call to make."""
    info = buffer(bytes(INFO_SIZE))
    got = syscall(NR.ptrace, uapi.PTRACE_GET_SYSCALL_INFO, pid, INFO_SIZE, address(info))
    data = bytearray(info.raw[:INFO_SIZE])
    assert got >= 80
    # op, reserved, flags, arch, ip, sp; then nr and arguments; then the filter's data
    struct.pack_into("=Q", data, 24, nr)
    struct.pack_into("=II", data, 80, 0, 0)
    changed = buffer(bytes(data))
    try:
        syscall(NR.ptrace, uapi.PTRACE_SET_SYSCALL_INFO, pid, INFO_SIZE, address(changed))
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise Lacks(SET_SYSCALL_INFO, "ptrace request 0x4212 gives EIO") from None


def traced(prepare: Callable[[], object], to: int) -> int:
    """The errno of getppid() in a task that ``prepare`` filters, with a tracer that changes it."""

    def tracee() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        no_new_privs()
        prepare()
        os._exit(errno_of(NR.getppid))

    pid = child.start(tracee)
    os.waitpid(pid, os.WUNTRACED)
    ptrace(uapi.PTRACE_SEIZE, pid, 0, uapi.PTRACE_O_TRACESECCOMP | uapi.PTRACE_O_EXITKILL)
    os.kill(pid, signal.SIGCONT)
    while True:
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        assert os.WIFSTOPPED(status)
        if status >> 8 == signal.SIGTRAP | uapi.PTRACE_EVENT_SECCOMP << 8:
            change_call(pid, to)
            ptrace(uapi.PTRACE_CONT, pid)
            continue
        ptrace(uapi.PTRACE_CONT, pid, 0, 0 if status >> 16 else os.WSTOPSIG(status))


kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize("denier", KINDS)
@pytest.mark.parametrize("first", ["trace", "deny"])
def test_a_tracer_does_not_get_by_a_filter_that_denies(kind: str, denier: str, first: str) -> None:
    """Changed from one call to one that is denied: denied, whichever filter is below."""

    def prepare() -> None:
        steps = [(kind, NR.getppid, TRACE), (denier, NR.getuid, DENY)]
        for which, nr, answer in steps if first == "trace" else reversed(steps):
            KINDS[which](nr, answer)

    assert child.run(lambda: traced(prepare, NR.getuid)) == errno.EDOM


@kinds
def test_a_call_that_nobody_denies_goes_through_as_changed(kind: str) -> None:
    """The control: the tracer can change the call."""
    assert child.run(lambda: traced(lambda: KINDS[kind](NR.getppid, TRACE), NR.getpid)) == 0


def counting(state: Map, answer: int) -> list[Source]:
    """Count each look at getppid(), then answer."""
    return on_syscall(
        NR.getppid,
        map_value(R1, state.fd),
        mov(R2, 1),
        atomic_add(R1, 0, R2),
        *ret(answer),
    )


def test_a_filter_with_state_sees_a_traced_call_twice() -> None:
    """One call that the tracer leaves as it is counts two: a limit has to allow for it."""
    state = map_create()

    def prepare() -> None:
        seccomp.install(prog_load(counting(state, TRACE)))

    assert child.run(lambda: traced(prepare, NR.getppid)) == 0
    assert state.lookup_int() == 2


def test_a_filter_with_state_below_one_that_traces_counts_twice_too() -> None:
    """All filters run again, not only the one that asked for the tracer."""
    state = map_create()

    def prepare() -> None:
        seccomp.install(prog_load(counting(state, uapi.SECCOMP_RET_ALLOW)))
        seccomp.install_classic(classic_on_syscall(NR.getppid, TRACE))

    assert child.run(lambda: traced(prepare, NR.getppid)) == 0
    assert state.lookup_int() == 2
