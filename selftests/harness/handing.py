"""Ways for a program out of a user namespace, and a loader who has nothing but what is in one."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from selftests.harness import child, privileges, uapi
from selftests.harness.bpf import Prog, bpf, pin, pinned
from selftests.harness.sys import syscall
from selftests.harness.uapi import NR


@dataclass(frozen=True)
class Route:
    """A way for a descriptor out of a namespace: what the loader and what the receiver do."""

    name: str
    give: Callable[[Prog, socket.socket, Path], None] = field(repr=False)
    take: Callable[[int, socket.socket, Path], int] = field(repr=False)


def _send(prog: Prog, channel: socket.socket, _: Path) -> None:
    socket.send_fds(channel, [b"p"], [prog.fd])


def _receive(_: int, channel: socket.socket, __: Path) -> int:
    return socket.recv_fds(channel, 1, 1)[1][0]


def _tell(prog: Prog, channel: socket.socket, _: Path) -> None:
    channel.send(struct.pack("=i", prog.fd))
    # The descriptor has to be there until it has been fetched.
    channel.recv(1)


def _fetch(pid: int, channel: socket.socket, _: Path) -> int:
    (theirs,) = struct.unpack("=i", channel.recv(4))
    pidfd = os.pidfd_open(pid)
    fetched = syscall(NR.pidfd_getfd, pidfd, theirs, 0)
    channel.send(b"k")
    return fetched


def _pin(prog: Prog, channel: socket.socket, directory: Path) -> None:
    pin(prog, directory / "reader")
    channel.send(b"p")


def _get(_: int, channel: socket.socket, directory: Path) -> int:
    channel.recv(1)
    found = pinned(directory / "reader")
    return os.dup(found.fd)


def _name(prog: Prog, channel: socket.socket, _: Path) -> None:
    channel.send(struct.pack("=I", prog.id))
    channel.recv(1)


def _by_id(_: int, channel: socket.socket, __: Path) -> int:
    (number,) = struct.unpack("=I", channel.recv(4))
    fetched = bpf(uapi.BPF_PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
    channel.send(b"k")
    return fetched


ROUTES = (
    Route("SCM_RIGHTS", _send, _receive),
    Route("pidfd_getfd", _tell, _fetch),
    Route("bpffs_pin", _pin, _get),
    Route("by_id", _name, _by_id),
)


BY_ID = next(route for route in ROUTES if route.name == "by_id")
"""The route on which the descriptor that the loader opened, which holds his namespace as any open
file does (f_cred), ends with him.
"""


def from_namespace(
    route: Route,
    directory: Path,
    load: Callable[[], Prog],
    depth: int = 1,
    pids: bool = False,
) -> Prog:
    """A program from a loader who has all capabilities, but in a user namespace of his own,
    ``depth`` levels below the caller's, and with ``pids`` in a pid namespace too. The loader is
    gone when this returns.
    """
    ours, theirs = socket.socketpair()

    def loader() -> None:
        privileges.become_user()
        for _ in range(depth):
            privileges.enter_user_namespace()
        if not pids:
            route.give(load(), theirs, directory)
            return
        privileges.unshare(privileges.CLONE_NEWPID)
        assert child.wait(lambda: route.give(load(), theirs, directory)).code == 0

    pid = child.start(loader)
    theirs.close()
    prog = Prog(route.take(pid, ours, directory))
    assert child.reap(pid).code == 0
    return prog
