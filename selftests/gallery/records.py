# SPDX-License-Identifier: MIT
"""Records of the gallery's filters as text: a line as strace has it, a JSON object, or columns.

A path is whatever bytes a process has put there. What of it cannot be printed is escaped, so that a
record is one line and a terminal takes no orders from it.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from selftests.gallery.notify_sockets import Decision
from selftests.gallery.opened_files import AT_FDCWD, Opened
from selftests.gallery.syscall_log import Call

ACCESS = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}
FLAGS = (
    # Those that contain another come before it.
    *("O_TMPFILE", "O_DIRECTORY", "O_SYNC", "O_DSYNC"),
    *("O_CREAT", "O_EXCL", "O_NOCTTY", "O_TRUNC", "O_APPEND", "O_NONBLOCK", "O_ASYNC", "O_DIRECT"),
    *("O_LARGEFILE", "O_NOFOLLOW", "O_NOATIME", "O_CLOEXEC", "O_PATH"),
)  # fmt: skip

WITH_DIRECTORY = ("openat", "openat2")
SOCKET_FLAGS = {socket.SOCK_NONBLOCK: "SOCK_NONBLOCK", socket.SOCK_CLOEXEC: "SOCK_CLOEXEC"}
NS = 10**9


@dataclass(frozen=True)
class Line:
    """What every record has. ``time``: CLOCK_MONOTONIC in ns. ``uid`` None: not told. For columns
    ``target`` is what the call is about, ``detail`` how; ``arguments`` are for a line. ``result``
    is what came of it, if that is known. ``data`` is the rest of the JSON object.
    """

    event: str
    time: int
    pid: int
    tid: int
    uid: int | None
    call: str
    arguments: tuple[str, ...]
    target: str
    detail: str
    result: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def escaped(text: str) -> str:
    """Printable text as it is; of the rest, and of quotes and backslashes, what C would have."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def open_flags(flags: int) -> list[str]:
    """The names of open(2)'s flags; what has none is a number."""
    access = flags & os.O_ACCMODE
    names = [ACCESS.get(access, hex(access))]
    rest = flags & ~os.O_ACCMODE
    for name in FLAGS:
        bits = getattr(os, name)
        # O_LARGEFILE is 0 where every file may be large.
        if bits and rest & bits == bits:
            names.append(name)
            rest &= ~bits
    return [*names, hex(rest)] if rest else names


def _errname(code: int) -> str | None:
    return errno.errorcode.get(code, str(code)) if code else None


@functools.singledispatch
def described(record: object) -> Line:
    """A record as a line. Raises TypeError for one of another kind."""
    raise TypeError(f"no text for {record!r}")


@described.register
def _(opened: Opened) -> Line:
    names = open_flags(opened.flags) if opened.call != "creat" else []
    cut = "..." if opened.truncated else ""
    path = f"? ({_errname(opened.error)})" if opened.path is None else escaped(opened.path)
    quoted = path if opened.path is None else f'"{path}"{cut}'
    here = opened.dirfd == AT_FDCWD
    relative = opened.path is not None and not opened.path.startswith("/") and not here
    directory = (
        ("AT_FDCWD" if here else str(opened.dirfd),) if opened.call in WITH_DIRECTORY else ()
    )
    return Line(
        "open",
        *(opened.time, opened.pid, opened.tid, opened.uid, opened.call),
        arguments=(*directory, quoted, *(("|".join(names),) if names else ())),
        target=f"[{opened.dirfd}]/{path}{cut}" if relative else path + cut,
        detail="|".join(name.removeprefix("O_") for name in names),
        data={
            "dirfd": None if here else opened.dirfd,
            "path": opened.path,
            "flags": names,
            "error": _errname(opened.error),
            "truncated": opened.truncated,
        },
    )


@described.register
def _(call: Call) -> Line:
    arguments = tuple(map(hex, call.args))
    return Line(
        "call",
        *(call.time, call.pid, call.tid, None, call.name),
        arguments=arguments,
        target=", ".join(arguments),
        detail="",
        data={"args": call.args},
    )


def _named(enum: Callable[[int], Any], value: int) -> str:
    try:
        return str(enum(value).name)
    except ValueError:
        return str(value)


@described.register
def _(asked: Decision) -> Line:
    family = _named(socket.AddressFamily, asked.family)
    flags = [name for bit, name in SOCKET_FLAGS.items() if asked.type & bit]
    kind = _named(socket.SocketKind, asked.type & ~sum(SOCKET_FLAGS))
    result = _errname(asked.error) or "allowed"
    return Line(
        "decision",
        *(asked.time, asked.tid, asked.tid, None, "socket"),
        arguments=(family, "|".join([kind, *flags]), str(asked.protocol)),
        target=family,
        detail=kind,
        result=result,
        data={
            "family": family,
            "type": kind,
            "flags": flags,
            "protocol": asked.protocol,
            "answer": result,
        },
    )


@dataclass(frozen=True)
class Format:
    """``header`` comes first. ``line`` takes a line and the start of time, ns. ``end`` takes a
    filter's name, how many records of it were told (None: it has none), and its counts.
    """

    line: Callable[[Line, int], str]
    end: Callable[[str, int | None, Mapping[str, int]], str]
    header: str = ""


def _seconds(line: Line, start: int) -> float:
    return (line.time - start) / NS


def _plain(line: Line, start: int) -> str:
    who = f"pid {line.pid}" if line.tid == line.pid else f"pid {line.pid} tid {line.tid}"
    user = "" if line.uid is None else f" uid {line.uid}"
    result = f" = {line.result}" if line.result else ""
    made = f"{line.call}({', '.join(line.arguments)})"
    return f"{_seconds(line, start):11.6f} {who}{user} {made}{result}"


def _plain_end(name: str, told: int | None, counts: Mapping[str, int]) -> str:
    figures = {**({} if told is None else {"told": told}), **counts}
    told_of = ", ".join(f"{word} {count}" for word, count in figures.items())
    return f"{name}: {told_of or 'counts nothing'}"


def _object(line: Line, start: int) -> str:
    head = {"event": line.event, "time": round(_seconds(line, start), 9), "call": line.call}
    who = {"pid": line.pid, "tid": line.tid, **({} if line.uid is None else {"uid": line.uid})}
    return json.dumps({**head, **who, **line.data})


def _object_end(name: str, told: int | None, counts: Mapping[str, int]) -> str:
    figures = {} if told is None else {"told": told}
    return json.dumps({"event": "end", "filter": name, **figures, **counts})


COLUMNS = "{:>11} {:>7} {:>6} {:<10} {:<26} {}"


def _row(line: Line, start: int) -> str:
    user = "" if line.uid is None else line.uid
    target = f"{line.target} = {line.result}" if line.result else line.target
    time = f"{_seconds(line, start):.6f}"
    return COLUMNS.format(time, line.pid, user, line.call, line.detail, target).rstrip()


FORMATS: Mapping[str, Format] = {
    "plain": Format(_plain, _plain_end),
    "json": Format(_object, _object_end),
    "table": Format(
        _row, _plain_end, COLUMNS.format("SECONDS", "PID", "UID", "CALL", "FLAGS", "ABOUT")
    ),
}
