# SPDX-License-Identifier: MIT
"""Every flag of SECCOMP_SET_MODE_FILTER keeps its meaning beside EXTENDED."""

from __future__ import annotations

import errno
import fcntl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import classic_ret, on_syscall, ret
from selftests.harness.bpf import prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import buffer, errno_of, error_of, no_new_privs, prctl, syscall
from selftests.harness.uapi import (
    NR,
    SECCOMP_FILTER_FLAG_EXTENDED,
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)

pytestmark = proves("program-type")

DENY = on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM))


def install(flags: int = 0) -> int:
    """Install a filter that denies getppid(), with no_new_privs."""
    no_new_privs()
    return seccomp.install(prog_load(DENY), flags)


class Other:
    """A second thread that does what it is told."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._todo: Callable[[], object] = int
        self._result: list[object] = []
        self.thread = threading.Thread(target=self._body, daemon=True)
        self.thread.start()

    def _body(self) -> None:
        self._go.wait(20)
        self._result.append(self._todo())

    def call(self, function: Callable[[], object]) -> object:
        """The function's result in the other thread; once only."""
        self._todo = function
        self._go.set()
        self.thread.join(20)
        return self._result[0]


def test_without_tsync_other_threads_are_not_filtered() -> None:
    """A filter belongs to the thread that installs it."""

    def case() -> tuple[int, object]:
        other = Other()
        install()
        return errno_of(NR.getppid), other.call(lambda: errno_of(NR.getppid))

    assert child.run(case) == (errno.EDOM, 0)


def test_tsync_filters_all_threads() -> None:
    """TSYNC installs an eBPF filter on all threads, with no_new_privs."""

    def case() -> tuple[int, object, object]:
        other = Other()
        install(SECCOMP_FILTER_FLAG_TSYNC)
        result = other.call(lambda: (errno_of(NR.getppid), prctl(39)))
        return errno_of(NR.getppid), result, seccomp.status("Seccomp_filters")

    assert child.run(case) == (errno.EDOM, (errno.EDOM, 1), "1")


def diverged(flags: int) -> tuple[int, int]:
    """The result, and errno, of TSYNC beside a thread with a filter of its own; and its tid."""
    ready, done = threading.Event(), threading.Event()
    tid: list[int] = []

    def body() -> None:
        no_new_privs()
        seccomp.install_classic(classic_ret(uapi.SECCOMP_RET_ALLOW))
        tid.append(threading.get_native_id())
        ready.set()
        done.wait(20)

    thread = threading.Thread(target=body)
    thread.start()
    ready.wait(20)
    try:
        result = install(SECCOMP_FILTER_FLAG_TSYNC | flags)
    except OSError as error:
        result = -(error.errno or 1)
    finally:
        done.set()
        thread.join(20)
    return result, tid[0]


def test_tsync_names_a_thread_that_has_diverged() -> None:
    """TSYNC returns the id of a thread whose filters are others, and installs nothing."""

    def case() -> tuple[bool, int]:
        result, tid = diverged(0)
        return result == tid, errno_of(NR.getppid)

    assert child.run(case) == (True, 0)


def test_tsync_esrch_fails_instead() -> None:
    """TSYNC_ESRCH turns that into ESRCH."""
    assert child.run(lambda: diverged(SECCOMP_FILTER_FLAG_TSYNC_ESRCH)[0]) == -errno.ESRCH


@pytest.mark.parametrize(
    "flags",
    [
        SECCOMP_FILTER_FLAG_LOG,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        SECCOMP_FILTER_FLAG_TSYNC,
        SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    ],
    ids=["log", "spec-allow", "tsync", "three", "tsync-esrch"],
)
def test_flags_that_return_nothing(flags: int) -> None:
    """LOG, SPEC_ALLOW and TSYNC combine with EXTENDED; the filter works."""

    def case() -> tuple[int, int]:
        return install(flags), errno_of(NR.getppid)

    assert child.run(case) == (0, errno.EDOM)


@pytest.mark.parametrize(
    "flags",
    [
        SECCOMP_FILTER_FLAG_NEW_LISTENER,
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        SECCOMP_FILTER_FLAG_NEW_LISTENER
        | SECCOMP_FILTER_FLAG_TSYNC
        | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    ],
    ids=["alone", "wait-killable", "tsync"],
)
def test_new_listener_returns_a_listener(flags: int) -> None:
    """NEW_LISTENER returns the descriptor of a listener, closed on exec."""

    def case() -> tuple[str, int]:
        listener = install(flags)
        link = Path(f"/proc/self/fd/{listener}").readlink()
        return str(link), fcntl.fcntl(listener, fcntl.F_GETFD)

    assert child.run(case) == ("anon_inode:seccomp notify", fcntl.FD_CLOEXEC)


def test_a_second_listener_is_busy() -> None:
    """Of the filters of a task one can have a listener, whatever kinds they are."""

    def case() -> int:
        no_new_privs()
        seccomp.install_classic(
            classic_ret(uapi.SECCOMP_RET_ALLOW), SECCOMP_FILTER_FLAG_NEW_LISTENER
        )
        return error_of(lambda: install(SECCOMP_FILTER_FLAG_NEW_LISTENER))

    assert child.run(case) == errno.EBUSY


@pytest.mark.parametrize(
    "flags",
    [
        SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC,
        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        1 << 7,
        1 << 31,
    ],
    ids=["listener-tsync", "wait-killable-alone", "bit-7", "bit-31"],
)
def test_combinations_that_make_no_sense(flags: int) -> None:
    """What is EINVAL for a classic filter is EINVAL for an eBPF one, and installs nothing."""

    def case() -> tuple[int, str]:
        return error_of(lambda: install(flags)), seccomp.status("Seccomp_filters")

    assert child.run(case) == (errno.EINVAL, "0")


def test_strict_mode_does_not_take_the_flag() -> None:
    """SECCOMP_SET_MODE_STRICT has no flags."""
    code = child.run(
        lambda: errno_of(NR.seccomp, uapi.SECCOMP_SET_MODE_STRICT, SECCOMP_FILTER_FLAG_EXTENDED, 0)
    )
    assert code == errno.EINVAL


def test_prctl_takes_classic_filters_only() -> None:
    """PR_SET_SECCOMP has no flags: its argument is a struct sock_fprog."""

    def case() -> tuple[int, str]:
        prog = prog_load(DENY)
        no_new_privs()
        memory = buffer(prog.fd.to_bytes(16, "little"))
        code = error_of(lambda: syscall(NR.prctl, 22, 2, memory, 0, 0))
        return code, seccomp.status("Seccomp")

    code, mode = child.run(case)
    assert code in (errno.EINVAL, errno.EFAULT)
    assert mode == "0"
