# SPDX-License-Identifier: MIT
"""Attack: make more of a BPF token than was delegated.

A token stands for CAP_BPF and CAP_PERFMON where commands, map and program types are delegated
(kernel/bpf/token.c). It is never CAP_SYS_PTRACE in the initial namespace, and never global.
test_dumpability.py and test_ids.py have memory and ids.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from selftests.harness import child, lsm, privileges, token, uapi
from selftests.harness.asm import R1, Source, call, load, map_value, on_syscall, ret
from selftests.harness.bpf import Fd, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.privileges import PTRACE_SCOPE, UNPRIVILEGED_BPF, sysctl
from selftests.harness.sys import error_of
from selftests.harness.uapi import NR

pytestmark = proves("program-type")

PURE = ret(uapi.SECCOMP_RET_ALLOW)


@pytest.fixture(autouse=True)
def _users_do_not_load() -> Iterator[None]:
    """The default: what follows is the token's doing."""
    with sysctl(PTRACE_SCOPE, 1), sysctl(UNPRIVILEGED_BPF, 2):
        yield


def with_token(case: Callable[[Fd], int], progs: str = "any") -> int:
    """Call ``case`` as root of a user namespace who holds a token."""
    ours, theirs = socket.socketpair()

    def body() -> int:
        privileges.become_user()
        return case(token.obtain(theirs))

    with child.running(lambda: token.administer(ours, progs=progs)):
        return child.run(body)


def loading(program: list[Source], mine: Fd) -> int:
    """0, or why a program does not load with the token."""
    return error_of(
        lambda: prog_load(program, prog_flags=token.BPF_F_TOKEN_FD, prog_token_fd=mine.fd)
    )


def test_without_naming_the_token_nothing_loads() -> None:
    """Holding one is not enough: it has to be passed with the load."""
    assert with_token(lambda mine: error_of(lambda: prog_load(PURE)) if mine else 0) == errno.EPERM


def test_what_is_no_token_is_refused() -> None:
    """Another descriptor in its place."""

    def case(mine: Fd) -> int:
        assert mine
        with socket.socket() as other:
            return loading(PURE, Fd(socket.dup(other.fileno())))

    assert with_token(case) == errno.EINVAL


@pytest.mark.parametrize("progs", ["socket_filter", "tracing:lsm", "kprobe:xdp:cgroup_skb"])
def test_other_program_types_delegated_give_no_filters(progs: str) -> None:
    """The type has to be among those that the administrator has named."""
    assert with_token(lambda mine: loading(PURE, mine), progs) == errno.EPERM


def test_a_delegated_filter_has_state() -> None:
    """The control: maps and helpers come with the token."""
    state = map_create()

    def case(mine: Fd) -> int:
        program = on_syscall(
            NR.getppid,
            map_value(R1, state.fd),
            load(8, R1, R1, 0),
            call(uapi.BPF_FUNC_ktime_get_ns),
            *PURE,
        )
        return loading(program, mine)

    assert with_token(case, "seccomp") == 0


@proves("tier-1", "yama")
def test_yama_is_asked_about_who_holds_a_token_too() -> None:
    """Root of a child namespace has no CAP_SYS_PTRACE that counts... in his own he has."""
    with sysctl(PTRACE_SCOPE, 2):

        def case(mine: Fd) -> int:
            # All capabilities of the namespace but the one that Yama wants.
            privileges.set_caps(uapi.CAP_BPF, uapi.CAP_PERFMON)
            return loading(on_syscall(NR.getppid, call(uapi.BPF_FUNC_ktime_get_ns), *PURE), mine)

        assert with_token(case) == errno.EACCES


@proves("lsm-hook", "tier-1")
def test_an_lsm_that_denies_state_denies_it_to_who_holds_a_token() -> None:
    """The LSM's answer comes before whatever the token opens; a pure filter still loads."""

    def case(mine: Fd) -> int:
        denier.aim()
        stateful = on_syscall(NR.getppid, call(uapi.BPF_FUNC_ktime_get_ns), *PURE)
        codes = loading(stateful, mine), loading(PURE, mine)
        return codes[0] if codes[1] == 0 else -1

    with lsm.attached() as denier:
        assert with_token(case) == errno.EACCES
