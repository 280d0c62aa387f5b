# SPDX-License-Identifier: MIT
"""Child processes: a filter is for life, so each case gets a process of its own to spend.

:func:`run` calls a function in a forked child and gives back what it returns, or raises what it
raised. :func:`wait` gives back the wait status of a child that is meant to die.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from selftests.harness.lacks import Absent, Lacks

T = TypeVar("T")

SLOWNESS = float(os.environ.get("SECCOMP_LAB_SLOWNESS", "1"))

TIMEOUT = 30.0 * SLOWNESS
"""Seconds that a child may take. Under emulation a fork of Python takes a tenth of one."""

LONG = 80.0 * SLOWNESS
"""For a child that does something many times; a test is given a little more."""


class ChildFailed(AssertionError):
    """The child raised; the message is its traceback."""


@dataclass(frozen=True)
class Exited:
    """How a child ended: its exit code, or the signal that killed it."""

    code: int | None
    signal: int | None
    core: bool = False

    def __str__(self) -> str:
        if self.signal is not None:
            return f"killed by {signal.Signals(self.signal).name}"
        return f"exited with {self.code}"


def _exited(status: int) -> Exited:
    if os.WIFSIGNALED(status):
        return Exited(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return Exited(os.WEXITSTATUS(status), None)


def reap(pid: int, timeout: float = TIMEOUT) -> Exited:
    """Wait for a child; it is killed, and TimeoutError raised, after ``timeout`` seconds."""
    pidfd = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([pidfd], [], [], timeout)
        if not ready:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(f"child {pid} was still running after {timeout:g} s")
        return _exited(os.waitpid(pid, 0)[1])
    finally:
        os.close(pidfd)


def run(function: Callable[[], T], timeout: float = TIMEOUT) -> T:
    """Call ``function`` in a child; its result has to be picklable.

    Raises ChildFailed with the child's traceback, Absent or Lacks if the child did,
    TimeoutError.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _report(function, writer)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        try:
            data = _read_until(pipe.fileno(), time.monotonic() + timeout)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
    ended = reap(pid)
    if not data:
        raise ChildFailed(f"the child {ended} without a result")
    kind, value = pickle.loads(data)
    if kind == "absent":
        raise Absent(value)
    if kind == "lacks":
        raise Lacks(*value)
    if kind == "failed":
        raise ChildFailed(f"in the child:\n{value}")
    result: T = value
    return result


def _read_until(fd: int, deadline: float) -> bytes:
    chunks: list[bytes] = []
    while True:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError("the child did not report in time")
        chunk = os.read(fd, 65536)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _report(function: Callable[[], Any], writer: int) -> None:
    signal.alarm(0)
    message: tuple[str, Any]
    try:
        message = ("ok", function())
    except Absent as absent:
        message = ("absent", str(absent))
    except Lacks as lacks:
        message = ("lacks", (lacks.what, lacks.seen))
    except BaseException:
        message = ("failed", traceback.format_exc())
    with contextlib.suppress(BaseException):
        os.write(writer, pickle.dumps(message))
    os._exit(0)


def wait(function: Callable[[], object], timeout: float = TIMEOUT) -> Exited:
    """Call ``function`` in a child that is expected to die; exit code 99 if it raised."""
    pid = start(function)
    return reap(pid, timeout)


def start(function: Callable[[], object]) -> int:
    """Start a child that calls ``function`` and exits with 0, or 99 if it raised; its pid."""
    pid = os.fork()
    if pid == 0:
        spend(function)
    return pid


def spend(function: Callable[[], object]) -> NoReturn:
    """What :func:`start` does in the child."""
    signal.alarm(0)
    code = 0
    try:
        function()
    except BaseException:
        traceback.print_exc()
        code = 99
    os._exit(code)


@contextlib.contextmanager
def running(function: Callable[[], object]) -> Any:
    """A child for the duration of a ``with``; killed at the end if it still runs."""
    pid = start(function)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def in_thread(function: Callable[[], T]) -> T:
    """Call ``function`` in a new thread of this process; its result, or its exception."""
    box: list[Any] = []

    def body() -> None:
        try:
            box.append((True, function()))
        except BaseException as error:
            box.append((False, error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(TIMEOUT)
    if not box:
        raise TimeoutError("the thread did not finish")
    ok, value = box[0]
    if not ok:
        raise value
    result: T = value
    return result
