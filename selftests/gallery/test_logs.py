# SPDX-License-Identifier: MIT
"""System calls and opened files, told by a ring buffer."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from selftests.gallery import opened_files, syscall_log
from selftests.gallery.opened_files import Opened
from selftests.harness import child
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, syscall
from selftests.harness.uapi import NR

pytestmark = [proves("libbpf"), pytest.mark.usefixtures("state_allowed")]

logs = proves("program-type")
reads = proves("user-memory")


@logs
def test_a_call_is_told_with_its_arguments() -> None:
    """Name, process and all six arguments, of the calls that were asked for only."""

    def case() -> list[tuple[str, bool, tuple[int, ...]]]:
        with syscall_log.load(["getppid"]) as filter_, filter_.events() as events:
            filter_.install()
            syscall(NR.getppid, 1, 2, 3, 4, 5, 2**63 + 6)
            syscall(NR.getuid)
            return [
                (call.name, call.pid == call.tid == os.getpid(), call.args)
                for call in syscall_log.read(events)
            ]

    assert child.run(case) == [("getppid", True, (1, 2, 3, 4, 5, 2**63 + 6))]


@logs
def test_all_calls_of_a_command_are_told() -> None:
    """What a command's children do is told too, in its order."""

    def case() -> list[str]:
        with syscall_log.load() as filter_, filter_.events() as events:
            filter_.install()
            pid = subprocess.Popen(["/bin/true"])
            pid.wait()
            return [call.name for call in syscall_log.read(events) if call.pid == pid.pid]

    names = child.run(case)
    assert names.index("execve") < names.index("brk") < names.index("exit_group")
    assert names[-1] == "exit_group"


@logs
def test_what_there_is_no_room_for_is_counted() -> None:
    """The filtered task never waits for a reader, and the reader knows what he missed."""
    calls = 20_000

    def case() -> tuple[int, int]:
        with syscall_log.load(["getppid"]) as filter_, filter_.events() as events:
            filter_.install()
            for _ in range(calls):
                syscall(NR.getppid)
            return len(list(syscall_log.read(events))), filter_.counters()[0]

    told, lost = child.run(case, timeout=child.LONG)
    assert told + lost == calls
    assert lost > 0
    assert told > 1000


def opened_by(case_path: str) -> list[Opened]:
    """Open a path under the filter, in a child; what was told of it."""

    def case() -> list[Opened]:
        with opened_files.load() as filter_, filter_.events() as events:
            filter_.install()
            errno_of(NR.openat, opened_files.AT_FDCWD, case_path.encode(), os.O_RDONLY)
            return list(opened_files.read(events))

    return child.run(case)


@reads
def test_an_open_is_told_with_its_path(tmp_path: Path) -> None:
    """Path, process, user and flags, whatever comes of it: this user may not look there."""
    path = tmp_path / "not there \u00fc"

    def case() -> tuple[list[Opened], int]:
        with opened_files.load() as filter_, filter_.events() as events:
            os.setuid(1234)
            filter_.install()
            with pytest.raises(PermissionError):
                os.open(path, os.O_RDWR)
            return list(opened_files.read(events)), os.getpid()

    (told,), pid = child.run(case)
    assert (told.path, told.uid, told.pid) == (str(path), 1234, pid)
    assert (told.call, told.dirfd, told.truncated) == ("openat", opened_files.AT_FDCWD, False)
    assert told.flags & os.O_ACCMODE == os.O_RDWR


@reads
def test_the_opens_of_a_command_are_told(tmp_path: Path) -> None:
    """What a shell and its children open, by relative path as they spell it."""
    (tmp_path / "data").write_text("content")

    def case() -> list[tuple[str | None, bool]]:
        with opened_files.load() as filter_, filter_.events() as events:
            filter_.install()
            subprocess.run(
                ["/bin/sh", "-c", "cat data > copy"], cwd=tmp_path, check=True, timeout=20
            )
            found = list(opened_files.read(events))
            return [(one.path, one.pid == os.getpid()) for one in found]

    told = child.run(case)
    assert ("data", False) in told
    assert ("copy", False) in told
    assert (tmp_path / "copy").read_text() == "content"


@reads
@pytest.mark.parametrize(
    ("path", "told", "truncated"),
    [("/" + "x" * 254, "/" + "x" * 254, True), ("/" + "x" * 400, "/" + "x" * 254, True),
     ("", "", False)],
    ids=["fills", "too_long", "empty"],
)  # fmt: skip
def test_a_path_is_cut_where_the_record_ends(path: str, told: str, truncated: bool) -> None:
    """A cut path says that it may be cut."""
    (one,) = opened_by(path)
    assert (one.path, one.truncated, one.error) == (told, truncated, 0)


@reads
def test_a_path_that_cannot_be_read_is_no_path() -> None:
    """The record says why, and the call is made all the same."""

    def case() -> tuple[int, list[Opened]]:
        with opened_files.load() as filter_, filter_.events() as events:
            filter_.install()
            code = errno_of(NR.openat, opened_files.AT_FDCWD, 8, os.O_RDONLY)
            return code, list(opened_files.read(events))

    code, (one,) = child.run(case)
    assert code == errno.EFAULT
    assert (one.path, one.error) == (None, errno.EFAULT)
