# SPDX-License-Identifier: MIT
"""Attack: hold up the system call, and with it its task, by memory whose content comes late.

A filter that waited for a page from userfaultfd or FUSE would stop at system call entry for as long
as somebody in user space likes. Reads by filters do not fetch pages.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import struct
import time

import pytest

from selftests.harness import child, fuse, memory, uapi
from selftests.harness.memory import PAGE, Reading, filtered_by, load_reader, map_pages, report_map
from selftests.harness.patches import proves
from selftests.harness.sys import syscall
from selftests.harness.uapi import NR

pytestmark = [proves("user-memory"), pytest.mark.usefixtures("state_allowed")]

helpers = pytest.mark.parametrize(
    "helper",
    [uapi.BPF_FUNC_probe_read_user, uapi.BPF_FUNC_probe_read_user_str],
    ids=["bytes", "string"],
)

UFFD_API = 0xAA
UFFDIO_API, UFFDIO_REGISTER = 0xC018AA3F, 0xC020AA00
REGISTER_MISSING = 1
PATIENCE = 10.0
"""Seconds: a call that waited for a page would wait for ever."""


def read_in_time(helper: int, place: int) -> Reading:
    """What a filter reads there; a task that hangs is killed by the harness."""
    report = report_map()
    filtered = filtered_by(load_reader(report, helper), report)
    start = time.monotonic()
    found = filtered.read(place)
    assert time.monotonic() - start < PATIENCE
    return found


@helpers
def test_a_page_that_userfaultfd_owes(helper: int) -> None:
    """EFAULT at once, the destination is zeroes, and nobody is asked for the page."""

    def case() -> tuple[Reading, bool]:
        place = map_pages(1)
        fault = syscall(NR.userfaultfd, os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(fault, UFFDIO_API, bytearray(struct.pack("=QQQ", UFFD_API, 0, 0)))
        fcntl.ioctl(
            fault,
            UFFDIO_REGISTER,
            bytearray(struct.pack("=QQQQ", place, PAGE, REGISTER_MISSING, 0)),
        )
        found = read_in_time(helper, place)
        try:
            os.read(fault, 32)
        except BlockingIOError:
            return found, False
        return found, True

    assert child.run(case) == (memory.refused(errno.EFAULT), False)


@helpers
def test_a_page_that_a_fuse_server_owes(helper: int) -> None:
    """The same for a mapped file whose server answers no READ."""

    def case(asked: int, fd: int) -> tuple[Reading, bool]:
        place = memory.map_file(fd)
        found = read_in_time(helper, place)
        try:
            os.read(asked, 1)
        except BlockingIOError:
            return found, False
        return found, True

    with fuse.late_file() as (path, asked):
        fd = os.open(path, os.O_RDONLY)
        assert child.run(lambda: case(asked, fd)) == (memory.refused(errno.EFAULT), False)
        os.close(fd)


def test_the_fuse_server_is_asked_by_who_does_fetch_pages() -> None:
    """The control: a task that touches the page waits, and the server sees a READ."""

    def touch(fd: int) -> None:
        with mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ) as view:
            bytes(view[:1])

    with fuse.late_file() as (path, asked):
        fd = os.open(path, os.O_RDONLY)
        pid = child.start(lambda: touch(fd))
        deadline = time.monotonic() + PATIENCE
        seen = b""
        while not seen and time.monotonic() < deadline:
            try:
                seen = os.read(asked, 1)
            except BlockingIOError:
                time.sleep(0.05)
        os.close(fd)
    assert child.reap(pid).signal == signal.SIGBUS
    assert seen == b"r"
