# SPDX-License-Identifier: MIT
"""Stage 5, boot: a guest from virtme-ng, watched until it is gone.

virtme-ng puts QEMU's command line together and sets the guest up; the lab owns the streams, the
limits and the end. What virtme-ng would do with the kernel console (discard it, or mix it with the
command's stderr) is overridden: QEMU itself writes the console, the command's stdout and its stderr
to three files, which are whole even if the lab is killed.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect

from lab.core.deadline import Deadline, Exceeded
from lab.guest.launch import (
    CONSOLE_LOG,
    LAUNCHER_LOG,
    SHARE,
    STDERR_LOG,
    STDOUT_LOG,
    GuestRequest,
    launch,
    qemu_words,
    virtme_command,
)
from lab.guest.script import (
    EVENTS,
    SIGNED_ON,
    GuestCommand,
    read_status,
    write_share,
    write_shims,
)

EXITED, LOST, INTERRUPTED = "exited", "lost", "interrupted"
"""How a guest ends, beside the names of the limits (:class:`lab.core.deadline.Limits`)."""

POLL_SECONDS = 0.05
POWEROFF_SECONDS = 30.0
"""From the command's end until the guest is off, without an accelerator's factor."""


@dataclass(frozen=True)
class GuestEnd:
    """How it ended. ``status`` is the command's, None unless ``outcome`` is "exited". ``detail``
    says in a sentence what happened. ``boot_seconds``: until it signed on, None if it never did.
    """

    outcome: str
    status: int | None
    detail: str
    boot_seconds: float | None
    seconds: float


def _ignore(data: Any) -> None:
    pass


def _nothing() -> None:
    pass


@dataclass
class Listeners:
    """Called as the guest speaks: whole event lines, pieces of stdout and stderr, signing on;
    ``waiting`` all the time: what it raises ends the guest.
    """

    event: Callable[[str], None] = _ignore
    stdout: Callable[[bytes], None] = _ignore
    stderr: Callable[[bytes], None] = _ignore
    signed_on: Callable[[float], None] = _ignore
    waiting: Callable[[], None] = _nothing


@dataclass
class Tail:
    """Follows a file that somebody else appends to."""

    path: Path
    _offset: int = 0
    _rest: bytes = field(default=b"")

    def read(self) -> bytes:
        """What was appended since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data

    def lines(self) -> tuple[list[str], bool]:
        """The whole lines since the last call, and whether anything came at all."""
        data = self.read()
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "backslashreplace") for line in whole if line], bool(data)

    def rest(self) -> str:
        """An unfinished last line."""
        return self._rest.decode("utf-8", "backslashreplace")


def run_guest(
    request: GuestRequest, command: GuestCommand, listeners: Listeners | None = None
) -> GuestEnd:
    """Boot, run one command, power off. Whatever ends it, no process is left.

    Never raises for what the guest does; LabError if the launcher cannot be started.
    """
    share = request.run_dir / SHARE
    write_share(share, command)
    for log in (CONSOLE_LOG, STDOUT_LOG, STDERR_LOG):
        (request.run_dir / log).touch()
    deadline = Deadline(request.limits)
    with launch(virtme_command(request, shell=False), request.run_dir) as child:
        attendant = _Attendant(request, deadline, listeners or Listeners())
        return attendant.attend(child)


class _Attendant:
    """Watches one guest."""

    def __init__(self, request: GuestRequest, deadline: Deadline, listeners: Listeners) -> None:
        self._request = request
        self._deadline = deadline
        self._listeners = listeners
        self._share = request.run_dir / SHARE
        self._console = Tail(request.run_dir / CONSOLE_LOG)
        self._stdout = Tail(request.run_dir / STDOUT_LOG)
        self._stderr = Tail(request.run_dir / STDERR_LOG)
        self._events = Tail(self._share / EVENTS)
        self._boot_seconds: float | None = None
        self._last_console = ""

    def attend(self, child: pexpect.spawn[str]) -> GuestEnd:
        off_by: float | None = None
        while True:
            gone = _pump(child)
            self._listeners.waiting()
            self._listen()
            if gone:
                self._listen()
                return self._gone()
            if off_by is None and read_status(self._share) is not None:
                off_by = self._deadline.elapsed() + POWEROFF_SECONDS
            if off_by is not None and self._deadline.elapsed() > off_by:
                return self._gone()
            exceeded = self._deadline.exceeded()
            if exceeded and off_by is None:
                return self._exceeded(exceeded)

    def _listen(self) -> None:
        """Pass on what came; anything counts as a sign of life."""
        console, alive = self._console.lines()
        if console:
            self._last_console = console[-1].strip()
        for tail, listener in (
            (self._stdout, self._listeners.stdout),
            (self._stderr, self._listeners.stderr),
        ):
            data = tail.read()
            if data:
                alive = True
                listener(data)
        if self._boot_seconds is None and (self._share / SIGNED_ON).exists():
            self._boot_seconds = self._deadline.elapsed()
            self._deadline.sign_on()
            self._listeners.signed_on(self._boot_seconds)
        lines, came = self._events.lines()
        for line in lines:
            self._listeners.event(line)
        if alive or came:
            self._deadline.heard()

    def _gone(self) -> GuestEnd:
        status = read_status(self._share)
        if self._events.rest():
            self._listeners.event(self._events.rest())
        if status is not None:
            return self._make(EXITED, status, f"The command ended with status {status}.")
        where = "before it signed on" if self._boot_seconds is None else "while its command ran"
        words = self._words()
        return self._make(LOST, None, f"The guest was gone {where}{words}.")

    def _exceeded(self, exceeded: Exceeded) -> GuestEnd:
        texts = {
            "boot": "did not sign on",
            "silence": "said nothing on any stream",
            "total": "was not done",
        }
        detail = f"The guest {texts[exceeded.limit]} within {exceeded.seconds:g} s"
        return self._make(exceeded.limit, None, f"{detail} and was stopped{self._words()}.")

    def _words(self) -> str:
        """The last words of the launcher, else of the console."""
        try:
            text = (self._request.run_dir / LAUNCHER_LOG).read_text(errors="backslashreplace")
        except OSError:
            text = ""
        if said := qemu_words(text):
            return f"; QEMU said: {said[:300]}"
        if self._last_console:
            return f"; the console's last line: {self._last_console[:300]}"
        return "; the console is empty"

    def _make(self, outcome: str, status: int | None, detail: str) -> GuestEnd:
        boot = None if self._boot_seconds is None else round(self._boot_seconds, 2)
        return GuestEnd(outcome, status, detail, boot, round(self._deadline.elapsed(), 2))


def _pump(child: pexpect.spawn[str]) -> bool:
    """Take what the launcher says, waiting a moment; whether it is gone."""
    try:
        child.read_nonblocking(65536, timeout=POLL_SECONDS)
    except pexpect.TIMEOUT:
        return False
    except pexpect.EOF:
        return True
    return False


def run_shell(request: GuestRequest) -> None:
    """An interactive shell in the guest on the caller's terminal, until it is left.

    Kernel messages go to the run directory's console.log.
    """
    write_shims(request.run_dir / SHARE)
    (request.run_dir / CONSOLE_LOG).touch()
    size = shutil.get_terminal_size()
    dimensions = (size.lines, size.columns)
    command = virtme_command(request, shell=True)
    with launch(command, request.run_dir, dimensions=dimensions) as child:

        def resized(number: int, frame: object) -> None:  # noqa: ARG001
            now = shutil.get_terminal_size()
            child.setwinsize(now.lines, now.columns)

        before = signal.signal(signal.SIGWINCH, resized)
        try:
            child.logfile_read = None
            # Ctrl-] is left to programs in the guest; `exit` powers it off.
            child.interact(escape_character=None)
        finally:
            signal.signal(signal.SIGWINCH, before)
