# SPDX-License-Identifier: MIT
"""Kernel memory: from the current task, or through the direct map, it is everybody's memory.

The verifier gives it to programs with CAP_PERFMON, in many ways. A filter's loader needs
CAP_SYS_PTRACE in the initial user namespace as well, like for everything else that reads the memory
of tasks that are not dumpable.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from selftests.harness import btf, child, kernel_btf, newer, privileges, seccomp, token, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R6,
    R10,
    Label,
    Source,
    call,
    call_label,
    exit_,
    imm64,
    jump_if,
    load,
    map_fd,
    mov,
    mov_reg,
    on_syscall,
    ret,
)
from selftests.harness.bpf import BpfError, Map, Prog, map_create, prog_load
from selftests.harness.btf import FuncInfo
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, NR

pytestmark = [proves("program-type", "user-memory"), pytest.mark.usefixtures("state_allowed")]

SEEN = uapi.SECCOMP_RET_ERRNO | 7
WITHHELD = (
    "CAP_PERFMON gives this program no kernel memory: needs a loader with CAP_SYS_PTRACE in the"
    " initial user namespace"
)


@dataclass(frozen=True)
class Filter:
    """It answers getppid() once it has seen kernel memory."""

    program: list[Source]
    info: FuncInfo | None = None
    keep: tuple[Map, ...] = ()

    def load(self, prog_flags: int = 0, prog_token_fd: int = 0) -> Prog:
        """Load it. Raises BpfError."""
        functions = self.info.fields if self.info else {}
        return prog_load(
            self.program, functions=functions, prog_flags=prog_flags, prog_token_fd=prog_token_fd
        )


@dataclass(frozen=True)
class Way:
    """A way to see kernel memory: the errno, and the verifier's words, where it is withheld.
    ``perfmon``: it takes CAP_PERFMON anywhere.
    """

    name: str
    build: Callable[[], Filter] = field(repr=False)
    code: int
    said: str
    perfmon: bool = True


def _filter(*look: Source, keep: tuple[Map, ...] = ()) -> Filter:
    return Filter(on_syscall(NR.getppid, *look, mov(R2, 0), *ret(SEEN)), keep=keep)


def _current_task() -> Filter:
    return _filter(call(uapi.BPF_FUNC_get_current_task_btf), load(8, R1, R0, 0))


def _variable(name: str) -> Filter:
    """A per-CPU variable of the kernel."""
    return _filter(
        imm64(R1, kernel_btf.variable_id(name), uapi.BPF_PSEUDO_BTF_ID),
        call(uapi.BPF_FUNC_this_cpu_ptr),
        load(4, R1, R0, 0),
    )


def _untrusted_argument() -> Filter:
    """A function that reads wherever a number of its caller's points: here, the first argument of
    the system call. It has no map, and calls no helper.
    """
    newer.need_untrusted_arguments()
    program = [
        *on_syscall(
            NR.getppid,
            load(8, R1, R6, uapi.data_arg(0)),
            call_label("peek"),
            *ret(SEEN),
        ),
        Label("peek"),
        load(1, R0, R1, 0),
        exit_(),
    ]
    return Filter(program, btf.untrusted_argument(program, "peek"))


def _map_field() -> Filter:
    state = map_create()
    # struct bpf_map begins with its operations.
    return _filter(map_fd(R1, state.fd), load(8, R2, R1, 0), keep=(state,))


def _old_stack() -> Filter:
    return _filter(load(8, R1, R10, -8))


def _address() -> Filter:
    """A bit of the stack's address, by a comparison."""
    return _filter(mov_reg(R1, R10), jump_if("gt", R1, 1 << 20, "high"), Label("high"))


WAYS = (
    Way(
        "bpf_get_current_task_btf",
        _current_task,
        errno.EPERM,
        "'struct task_struct' access is allowed only to CAP_PERFMON",
    ),
    Way(
        "structure",
        lambda: _variable("runqueues"),
        errno.EACCES,
        "kernel variables are refused to this program: needs a loader with CAP_SYS_PTRACE",
    ),
    Way(
        "number",
        lambda: _variable("bpf_prog_active"),
        errno.EACCES,
        "kernel variables are refused to this program: needs a loader with CAP_SYS_PTRACE",
        perfmon=False,
    ),
    Way(
        "untrusted argument",
        _untrusted_argument,
        errno.EPERM,
        "rdonly_untrusted_mem access is allowed only to CAP_PERFMON",
    ),
    Way("map's field", _map_field, errno.EPERM, "access is allowed only to CAP_PERFMON"),
    Way("old stack", _old_stack, errno.EACCES, "invalid read from stack"),
    Way("address compared", _address, errno.EACCES, "pointer comparison prohibited"),
)
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


def refusal(
    way: Way, ready: Filter, prog_flags: int = 0, prog_token_fd: int = 0
) -> tuple[int, bool, bool]:
    """Load it: 0 or an errno, whether CAP_PERFMON was withheld, and whether that was the reason."""
    try:
        ready.load(prog_flags, prog_token_fd)
    except BpfError as error:
        return error.errno or -1, WITHHELD in error.log, way.said in error.log
    return 0, False, False


@ways
@pytest.mark.parametrize(
    "caps",
    [(CAP_BPF, CAP_PERFMON), (CAP_SYS_ADMIN,)],
    ids=["CAP_PERFMON", "CAP_SYS_ADMIN"],
)
def test_cap_perfmon_sees_no_kernel_memory(way: Way, caps: tuple[int, ...]) -> None:
    """Refused, and the log says what was in vain, and what it would take."""
    ready = way.build()
    assert privileges.as_user(lambda: refusal(way, ready), *caps) == (way.code, True, True)


@ways
def test_a_token_sees_no_kernel_memory(way: Way) -> None:
    """Delegation stands for CAP_PERFMON; the user namespace's own CAP_SYS_PTRACE is not enough."""
    ours, theirs = socket.socketpair()
    ready = way.build()

    def case() -> tuple[int, bool, bool]:
        privileges.become_user()
        mine = token.obtain(theirs)
        return refusal(way, ready, token.BPF_F_TOKEN_FD, mine.fd)

    with child.running(lambda: token.administer(ours)):
        assert child.run(case) == (way.code, True, True)


@ways
def test_cap_sys_ptrace_sees_kernel_memory(way: Way) -> None:
    """With it the filter is loaded, installed, and has looked when it answers."""

    def case() -> tuple[int, int]:
        prog = way.build().load()
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid), errno_of(NR.getuid)

    seen = privileges.as_user(case, CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)
    assert seen == (7, 0)


@pytest.mark.parametrize("way", [way for way in WAYS if way.perfmon], ids=lambda way: way.name)
def test_cap_sys_ptrace_alone_sees_nothing(way: Way) -> None:
    """It is asked for in addition: without CAP_PERFMON the verifier refuses as it always has."""
    ready = way.build()
    code, withheld, _ = privileges.as_user(lambda: refusal(way, ready), CAP_BPF, CAP_SYS_PTRACE)
    assert (code in (errno.EACCES, errno.EINVAL, errno.EPERM), withheld) == (True, False)
