# SPDX-License-Identifier: MIT
"""Files opened: path, process and user of each open, as ``strace -e trace=open,openat`` shows them.

What an attacker can still do: everything, nothing is refused. The path is what lay in memory when
the filter read it; another thread can change it before the kernel reads it again, so this is a
log and no guard. Relative paths and links are as they were given; io_uring opens files without a
system call of that name. A page that is not in memory is not read, and the record says so. Of a
process that is not dumpable nothing is read unless who loaded the filter has CAP_SYS_PTRACE.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from selftests.gallery import calls
from selftests.gallery.loaded import Events, Loaded
from selftests.harness.uapi import NR

NAME = "opened_files"
CALLS = ("open", "creat", "openat", "openat2")
"""In the order of the filter's enum."""

PATH_SIZE = 256
RECORD = struct.Struct(f"=QQQIiQq{PATH_SIZE}s")
AT_FDCWD = -100


@dataclass(frozen=True)
class Opened:
    """An open: CLOCK_MONOTONIC in ns, who, by which call, and where to. ``path`` is None if it
    could not be read, ``error`` then says why (errno). ``truncated``: it is longer than that.
    """

    time: int
    pid: int
    tid: int
    uid: int
    call: str
    dirfd: int
    flags: int
    path: str | None
    error: int = 0
    truncated: bool = False


def load() -> Loaded:
    """Log what is opened."""
    config = struct.pack("=5I", NR.audit, *map(calls.number, CALLS))
    return Loaded(NAME, config, "log_opened")


def read(events: Events, timeout: float = 0) -> Iterator[Opened]:
    """What was opened since the last time."""
    for record in events.read(timeout):
        time, ids, users, call, dirfd, flags, length, path = RECORD.unpack(record)
        yield Opened(
            time,
            ids >> 32,
            ids & 0xFFFFFFFF,
            users & 0xFFFFFFFF,
            CALLS[call],
            dirfd,
            flags,
            os.fsdecode(path[: max(length - 1, 0)]) if length >= 0 else None,
            -length if length < 0 else 0,
            # What does not fit is cut, and the last byte is NUL all the same.
            length == PATH_SIZE,
        )
