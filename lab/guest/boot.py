# SPDX-License-Identifier: MIT
"""Stage 5, boot: a guest from virtme-ng, watched until it is gone.

virtme-ng puts QEMU's command line together and sets the guest up; the lab owns the streams, the
limits and the end. What virtme-ng would do with the kernel console (discard it, or mix it with the
command's stderr) is overridden: QEMU itself writes the console, the command's stdout and its stderr
to three files, which are whole even if the lab is killed.

``virtme.commands.run`` is called and not ``vng``: it takes arguments as they are, where ``vng``
passes one string through a shell.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect

from lab.core import proc
from lab.core.deadline import Deadline, Exceeded, Limits
from lab.errors import LabError
from lab.guest.kvm import qemu_words
from lab.guest.script import (
    EVENTS,
    SCRIPT,
    SHARE_TAG,
    SIGNED_ON,
    STDERR_PORT,
    STDOUT_PORT,
    GuestCommand,
    read_status,
    write_share,
    write_shims,
)
from lab.kernel.arches import Arch

CONSOLE_LOG, STDOUT_LOG, STDERR_LOG = "console.log", "stdout.log", "stderr.log"
LAUNCHER_LOG = "vng.log"
"""What virtme-ng and QEMU themselves say: nothing, if all is well."""

SHARE = "share"

EXITED, LOST, INTERRUPTED = "exited", "lost", "interrupted"
"""How a guest ends, beside the names of the limits (:class:`lab.core.deadline.Limits`)."""

POLL_SECONDS = 0.05
POWEROFF_SECONDS = 30.0
"""From the command's end until the guest is off, without an accelerator's factor."""

ROOT_FLAGS = "version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
"""As virtme-ng mounts the root, but cached: nobody changes the host's files under a guest that
reads them, and Python's start asks for the same few hundred files each time.
"""

OVERLAYS = ("/etc", "/lib", "/home", "/opt", "/srv", "/usr", "/var", "/tmp")
"""Writable in the guest, as with plain ``vng``; nothing of it reaches the host."""

SEARCH_WINDOW = 4096


@dataclass(frozen=True)
class GuestRequest:
    """A guest to boot. ``accelerator``: "kvm" or "tcg"; ``memory`` in MiB. ``run_dir`` gets the
    streams. ``name`` is the guest's host name. ``one_thread``: its processors, which are
    emulated, take turns.
    """

    image: Path
    arch: Arch
    accelerator: str
    cpus: int
    memory: int
    kernel_args: tuple[str, ...]
    run_dir: Path
    name: str
    limits: Limits
    one_thread: bool = False


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


def virtme_command(request: GuestRequest, *, shell: bool) -> list[str]:
    """The launcher's command line; with ``shell`` for an interactive guest."""
    run_dir = request.run_dir
    share = run_dir / SHARE
    command = [sys.executable, "-m", "virtme.commands.run"]
    command += ["--kimg", str(request.image), "--mods", "none", "--force-9p"]
    command += ["--arch", request.arch.name, "--qemu-bin", _qemu(request.arch)]
    command += ["--name", request.name, "--cpus", str(request.cpus)]
    command += ["--memory", f"{request.memory}M"]
    command += ["--disable-kvm"] if request.accelerator != "kvm" else []
    for directory in OVERLAYS:
        command += ["--overlay-rwdir", directory]
    arguments = [
        f"PATH={share / 'bin'}",
        f"rootflags={ROOT_FLAGS}",
        # After virtme-ng's own "quiet": the console is for everything.
        "loglevel=7",
        # Test names and the lab's own marks are more than the rate limit lets through.
        "printk.devkmsg=on",
        *request.arch.kernel_args,
        *request.kernel_args,
    ]
    for argument in arguments:
        command += ["--kopt", argument]
    if shell:
        # A panic ends the guest, as it does a command's.
        options = ["--pwd", "--disable-monitor", "--qemu-opts", "-no-reboot"]
        return [*command, *options, *_redirect("dmesg", run_dir)]
    command += ["--script-sh", shlex.join(["exec", "/bin/sh", str(share / SCRIPT)])]
    command += ["--qemu-opts", *_redirect("console", run_dir), *_ports(run_dir, share)]
    if request.one_thread:
        command += ["-accel", "tcg,thread=single"]
    return command


def _qemu(arch: Arch) -> str:
    path = shutil.which(arch.qemu)
    if path is None:
        raise LabError(f"There is no {arch.qemu}.", hint="`lab doctor --install` installs it.")
    return path


def _redirect(chardev: str, run_dir: Path) -> list[str]:
    """Send a character device that virtme-ng has set up to a file of ours."""
    return [
        *("-set", f"chardev.{chardev}.path={run_dir / CONSOLE_LOG}"),
        *("-set", f"chardev.{chardev}.append=on"),
    ]


def _ports(run_dir: Path, share: Path) -> list[str]:
    """The command's streams and the share."""
    options = ["-device", "virtio-serial-pci,id=lab"]
    for port, log in ((STDOUT_PORT, STDOUT_LOG), (STDERR_PORT, STDERR_LOG)):
        path = _quote(run_dir / log)
        options += ["-chardev", f"file,id={port},path={path},append=on"]
        options += ["-device", f"virtserialport,bus=lab.0,name={port},chardev={port}"]
    options += ["-fsdev", f"local,id=labshare,path={_quote(share)},security_model=none"]
    options += ["-device", f"virtio-9p-pci,fsdev=labshare,mount_tag={SHARE_TAG}"]
    return options


def _quote(path: Path) -> str:
    """A path in one of QEMU's comma separated options."""
    return str(path).replace(",", ",,")


@contextmanager
def _launch(command: list[str], run_dir: Path, **options: Any) -> Iterator[pexpect.spawn[str]]:
    """Start the launcher on a terminal of its own; its process group is gone when this is left."""
    scratch = run_dir / "tmp"
    scratch.mkdir(exist_ok=True)
    # virtme-ng leaves temporary files behind when it is killed: let them be ours.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    log = (run_dir / LAUNCHER_LOG).open("w", encoding="utf-8", errors="backslashreplace")
    try:
        with proc.guarded(command) as (program, *arguments):
            child = pexpect.spawn(
                program,
                arguments,
                env=environment,
                encoding="utf-8",
                codec_errors="backslashreplace",
                searchwindowsize=SEARCH_WINDOW,
                timeout=None,
                **options,
            )
            child.logfile_read = log
            child.delaybeforesend = None
            try:
                yield child
            finally:
                _end(child)
    finally:
        log.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _group(child: pexpect.spawn[str]) -> int:
    """The process group of the launcher and of the QEMU that it starts."""
    assert child.pid is not None
    return child.pid


def _end(child: pexpect.spawn[str]) -> None:
    """End the launcher and QEMU. Raises LabError if something survives SIGKILL."""
    group = _group(child)

    def reap() -> None:
        child.isalive()

    if proc.group_alive(group):
        proc.end_group(group, reap)
    child.close(force=True)
    if proc.group_alive(group):
        raise LabError(f"Processes of group {group} (QEMU) are left and cannot be killed.")


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
    with _launch(virtme_command(request, shell=False), request.run_dir) as child:
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
    with _launch(command, request.run_dir, dimensions=dimensions) as child:

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
