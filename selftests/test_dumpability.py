# SPDX-License-Identifier: MIT
"""Dumpability: whose memory a filter may read, decided at each call, and by who has loaded it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selftests.harness import child, memory, mounts, privileges, seccomp, token
from selftests.harness.bpf import Prog, prog_load
from selftests.harness.handing import Route, from_namespace, routes
from selftests.harness.memory import (
    Filtered,
    Reading,
    filtered_by,
    load_reader,
    reading,
    refused,
    report_map,
)
from selftests.harness.objects import guest_file
from selftests.harness.patches import proves
from selftests.harness.privileges import SUID_DUMPABLE, UNPRIVILEGED_BPF, sysctl
from selftests.harness.sys import address, buffer, prctl
from selftests.harness.uapi import (
    CAP_BPF,
    CAP_PERFMON,
    CAP_SETGID,
    CAP_SETUID,
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
    BPF_FUNC_probe_read_user,
    BPF_FUNC_probe_read_user_str,
)

pytestmark = [proves("user-memory"), pytest.mark.usefixtures("state_allowed")]

BYTES, STRING = BPF_FUNC_probe_read_user, BPF_FUNC_probe_read_user_str
both_helpers = pytest.mark.parametrize("helper", [BYTES, STRING], ids=["bytes", "string"])

SECRET = b"twenty-three bytes here"
REFUSED = refused(errno.EPERM)
OFF, OWNER, ROOT = 0, 1, 2
"""What PR_GET_DUMPABLE gives: not dumpable, by its owner, by root only."""


def got_secret(seen: Reading) -> bool:
    """Did the filter get it? Otherwise it must have been refused in the way it has to be."""
    if seen == REFUSED:
        return False
    assert seen.result in (0, len(SECRET) + 1), seen
    assert seen.data == SECRET + b"\0"
    return True


class Task(Filtered):
    """The calling process under a reader, with a secret to read."""

    there = buffer(SECRET + b"\0")

    def tries(self) -> bool:
        """Have the filter read the secret."""
        return got_secret(self.read(address(self.there)))


def set_dumpable(value: int) -> None:
    """PR_SET_DUMPABLE."""
    prctl(PR_SET_DUMPABLE, value)


def task_of(loader: tuple[int, ...], helper: int = BYTES) -> Task:
    """Become an ordinary user, under a filter that one with these capabilities has loaded."""
    report = report_map()
    privileges.become_user(privileges.NOBODY, *loader)
    return Task(filtered_by(load_reader(report, helper), report).report)


CHECKED = {
    "CAP_BPF": (CAP_BPF,),
    "CAP_PERFMON": (CAP_BPF, CAP_PERFMON),
    "CAP_SYS_ADMIN": (CAP_SYS_ADMIN,),
}
checked_loaders = pytest.mark.parametrize("loader", CHECKED.values(), ids=CHECKED.keys())
"""Loaders whom nothing but dumpability allows to read: CAP_PERFMON does not go round the rule."""


def through(values: tuple[int, ...], task: Task) -> list[bool]:
    """Is the secret read, with each of these dumpabilities in turn?"""
    results = []
    for value in values:
        set_dumpable(value)
        results.append(task.tries())
    return results


@both_helpers
@checked_loaders
def test_prctl_changes_it_between_two_calls(helper: int, loader: tuple[int, ...]) -> None:
    """Dumpable, not, and again: read, EPERM and zeroes, read; the rule is looked at each time."""
    outcome = child.run(lambda: through((OWNER, OFF, OWNER), task_of(loader, helper)))
    assert outcome == [True, False, True]


@both_helpers
def test_an_unprivileged_loader_reads_what_is_dumpable(helper: int) -> None:
    """Somebody without capabilities filters by memory, his own and dumpable, and by no other."""
    with sysctl(UNPRIVILEGED_BPF, 0):
        outcome = child.run(lambda: through((OWNER, OFF, OWNER), task_of((), helper)))
    assert outcome == [True, False, True]


@both_helpers
@pytest.mark.parametrize(
    "loader", [(CAP_BPF, CAP_SYS_PTRACE), tuple(range(41))], ids=["CAP_SYS_PTRACE", "root"]
)
def test_a_loader_with_cap_sys_ptrace_reads_all(helper: int, loader: tuple[int, ...]) -> None:
    """CAP_SYS_PTRACE of the loader, in the initial namespace, makes dumpability not matter."""
    outcome = child.run(lambda: through((OWNER, OFF, OWNER), task_of(loader, helper)))
    assert outcome == [True, True, True]


def test_the_loader_counts_and_not_the_task() -> None:
    """Whoever installs and runs the filter brings no right to read, and takes none away."""

    def case(loader: tuple[int, ...], task: tuple[int, ...]) -> bool:
        report = report_map()
        prog = loaded_by(loader, lambda: load_reader(report))
        privileges.become_user(privileges.NOBODY, *task)
        set_dumpable(OFF)
        return Task(filtered_by(prog, report).report).tries()

    with_it, without = (CAP_BPF, CAP_SYS_PTRACE), (CAP_BPF,)
    assert child.run(lambda: case(without, with_it)) is False
    assert child.run(lambda: case(with_it, without)) is True


def loaded_by(caps: tuple[int, ...], load: Callable[[], Prog]) -> Prog:
    """A program that a process with these capabilities has loaded, passed on by SCM_RIGHTS."""
    ours, theirs = socket.socketpair()

    def loader() -> None:
        privileges.become_user(privileges.NOBODY, *caps)
        prog = load()
        socket.send_fds(theirs, [b"p"], [prog.fd])

    pid = child.start(loader)
    assert child.reap(pid).code == 0
    _, (fd, *_), _, _ = socket.recv_fds(ours, 1, 1)
    return Prog(fd)


# Changing ids


@pytest.mark.parametrize("suid_dumpable", [OFF, OWNER, ROOT])
def test_setresuid_changes_it(suid_dumpable: int) -> None:
    """A task that has changed its ids is as dumpable as the sysctl says; "by root" will not do."""

    def case() -> tuple[bool, int, bool, bool]:
        report = report_map()
        privileges.set_caps(CAP_BPF, CAP_SETUID, CAP_SETGID)
        task = Task(filtered_by(load_reader(report), report).report)
        before = task.tries()
        os.setresuid(1234, 1234, 1234)
        dumpable = prctl(PR_GET_DUMPABLE)
        after = task.tries()
        set_dumpable(OWNER)
        return before, dumpable, after, task.tries()

    with sysctl(SUID_DUMPABLE, suid_dumpable):
        outcome = child.run(case)
    assert outcome == (True, suid_dumpable, suid_dumpable == OWNER, True)


# exec


BINARY_SECRET = Reading(0, b"the binary's own secret\0")
"""In native/show_secret.c."""
EXIT_BASE = 40
"""It exits with this and what PR_GET_DUMPABLE gives it."""
STRANGER = 4321


@pytest.fixture
def binary() -> Iterator[Path]:
    """A binary with a secret, root's, in a place where all users can execute it."""
    with mounts.tmpfs() as directory:
        copy = Path(shutil.copy(guest_file("show_secret"), directory / "show_secret"))
        copy.chmod(0o755)
        yield copy


def exec_filtered(
    path: Path, loader: tuple[int, ...], no_new_privs: bool = True
) -> tuple[int, Reading]:
    """Dumpability of a binary that an ordinary user executes, and what a filter reads in it.

    Without ``no_new_privs`` it is root who installs the filter, so set-id bits count.
    """
    report = report_map()
    prog = loaded_by(loader, lambda: load_reader(report))

    def case() -> None:
        if no_new_privs:
            privileges.become_user()
            filtered_by(prog, report)
        else:
            seccomp.install(prog)
            privileges.become_user()
        os.execv(path, [str(path)])

    ended = child.wait(case)
    assert ended.code in {EXIT_BASE + n for n in (OFF, OWNER, ROOT)}, str(ended)
    return ended.code - EXIT_BASE, reading(report)


WITHOUT, WITH = (CAP_BPF, CAP_PERFMON), (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)
suid_dumpable_values = pytest.mark.parametrize("suid_dumpable", [OFF, OWNER, ROOT])


def expected(suid_dumpable: int) -> tuple[int, Reading]:
    """What a checked filter reads in a binary whose dumpability the sysctl decides."""
    return suid_dumpable, BINARY_SECRET if suid_dumpable == OWNER else REFUSED


@suid_dumpable_values
def test_a_readable_binary_is_read_over_exec(binary: Path, suid_dumpable: int) -> None:
    """A filter that exec inherits reads a binary that its user can read, whatever the sysctl."""
    with sysctl(SUID_DUMPABLE, suid_dumpable):
        assert exec_filtered(binary, WITHOUT) == (OWNER, BINARY_SECRET)


@suid_dumpable_values
def test_an_execute_only_binary_is_not_read_over_exec(binary: Path, suid_dumpable: int) -> None:
    """Of a binary with mode 0111 a filter gets EPERM, unless suid_dumpable=1 gives it away."""
    binary.chmod(0o111)
    with sysctl(SUID_DUMPABLE, suid_dumpable):
        assert exec_filtered(binary, WITHOUT) == expected(suid_dumpable)


@suid_dumpable_values
def test_an_execute_only_binary_is_read_for_cap_sys_ptrace(
    binary: Path, suid_dumpable: int
) -> None:
    """Mode 0111 hides nothing from a filter whose loader had CAP_SYS_PTRACE."""
    binary.chmod(0o111)
    with sysctl(SUID_DUMPABLE, suid_dumpable):
        assert exec_filtered(binary, WITH) == (suid_dumpable, BINARY_SECRET)


@suid_dumpable_values
def test_a_set_uid_binary_is_not_read_over_exec(binary: Path, suid_dumpable: int) -> None:
    """A binary that runs as somebody else is not read, though everybody can read the file."""
    os.chown(binary, STRANGER, STRANGER)
    binary.chmod(0o4755)
    with sysctl(SUID_DUMPABLE, suid_dumpable):
        assert exec_filtered(binary, WITHOUT, no_new_privs=False) == expected(suid_dumpable)


# Loaders in a user namespace of their own


@both_helpers
@routes
def test_a_loader_in_a_child_namespace_brings_no_right_to_read(route: Route, helper: int) -> None:
    """All capabilities in a child namespace: a filter passed out of it reads what is dumpable."""

    def case(directory: Path) -> list[bool]:
        report = report_map()
        prog = from_namespace(route, directory, lambda: load_reader(report, helper))
        return through((OWNER, OFF, OWNER), Task(filtered_by(prog, report).report))

    with mounts.bpffs(0o777) as directory, sysctl(UNPRIVILEGED_BPF, 0):
        assert child.run(lambda: case(directory)) == [True, False, True]


@both_helpers
def test_a_loader_with_a_token_brings_no_right_to_read(helper: int) -> None:
    """A BPF token, which stands for CAP_BPF and CAP_PERFMON, does not go round the rule."""
    ours, theirs = socket.socketpair()

    def case() -> list[bool]:
        report = report_map()
        privileges.become_user()
        mine = token.obtain(theirs)
        prog = prog_load(
            memory.reader(report, helper),
            prog_flags=token.BPF_F_TOKEN_FD,
            prog_token_fd=mine.fd,
        )
        return through((OWNER, OFF, OWNER), Task(filtered_by(prog, report).report))

    with child.running(lambda: token.administer(ours)):
        assert child.run(case) == [True, False, True]
