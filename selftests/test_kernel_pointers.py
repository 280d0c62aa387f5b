"""Pointers to kernel structures: from the current task they lead to everybody's memory.

The verifier lets programs with CAP_PERFMON follow them. A filter's loader needs CAP_SYS_PTRACE in
the initial user namespace as well, like for everything else that reads the memory of tasks that are
not dumpable.
"""

from __future__ import annotations

import errno
import socket

import pytest

from selftests.harness import child, kernel_btf, privileges, seccomp, token, uapi
from selftests.harness.asm import R0, R1, R2, Source, call, imm64, load, mov, on_syscall, ret
from selftests.harness.bpf import BpfError, prog_load
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, NR

pytestmark = [pytest.mark.patch(2, 10), pytest.mark.usefixtures("state_allowed")]

FOLLOWED = uapi.SECCOMP_RET_ERRNO | 7


def _current_task() -> tuple[str, list[Source]]:
    return "task_struct", [call(uapi.BPF_FUNC_get_current_task_btf), load(8, R1, R0, 0)]


def _run_queue() -> tuple[str, list[Source]]:
    """A per-CPU variable of the kernel that is a structure."""
    return "rq", [
        imm64(R1, kernel_btf.variable_id("runqueues"), uapi.BPF_PSEUDO_BTF_ID),
        call(uapi.BPF_FUNC_this_cpu_ptr),
        load(4, R1, R0, 0),
    ]


WAYS = {"bpf_get_current_task_btf": _current_task, "ksym": _run_queue}
ways = pytest.mark.parametrize("way", WAYS)


def filter_that_follows(way: str) -> list[Source]:
    """It answers getppid() once it has read a structure of the kernel."""
    _, follow = WAYS[way]()
    return on_syscall(NR.getppid, *follow, mov(R2, 0), *ret(FOLLOWED))


def refusal(way: str, flags: int = 0, token_fd: int = 0) -> tuple[int, bool]:
    """Load it: 0 or an errno, and whether the log names the structure and says what is missing."""
    struct, _ = WAYS[way]()
    try:
        prog_load(filter_that_follows(way), prog_flags=flags, prog_token_fd=token_fd)
    except BpfError as error:
        said = f"'struct {struct}' access is refused to this program: needs a loader with CAP_SYS_"
        return error.errno or -1, said in error.log
    return 0, False


@ways
@pytest.mark.parametrize(
    "caps",
    [(CAP_BPF, CAP_PERFMON), (CAP_SYS_ADMIN,)],
    ids=["CAP_PERFMON", "CAP_SYS_ADMIN"],
)
def test_cap_perfmon_does_not_follow_pointers(way: str, caps: tuple[int, ...]) -> None:
    """EACCES, and the log says of which structure and what it would take."""
    assert privileges.as_user(lambda: refusal(way), *caps) == (errno.EACCES, True)


@ways
def test_a_token_does_not_follow_pointers(way: str) -> None:
    """Delegation stands for CAP_PERFMON; the user namespace's own CAP_SYS_PTRACE is not enough."""
    ours, theirs = socket.socketpair()

    def case() -> tuple[int, bool]:
        privileges.become_user()
        mine = token.obtain(theirs)
        return refusal(way, token.BPF_F_TOKEN_FD, mine.fd)

    with child.running(lambda: token.administer(ours)):
        assert child.run(case) == (errno.EACCES, True)


@ways
def test_cap_sys_ptrace_follows_pointers(way: str) -> None:
    """With it the filter is loaded, installed, and has read the structure when it answers."""

    def case() -> tuple[int, int]:
        prog = prog_load(filter_that_follows(way))
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid), errno_of(NR.getuid)

    seen = privileges.as_user(case, CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)
    assert seen == (7, 0)


@ways
def test_cap_sys_ptrace_alone_follows_nothing(way: str) -> None:
    """It is asked for in addition: without CAP_PERFMON the verifier refuses as it always has."""
    code, by_us = privileges.as_user(lambda: refusal(way), CAP_BPF, CAP_SYS_PTRACE)
    assert (code in (errno.EACCES, errno.EINVAL, errno.EPERM), by_us) == (True, False)
