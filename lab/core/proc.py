# SPDX-License-Identifier: MIT
"""Run external commands so that none outlives the lab.

Each command gets a process group of its own. Leaving :func:`spawn` by any way ends the group, and a
small watcher process ends it when the lab itself is killed: a parent-death signal
(prctl(2) PR_SET_PDEATHSIG) would reach the direct child only, not make's compilers.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lab.errors import LabError

TAIL_LINES = 20
"""Lines of a failed command's output that its error quotes."""

GRACE_SECONDS = 2.0
"""Between SIGTERM and SIGKILL for a process group that is ended."""

WATCHER = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
groups = set()
def send(number):
    for group in list(groups):
        try:
            os.killpg(group, number)
        except OSError:
            groups.discard(group)
for line in sys.stdin:
    send(0)
    groups.update({int(line)} - {0})
send(signal.SIGKILL)
"""
"""Reads process groups, one a line; 0 makes it only forget the groups that are gone.

At end of file, that is when the lab is gone, it kills those that are left.
"""


def have(command: str) -> bool:
    """Whether a command is on the path."""
    return shutil.which(command) is not None


@dataclass(frozen=True)
class Completed:
    """A command that ran: exit status (negative signal number if killed), output, seconds."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


class CommandError(LabError):
    """A command failed. ``completed`` has its whole output."""

    def __init__(self, completed: Completed, hint: str = "") -> None:
        self.completed = completed
        lines = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-TAIL_LINES:]
        quoted = "".join(f"\n  {line}" for line in lines)
        super().__init__(
            f"`{shlex.join(completed.args)}` {_status(completed.returncode)}" + quoted, hint
        )


def _status(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with status {returncode}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"was killed by signal {-returncode}"


class _Watcher:
    """The process that outlives the lab just long enough to end what the lab started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._ends = (-1, -1)
        self._lock = threading.Lock()

    def forget(self) -> None:
        with self._lock:
            os.write(self._pipe(), b"0\n")

    def pipe(self) -> str:
        """What a command that starts writes its process group into, by name: some starters close
        every descriptor.
        """
        with self._lock:
            return f"/proc/{os.getpid()}/fd/{self._pipe()}"

    def _pipe(self) -> int:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            for end in self._ends if self._owner == os.getpid() else ():
                os.close(end)
            # The reading end is kept here too: whoever opens the other to write would wait for ever
            # for the reader, if the watcher was killed.
            self._ends = os.pipe()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", WATCHER],
                stdin=self._ends[0],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._owner = os.getpid()
        return self._ends[1]


_watcher = _Watcher()


ANNOUNCE = 'echo $$ >"$0" && exec "$@"'
"""In the shell. A ``preexec_fn`` would have the whole interpreter copied for each command, where
subprocess otherwise uses vfork(2): ten milliseconds against one.
"""


@contextmanager
def guarded(args: Sequence[str]) -> Iterator[list[str]]:
    """What is started inside dies when this process does, even by SIGKILL.

    Yields the command line to start it by, after setsid(2). The child announces itself: a parent
    that did so once the child runs could be killed in between. Ending the group on the way out is
    the caller's, see :func:`end_group`.
    """
    try:
        yield ["/bin/sh", "-c", ANNOUNCE, _watcher.pipe(), *args]
    finally:
        _watcher.forget()


def group_alive(group: int) -> bool:
    """Whether a process of the group still runs. Zombies, which wait for their parent, do not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # proc_pid_stat(5): after the command's closing bracket state, parent, group.
            state, _, found = path.read_text().rpartition(")")[2].split()[:3]
            if int(found) == group and state not in "ZX":
                return True
    return False


def end_group(group: int, reap: Callable[[], object] = lambda: None) -> None:
    """SIGTERM, a short grace, SIGKILL to a whole process group.

    ``reap`` is called while waiting to collect the leader, which otherwise stays as a zombie.
    """
    for number, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            reap()
            if not group_alive(group):
                return
            time.sleep(0.01)


@contextmanager
def spawn(
    cmd: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    **options: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a group of its own; the group is gone when the context is left.

    ``env`` is laid over the environment, a None unsets a variable. Raises LabError if the command
    cannot be started.
    """
    args = [os.fspath(part) for part in cmd]
    merged = {**os.environ, **(env or {})}
    environment = {name: value for name, value in merged.items() if value is not None}
    _must_be_there(args[0], cwd, environment)
    with guarded(args) as command:
        try:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, cwd=cwd, env=environment, start_new_session=True, **options
            )
        except OSError as error:
            raise LabError(f"Cannot run `{args[0]}`: {error.strerror}.") from error
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None or group_alive(process.pid):
                end_group(process.pid, process.poll)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()


def _must_be_there(command: str, cwd: Path | None, environment: Mapping[str, str]) -> None:
    """Raise LabError if a command cannot be executed: the shell in between would say so only by its
    exit status.
    """
    if cwd is not None and not cwd.is_dir():
        raise LabError(f"Cannot run `{command}`: there is no directory {cwd}.")
    place = str((cwd or Path()).absolute() / command) if "/" in command else command
    if shutil.which(place, path=environment.get("PATH", os.defpath)) is None:
        there = "/" in command and Path(place).exists()
        what = os.strerror(errno.EACCES) if there else "there is no such command"
        hint = "" if there else "`lab doctor` lists what this host lacks."
        raise LabError(f"Cannot run `{command}`: {what}.", hint=hint)


def run(
    cmd: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    log: Path | None = None,
    check: bool = True,
    capture: bool = True,
    input: bytes | str | None = None,
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run a command to its end.

    ``log`` is appended to with everything the command writes. ``on_line`` is called with each line,
    stdout and stderr in one stream, as it comes (the result's ``stdout`` then has the last lines
    only). ``capture`` False lets output through to the caller's. ``timeout`` is in seconds.
    Raises CommandError on a non-zero status if ``check``, LabError on timeout or if the command
    cannot be started.
    """
    args = tuple(os.fspath(part) for part in cmd)
    data = input.encode() if isinstance(input, str) else input
    started = time.monotonic()
    pipe = subprocess.PIPE if capture or on_line else None
    merged = on_line is not None or log is not None
    with spawn(
        cmd,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=pipe,
        stderr=subprocess.STDOUT if merged and pipe else pipe,
    ) as process:
        timer = threading.Timer(timeout, end_group, (process.pid,)) if timeout else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            if merged and pipe:
                out, err = _stream(process, data, log, on_line), b""
            else:
                out, err = process.communicate(data)
        finally:
            if timer:
                timer.cancel()
    seconds = time.monotonic() - started
    if timeout and process.returncode < 0 and seconds >= timeout:
        raise LabError(f"`{shlex.join(args)}` was stopped: not done after {timeout:.0f} s.")
    completed = Completed(args, process.returncode, _text(out), _text(err), seconds)
    if check and process.returncode != 0:
        raise CommandError(completed, hint=f"All of its output is in {log}." if log else "")
    return completed


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "backslashreplace")


def _stream(
    process: subprocess.Popen[bytes],
    data: bytes | None,
    log: Path | None,
    on_line: Callable[[str], None] | None,
) -> bytes:
    """Pass output on line by line; keep the tail (with ``on_line``) or all of it."""
    if data is not None:
        feeder = threading.Thread(target=_feed, args=(process.stdin, data), daemon=True)
        feeder.start()
    kept: deque[bytes] = deque(maxlen=10 * TAIL_LINES if on_line else None)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") if log else open(os.devnull, "ab") as file:  # noqa: PTH123
        assert process.stdout is not None
        for line in process.stdout:
            kept.append(line)
            file.write(line)
            if on_line is not None:
                on_line(_text(line.rstrip(b"\r\n")))
    return b"".join(kept)


def _feed(stream: IO[bytes] | None, data: bytes) -> None:
    assert stream is not None
    with suppress(BrokenPipeError), stream:
        stream.write(data)
