# SPDX-License-Identifier: MIT
"""Ids: what a filter learns about who makes the system call."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from selftests.harness import child, privileges, seccomp, token
from selftests.harness.asm import (
    R0,
    R1,
    R8,
    Source,
    call,
    map_value,
    mov_reg,
    on_syscall,
    ret,
    store,
)
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.privileges import (
    CLONE_NEWPID,
    CLONE_NEWUSER,
    NOBODY,
    enter_user_namespace,
    unshare,
)
from selftests.harness.sys import no_new_privs
from selftests.harness.uapi import (
    CAP_BPF,
    CAP_SYS_ADMIN,
    NR,
    SECCOMP_RET_ALLOW,
    BPF_FUNC_get_current_pid_tgid,
    BPF_FUNC_get_current_uid_gid,
)

pytestmark = [proves("program-type"), pytest.mark.usefixtures("everybody_may_load")]

USER = 1234
PID, UID = BPF_FUNC_get_current_pid_tgid, BPF_FUNC_get_current_uid_gid


@dataclass(frozen=True)
class Ids:
    """What a helper gave: the low half (pid, uid) and the high one (tgid, gid)."""

    low: int
    high: int


def asking(helper: int, report: Map) -> list[Source]:
    """A filter that reports a helper's answer."""
    return on_syscall(
        NR.getppid,
        call(helper),
        mov_reg(R1, R0),
        map_value(R8, report.fd),
        store(8, R8, 0, R1),
        *ret(SECCOMP_RET_ALLOW),
    )


def reported(report: Map) -> Ids:
    """What the filter has reported."""
    value = report.lookup_int()
    return Ids(value & 0xFFFFFFFF, value >> 32)


def seen_by(helper: int, caps: tuple[int, ...], then: Callable[[], None]) -> Ids:
    """What a helper says, for a loader with ``caps``, of a task that has done ``then``."""
    report = map_create()
    privileges.become_user(USER, *caps)
    prog = prog_load(asking(helper, report))
    then()
    no_new_privs()
    seccomp.install(prog)
    seccomp.getppid()
    return reported(report)


def nothing() -> None:
    """Stay where we are."""


LOADERS = {
    "no_capability": ((), False),
    "CAP_BPF": ((CAP_BPF,), True),
    "CAP_SYS_ADMIN": ((CAP_SYS_ADMIN,), True),
}
loaders = pytest.mark.parametrize(("caps", "sees_all"), LOADERS.values(), ids=LOADERS.keys())


@loaders
def test_ids_outside_of_any_namespace(caps: tuple[int, ...], sees_all: bool) -> None:  # noqa: ARG001
    """In the initial namespaces every loader gets the ids that getuid() and getpid() give."""

    def case() -> bool:
        seen = seen_by(UID, caps, nothing)
        return seen == Ids(os.getuid(), os.getgid()) == Ids(USER, USER)

    assert child.run(case)

    def pid_case() -> bool:
        return seen_by(PID, caps, nothing) == Ids(os.getpid(), os.getpid())

    assert child.run(pid_case)


@loaders
def test_uid_and_gid_in_a_user_namespace(caps: tuple[int, ...], sees_all: bool) -> None:
    """A task that is root in its namespace is root to a filter whose loader lacks CAP_BPF."""
    expected = Ids(USER, USER) if sees_all else Ids(0, 0)
    assert child.run(lambda: seen_by(UID, caps, enter_user_namespace)) == expected


@loaders
def test_uid_and_gid_without_a_mapping(caps: tuple[int, ...], sees_all: bool) -> None:
    """Ids that a namespace has no name for are the overflow ids there."""
    expected = Ids(USER, USER) if sees_all else Ids(NOBODY, NOBODY)
    assert child.run(lambda: seen_by(UID, caps, lambda: unshare(CLONE_NEWUSER))) == expected


@loaders
def test_pid_and_tgid_in_a_pid_namespace(caps: tuple[int, ...], sees_all: bool) -> None:
    """The first process of a pid namespace is 1 to a filter whose loader lacks CAP_BPF."""

    def case() -> tuple[Ids, int]:
        report = map_create()
        privileges.become_user(USER, *caps)
        prog = prog_load(asking(PID, report))
        enter_user_namespace()
        unshare(CLONE_NEWPID)
        no_new_privs()
        seccomp.install(prog)
        pid = child.start(seccomp.getppid)
        assert child.reap(pid).code == 0
        return reported(report), pid

    seen, pid = child.run(case)
    assert seen == (Ids(pid, pid) if sees_all else Ids(1, 1))


@loaders
def test_a_thread_has_a_pid_of_its_own(caps: tuple[int, ...], sees_all: bool) -> None:  # noqa: ARG001
    """The low half is the thread's id, the high half the process's."""

    def case() -> tuple[Ids, Ids]:
        report = map_create()
        privileges.become_user(USER, *caps)
        prog = prog_load(asking(PID, report))
        no_new_privs()
        seccomp.install(prog)

        def in_thread() -> Ids:
            seccomp.getppid()
            return Ids(threading.get_native_id(), os.getpid())

        return child.in_thread(in_thread), reported(report)

    expected, seen = child.run(case)
    assert seen == expected
    assert seen.low != seen.high


@pytest.mark.parametrize("helper", [PID, UID], ids=["pid_tgid", "uid_gid"])
def test_a_token_does_not_bring_global_ids(helper: int) -> None:
    """The root of a user namespace who loads with a BPF token sees his namespace's ids."""
    ours, theirs = socket.socketpair()

    def case() -> Ids:
        report = map_create()
        privileges.become_user(USER)
        mine = token.obtain(theirs)
        unshare(CLONE_NEWPID)
        prog = prog_load(
            asking(helper, report), prog_flags=token.BPF_F_TOKEN_FD, prog_token_fd=mine.fd
        )
        no_new_privs()
        seccomp.install(prog)
        pid = child.start(seccomp.getppid)
        assert child.reap(pid).code == 0
        return reported(report)

    with child.running(lambda: token.administer(ours)):
        assert child.run(case) == (Ids(1, 1) if helper == PID else Ids(0, 0))
