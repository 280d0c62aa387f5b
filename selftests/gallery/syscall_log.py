# SPDX-License-Identifier: MIT
"""System call logging: which calls a command makes, with their arguments, by a ring buffer.

``SECCOMP_RET_LOG`` writes a line to the kernel's log, without arguments; ptrace stops the task
twice for each call. Here the task writes a record and goes on.

What an attacker can still do: everything, nothing is refused. He can drown his calls in others
until the buffer is full, which is counted. Arguments are numbers as they were at entry; memory
that they point to is not looked at. What the call came to is not seen: filters run before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from selftests.gallery import calls
from selftests.gallery.loaded import Events, Loaded

NAME = "syscall_log"
RECORD = struct.Struct("=QQII6Q")


@dataclass(frozen=True)
class Call:
    """A system call: CLOCK_MONOTONIC in ns, who made it, its name, and six arguments."""

    time: int
    pid: int
    tid: int
    name: str
    args: tuple[int, ...]


def load(wanted: Iterable[str] | None = None) -> Loaded:
    """Log calls by name, or all of them. Raises KeyError."""
    everything = wanted is None
    head = struct.pack("=II", everything, 0)
    return Loaded(NAME, head + calls.table(wanted or ()), "log_syscall")


def read(events: Events, timeout: float = 0) -> Iterator[Call]:
    """The calls that were made since the last time."""
    for record in events.read(timeout):
        time, ids, arch, number, *args = RECORD.unpack(record)
        yield Call(time, ids >> 32, ids & 0xFFFFFFFF, calls.name(number, arch), tuple(args))
