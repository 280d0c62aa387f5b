# SPDX-License-Identifier: MIT
"""A command under filters of the gallery, and what they tell while it runs.

The filters are loaded here, and installed by a child that then becomes the command: it gets no
descriptor of them. The records are read, and the questions answered, until the command has ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from selftests.gallery.catalogue import Chosen
from selftests.gallery.loaded import Events, Loaded
from selftests.harness.uapi import SECCOMP_FILTER_FLAG_NEW_LISTENER

FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""Exit statuses of what runs a command, if it cannot: env(1), timeout(1)."""

RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores them, which an execution keeps."""

MESSAGE_SIZE = 4096


class LaunchError(Exception):
    """The command was not started; ``status`` is the exit status that says so."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Ended:
    """How it ended: an exit status as a shell has it, 128 and more for a signal. For each filter,
    in their order: how many records it told, None if it has none, and its counters.
    """

    status: int
    told: tuple[int | None, ...]
    counters: tuple[tuple[int, ...], ...]


Tell = Callable[[Sequence[Any], int], None]
"""Takes records of filters in the order of their time, and the time of the start: CLOCK_MONOTONIC
in ns.
"""


def find_command(command: Sequence[str]) -> str:
    """The file to execute. Raises LaunchError.

    Looked for here, since a try that fails is an execution too.
    """
    path = shutil.which(command[0])
    if path is None and "/" in command[0] and Path(command[0]).exists():
        raise LaunchError(f"{command[0]!r} cannot be executed", NOT_EXECUTABLE)
    if path is None:
        raise LaunchError(f"there is no command {command[0]!r}", NOT_FOUND)
    return path


def launch(chosen: Sequence[Chosen], command: Sequence[str], tell: Tell) -> Ended:
    """Run a command under filters, of which one at most asks questions. Raises LaunchError."""
    path = find_command(command)
    with ExitStack() as stack:
        loaded = [stack.enter_context(_load(one)) for one in chosen]
        sources = [_Source(one, stack.enter_context(_events(one, in_kernel)))
                   for one, in_kernel in zip(chosen, loaded, strict=True)]  # fmt: skip
        # Files of another checkout are noticed now, and not when the command has run.
        for one, in_kernel in zip(chosen, loaded, strict=True):
            _counters(one, in_kernel)
        start = time.monotonic_ns()
        pid, listener = _start(chosen, loaded, path, command)
        if listener is not None:
            stack.callback(os.close, listener)
        with _signals(pid):
            status = _follow(pid, sources, listener, lambda records: tell(records, start))
        counters = tuple(map(_counters, chosen, loaded))
        return Ended(status, tuple(source.told for source in sources), counters)


def _load(one: Chosen) -> Loaded:
    try:
        return one.load()
    except OSError as error:
        # Without an errno it is a file that is missing.
        needs = "; it takes a kernel with the series, and the right to load programs"
        said = f"cannot load {one.filter.name}: {error}"
        raise LaunchError(said + (needs if error.errno else "")) from None


def _counters(one: Chosen, loaded: Loaded) -> tuple[int, ...]:
    """The filter's counts. Raises LaunchError if it has others than its row says."""
    names = one.filter.counts
    counters = loaded.counters() if names else ()
    if len(counters) != len(names):
        raise LaunchError(f"the compiled {one.filter.name} is not the one of this checkout")
    return counters


@contextlib.contextmanager
def _events(one: Chosen, loaded: Loaded) -> Iterator[Events | None]:
    if one.filter.records is None:
        yield None
        return
    with loaded.events() as events:
        yield events


@dataclass
class _Source:
    """Where a filter's records come from, and how many came."""

    chosen: Chosen
    events: Events | None
    count: int = 0

    @property
    def told(self) -> int | None:
        row = self.chosen.filter
        return None if row.records is row.decide is None else self.count

    def read(self) -> list[Any]:
        """What the filter has logged."""
        if self.events is None or self.chosen.filter.records is None:
            return []
        return self._counted(self.chosen.filter.records(self.events))

    def answer(self, listener: int) -> list[Any]:
        """What the supervisor decided."""
        decision = self.chosen.decide(listener)
        return self._counted([] if decision is None else [decision])

    def _counted(self, records: Iterable[Any]) -> list[Any]:
        found = list(records)
        self.count += len(found)
        return found


# --- the child ----------------------------------------------------------------------------


def _start(
    chosen: Sequence[Chosen], loaded: Sequence[Loaded], path: str, command: Sequence[str]
) -> tuple[int, int | None]:
    """The command's process id, and the listener if a filter asks. Raises LaunchError."""
    ours, theirs = socket.socketpair()
    with ours:
        pid = os.fork()
        if pid == 0:
            _become(chosen, loaded, path, command, theirs)
        theirs.close()
        # An execution closes their end.
        listeners, message = _hear(ours)
    if message:
        os.waitpid(pid, 0)
        status, _, text = message.decode(errors="backslashreplace").partition(" ")
        raise LaunchError(text, int(status))
    return pid, listeners[0] if listeners else None


def _hear(ours: socket.socket) -> tuple[list[int], bytes]:
    listeners: list[int] = []
    text = b""
    while True:
        data, fds, _, _ = socket.recv_fds(ours, MESSAGE_SIZE, 1)
        listeners += fds
        if not data:
            return listeners, text
        # What comes with a listener only carries it.
        text += b"" if fds else data


def _become(
    chosen: Sequence[Chosen],
    loaded: Sequence[Loaded],
    path: str,
    command: Sequence[str],
    parent: socket.socket,
) -> NoReturn:
    """Install the filters and execute. What goes wrong is told if the filters let it."""
    status, doing = FAILED, "cannot install the filter"
    try:
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        for one, in_kernel in zip(chosen, loaded, strict=True):
            asks = one.filter.decide is not None
            fd = in_kernel.install(SECCOMP_FILTER_FLAG_NEW_LISTENER if asks else 0)
            if asks:
                socket.send_fds(parent, [b"listener"], [fd])
        status, doing = NOT_EXECUTABLE, f"cannot execute {path}"
        os.execv(path, list(command))
    except BaseException as error:
        with contextlib.suppress(OSError):
            parent.sendall(f"{status} {doing}: {error}".encode(errors="backslashreplace"))
    finally:
        os._exit(status)


# --- the parent ---------------------------------------------------------------------------


@contextlib.contextmanager
def _signals(pid: int) -> Iterator[None]:
    """Pass on what would end this process; Ctrl-C goes to the command without that."""

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        os.kill(pid, number)

    handlers: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.SIG_IGN,
        signal.SIGQUIT: signal.SIG_IGN,
        signal.SIGTERM: pass_on,
        signal.SIGHUP: pass_on,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(
    pid: int,
    sources: Sequence[_Source],
    listener: int | None,
    tell: Callable[[Sequence[Any]], None],
) -> int:
    """Tell records until the command has ended; its status."""
    poll = select.poll()
    ended = os.pidfd_open(pid)
    poll.register(ended, select.POLLIN)
    for source in sources:
        if source.events is not None:
            poll.register(source.events, select.POLLIN)
    if listener is not None:
        poll.register(listener, select.POLLIN)
    asked = next((source for source in sources if source.chosen.filter.decide), None)
    try:
        while True:
            ready = dict(poll.poll())
            # Before the records: what was written before the end is told.
            over = ended in ready
            records = [record for source in sources for record in source.read()]
            if listener is not None and asked is not None and listener in ready:
                if ready[listener] & select.POLLIN:
                    records += asked.answer(listener)
                else:
                    # Nobody is under the filter any more.
                    poll.unregister(listener)
            if records:
                tell(sorted(records, key=lambda record: record.time))
            if over:
                return _status(os.waitpid(pid, 0)[1])
    finally:
        os.close(ended)


def _status(wait_status: int) -> int:
    """As a shell has it."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
