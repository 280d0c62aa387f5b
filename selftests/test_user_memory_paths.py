# SPDX-License-Identifier: MIT
"""User memory: a path that a filter reads at openat(), and that can change before it is used."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from selftests.harness import child, memory, seccomp
from selftests.harness.bpf import Map
from selftests.harness.memory import PAGE
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.sys import address, buffer, no_new_privs, syscall
from selftests.harness.uapi import (
    NR,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_USER_NOTIF,
    SECCOMP_USER_NOTIF_FLAG_CONTINUE,
)

pytestmark = [proves("user-memory"), pytest.mark.usefixtures("state_allowed")]

PATH_SIZE = 64
AT_FDCWD = -100 & 0xFFFF_FFFF
COULD_NOT_LOOK = errno.ENOKEY


@dataclass(frozen=True)
class Guard:
    """The filter of bpf/path_guard.bpf.c on the calling process."""

    reports: Map
    listener: int

    @property
    def seen(self) -> str:
        """The path that the filter has read last."""
        _, path = struct.unpack(f"=q{PATH_SIZE}s", self.reports.lookup())
        return str(path.partition(b"\0")[0].decode())


def guard(forbidden: str, answer: int = SECCOMP_RET_ALLOW, flags: int = 0) -> Guard:
    """Install it: EPERM for one path, ``answer`` for the others."""
    obj = BpfObject("path_guard")
    obj.set_rodata(struct.pack(f"=II{PATH_SIZE}s", NR.openat, answer, forbidden.encode()))
    obj.load()
    no_new_privs()
    listener = seccomp.install(obj.prog("guard_path"), flags)
    reports = obj.map("reports")
    obj.close()
    return Guard(reports, listener)


def open_error(path: str) -> int:
    """openat(): 0 or an errno."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return error.errno or -1
    return 0


@pytest.fixture
def paths() -> Iterator[tuple[str, str]]:
    """Two files whose short paths differ in one letter, and whose contents are "a" and "b"."""
    with tempfile.TemporaryDirectory() as directory:
        for name in "ab":
            Path(directory, name).write_text(name)
        yield f"{directory}/a", f"{directory}/b"


def test_a_path_is_read_at_openat(paths: tuple[str, str]) -> None:
    """A filter in C refuses one path and lets another pass, and reports what it has read."""
    allowed, forbidden = paths

    def case() -> list[tuple[int, str]]:
        on_guard = guard(forbidden)
        return [(open_error(path), on_guard.seen) for path in (allowed, forbidden)]

    assert child.run(case) == [(0, allowed), (errno.EPERM, forbidden)]


def test_a_path_that_cannot_be_read_can_be_denied() -> None:
    """The filter is told that it could not look, and can refuse: the kernel alone says EFAULT."""

    def case() -> int:
        guard("/nowhere")
        try:
            syscall(NR.openat, AT_FDCWD, memory.map_pages(1) + PAGE, os.O_RDONLY)
        except OSError as error:
            return error.errno or -1
        return 0

    assert child.run(case) == COULD_NOT_LOOK


def test_another_thread_changes_the_path_after_the_filter_has_looked(
    paths: tuple[str, str],
) -> None:
    """TOCTOU, step by step: the filter sees the allowed path, the kernel opens the other one."""
    allowed, forbidden = paths

    def case() -> tuple[str, bytes]:
        shared = buffer(allowed.encode() + b"\0")
        ours, theirs = socket.socketpair()

        def meanwhile() -> None:
            _, (listener, *_), _, _ = socket.recv_fds(theirs, 1, 1)
            notification = seccomp.receive(listener)
            shared[len(allowed) - 1] = b"b"
            seccomp.respond(listener, notification, flags=SECCOMP_USER_NOTIF_FLAG_CONTINUE)

        # Started before the filter is there, the thread is not under it.
        thread = threading.Thread(target=meanwhile)
        thread.start()
        on_guard = guard(forbidden, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER)
        socket.send_fds(ours, [b"l"], [on_guard.listener])
        fd = syscall(NR.openat, AT_FDCWD, address(shared), os.O_RDONLY)
        thread.join()
        return on_guard.seen, os.read(fd, 1)

    assert child.run(case) == (allowed, b"b")


ATTEMPTS = 20000


def test_the_race_for_the_path_is_won_now_and_then(paths: tuple[str, str]) -> None:
    """TOCTOU, for real: with a page shared and written by another process, the forbidden opens."""
    allowed, forbidden = paths
    page = mmap.mmap(-1, PAGE)
    page[: len(allowed)] = allowed.encode()
    letter = len(allowed) - 1

    def flip() -> None:
        while True:
            page[letter] = ord("b")
            page[letter] = ord("a")

    def case() -> set[tuple[str, str]]:
        place = ctypes.addressof(ctypes.c_char.from_buffer(page))
        # Fork does not copy the page tables of shared memory: until touched, it is not there.
        assert page[0]
        on_guard = guard(forbidden)
        outcomes = set()
        for _ in range(ATTEMPTS):
            try:
                fd = syscall(NR.openat, AT_FDCWD, place, os.O_RDONLY)
            except PermissionError:
                outcomes.add((on_guard.seen[-1], "denied"))
                continue
            outcomes.add((on_guard.seen[-1], os.read(fd, 1).decode()))
            os.close(fd)
            if len(outcomes) >= 3:
                break
        return outcomes

    with child.running(flip):
        outcomes = child.run(case)
    # Denied when it saw "b"; otherwise it saw "a", and either was opened.
    assert outcomes == {("b", "denied"), ("a", "a"), ("a", "b")}
