# SPDX-License-Identifier: MIT
"""Ways for a program from one process to another, out of a user namespace in particular, and a
loader who has nothing but what is in one.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import classic_on_syscall
from selftests.harness.bpf import Fd, Map, Prog, bpf, map_create, pin, pinned
from selftests.harness.lacks import RETRIEVAL, Lacks
from selftests.harness.patches import proves
from selftests.harness.sys import buffer, no_new_privs, ptrace, syscall
from selftests.harness.uapi import NR
from selftests.harness.uring import Ring


@dataclass(frozen=True)
class Meeting:
    """Where loader and receiver meet: ``ready`` is what the receiver had before there was a
    loader, who has inherited it.
    """

    channel: socket.socket
    directory: Path
    ready: Fd


def _nothing() -> Fd:
    return Fd(-1)


@dataclass(frozen=True)
class Route:
    """A way for a descriptor out of a namespace: what the loader and what the receiver do.

    ``start`` starts the loader; if it shares the receiver's descriptors, what one closes is closed
    for both. ``proves``: the patches that it takes.
    """

    name: str
    give: Callable[[Prog, Meeting], None] = field(repr=False)
    take: Callable[[int, Meeting], int] = field(repr=False)
    prepare: Callable[[], Fd] = field(default=_nothing, repr=False)
    start: Callable[[Callable[[], object]], int] = field(default=child.start, repr=False)
    proves: tuple[str, ...] = ("program-type",)


def _tell(number: int, meeting: Meeting) -> None:
    """Say a number, and wait until the receiver has made something of it."""
    meeting.channel.send(struct.pack("=I", number))
    meeting.channel.recv(1)


def _told(meeting: Meeting, take: Callable[[int], int]) -> int:
    (number,) = struct.unpack("=I", meeting.channel.recv(4))
    taken = take(number)
    meeting.channel.send(b"k")
    return taken


def _send(prog: Prog, meeting: Meeting) -> None:
    socket.send_fds(meeting.channel, [b"p"], [prog.fd])


def _receive(_: int, meeting: Meeting) -> int:
    return socket.recv_fds(meeting.channel, 1, 1)[1][0]


def _tell_descriptor(prog: Prog, meeting: Meeting) -> None:
    _tell(prog.fd, meeting)


def _fetch(pid: int, meeting: Meeting) -> int:
    pidfd = os.pidfd_open(pid)
    fetched = _told(meeting, lambda theirs: syscall(NR.pidfd_getfd, pidfd, theirs, 0))
    os.close(pidfd)
    return fetched


def _pin(prog: Prog, meeting: Meeting) -> None:
    pin(prog, meeting.directory / "reader")
    meeting.channel.send(b"p")


def _unpinned(meeting: Meeting, name: str) -> Fd:
    meeting.channel.recv(1)
    found = pinned(meeting.directory / name)
    (meeting.directory / name).unlink()
    return found


def _get(_: int, meeting: Meeting) -> int:
    found = _unpinned(meeting, "reader")
    return os.dup(found.fd)


def prog_by_id(number: int) -> int:
    """BPF_PROG_GET_FD_BY_ID. Raises OSError."""
    return bpf(uapi.BPF_PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))


def _tell_id(prog: Prog, meeting: Meeting) -> None:
    _tell(prog.id, meeting)


def _by_id(_: int, meeting: Meeting) -> int:
    return _told(meeting, prog_by_id)


def _pin_array(prog: Prog, meeting: Meeting) -> None:
    table = map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4)
    table.update(prog.fd)
    pin(table, meeting.directory / "array")
    meeting.channel.send(b"p")


def _look_up(_: int, meeting: Meeting) -> int:
    array = _unpinned(meeting, "array")
    table = Map(os.dup(array.fd), 4, 4)
    # What user space finds in the array is an id.
    return prog_by_id(table.lookup_int())


def _install(prog: Prog, meeting: Meeting) -> None:
    no_new_privs()
    seccomp.install(prog)
    _tell(os.getpid(), meeting)


def _retrievable() -> Fd:
    # Before there is a loader, who would wait for ever, and keep his namespaces.
    if not Path("/proc/sys/kernel/ns_last_pid").exists():
        raise Lacks(RETRIEVAL, "GET_FILTER and its sister need CONFIG_CHECKPOINT_RESTORE")
    return _nothing()


def _retrieve(_: int, meeting: Meeting) -> int:
    def take(pid: int) -> int:
        ptrace(uapi.PTRACE_ATTACH, pid)
        os.waitpid(pid, 0)
        found = seccomp.tracer_filter(pid, 0)
        ptrace(uapi.PTRACE_DETACH, pid)
        return os.dup(found.fd)

    return _told(meeting, take)


def _tell_shared(prog: Prog, meeting: Meeting) -> None:
    # Closing prog closes it for both.
    _tell(os.dup(prog.fd), meeting)


def _take_shared(_: int, meeting: Meeting) -> int:
    return _told(meeting, lambda ours: ours)


CLONE_FILES = 0x00000400
NR_CLONE3 = 435


def _start_sharing_descriptors(function: Callable[[], object]) -> int:
    """child.start(), but with CLONE_FILES. The caller has to have no other threads."""
    # struct clone_args: flags, three places for ids, the signal at the end, and a stack: none
    arguments = struct.pack("=8Q", CLONE_FILES, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    # Garbage that both had would be collected by both, and the second time its descriptors would
    # be somebody else's.
    gc.collect()
    pid = syscall(NR_CLONE3, buffer(arguments), len(arguments))
    if pid == 0:
        gc.disable()
        child.spend(function)
    return pid


def _supervised() -> Fd:
    """Has the caller's next pidfd_getfd() wait for somebody to say what comes of it."""
    no_new_privs()
    asking = classic_on_syscall(NR.pidfd_getfd, uapi.SECCOMP_RET_USER_NOTIF)
    return Fd(seccomp.install_classic(asking, uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER))


def _add(prog: Prog, meeting: Meeting) -> None:
    notification = seccomp.receive(meeting.ready.fd)
    # struct seccomp_notif_addfd: id, flags, source, and where to, with which flags
    added = bytearray(struct.pack("=QIIII", notification.id, ADDFD_FLAG_SEND, prog.fd, 0, 0))
    fcntl.ioctl(meeting.ready, SECCOMP_IOCTL_NOTIF_ADDFD, added)


SECCOMP_IOCTL_NOTIF_ADDFD = 0x40182103
ADDFD_FLAG_SEND = 1 << 1


def _call(_: int, meeting: Meeting) -> int:  # noqa: ARG001 - nothing is said
    return syscall(NR.pidfd_getfd, -1, -1, 0)


def _ring(meeting: Meeting) -> Ring:
    assert isinstance(meeting.ready, Ring)
    return meeting.ready


def _keep(prog: Prog, meeting: Meeting) -> None:
    _ring(meeting).keep(prog.fd)
    meeting.channel.send(b"p")


def _message(prog: Prog, meeting: Meeting) -> None:
    own = Ring()
    own.keep(prog.fd)
    own.send(meeting.ready)
    meeting.channel.send(b"p")


def _take_out(_: int, meeting: Meeting) -> int:
    meeting.channel.recv(1)
    return _ring(meeting).install()


RETRIEVED = ("program-type", "retrieval")

ROUTES = (
    Route("SCM_RIGHTS", _send, _receive),
    Route("pidfd_getfd", _tell_descriptor, _fetch),
    Route("bpffs_pin", _pin, _get),
    Route("by_id", _tell_id, _by_id),
    Route("pinned_prog_array", _pin_array, _look_up),
    Route("ptrace", _install, _retrieve, prepare=_retrievable, proves=RETRIEVED),
    Route("shared_descriptors", _tell_shared, _take_shared, start=_start_sharing_descriptors),
    Route("notifier_addfd", _add, _call, prepare=_supervised),
    Route("io_uring_file", _keep, _take_out, prepare=Ring),
    Route("io_uring_message", _message, _take_out, prepare=Ring),
)

routes = pytest.mark.parametrize(
    "route",
    [pytest.param(route, id=route.name, marks=proves(*route.proves)) for route in ROUTES],
)

BY_ID = next(route for route in ROUTES if route.name == "by_id")
"""The route on which the descriptor that the loader opened, which holds his namespace as any open
file does (f_cred), ends with him.
"""

BY_DESCRIPTOR = next(route for route in ROUTES if route.name == "SCM_RIGHTS")
"""The route on which it is that very descriptor that is handed over."""


def handed_over(
    route: Route, directory: Path, give: Callable[[Callable[[Prog], None]], None]
) -> Prog:
    """A program from a process of its own, which ``give`` loads it in and is to call its argument
    with it. The process is gone when this returns.
    """
    ours, theirs = socket.socketpair()
    ready = route.prepare()

    def loader() -> None:
        give(lambda prog: route.give(prog, Meeting(theirs, directory, ready)))

    pid = route.start(loader)
    if route.start is child.start:
        theirs.close()
    prog = Prog(route.take(pid, Meeting(ours, directory, ready)))
    assert child.reap(pid).code == 0
    ready.close()
    return prog


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

    def give(hand: Callable[[Prog], None]) -> None:
        privileges.become_user()
        for _ in range(depth):
            privileges.enter_user_namespace()
        if not pids:
            hand(load())
            return
        privileges.unshare(privileges.CLONE_NEWPID)
        assert child.wait(lambda: hand(load())).code == 0

    return handed_over(route, directory, give)


def from_user(route: Route, directory: Path, load: Callable[[], Prog], *caps: int) -> Prog:
    """A program from an ordinary user with these capabilities. The loader is gone likewise."""

    def give(hand: Callable[[Prog], None]) -> None:
        privileges.become_user(privileges.NOBODY, *caps)
        hand(load())

    return handed_over(route, directory, give)
