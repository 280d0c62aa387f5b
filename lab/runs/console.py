# SPDX-License-Identifier: MIT
"""What the kernel's console had while a test ran: between its marker and the next one.

The suite writes each test's name to the kernel log when it starts (``selftests/conftest.py``), so
the console itself says what belongs to which test.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.core import records
from lab.errors import ExitCode
from lab.guest.launch import CONSOLE_LOG
from lab.guest.splats import PREFIX, START_MARKER

LINES = 40
"""Lines that are shown of one test, the last ones: what went wrong is at the end."""


@dataclass(frozen=True)
class Excerpt:
    """Lines of console.log from number ``first`` (from 1). ``left_out`` lines before it belong to
    the same test.
    """

    first: int
    lines: tuple[str, ...]
    left_out: int = 0

    @property
    def silent(self) -> bool:
        """Whether there is nothing but the test's own marker."""
        return len(self.lines) == 1 and _started(self.lines[0]) is not None


@dataclass(frozen=True)
class Excerpts:
    """What the page shows of the console: by test, of those that are not as they should be, and its
    ``end`` if the run did not come to its own.
    """

    tests: dict[str, Excerpt] = field(default_factory=dict)
    end: Excerpt | None = None

    @classmethod
    def cut(cls, directory: Path, tests: Collection[str], code: int | None) -> Excerpts:
        """From the console of a run directory. ``code`` is the run's exit code."""
        lines = read_lines(directory)
        whole = code in (ExitCode.PASSED, ExitCode.FAILED, ExitCode.USAGE)
        return cls(of_tests(lines, tests), None if whole else tail(lines))

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Excerpts:
        """From the journal. Raises ValueError if it is something else."""
        return records.read(cls, event)


def read_lines(directory: Path) -> list[str]:
    """The console of a run directory; no lines if there is none."""
    try:
        text = (directory / CONSOLE_LOG).read_bytes().decode("utf-8", "backslashreplace")
    except OSError:
        return []
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def of_tests(lines: list[str], tests: Collection[str]) -> dict[str, Excerpt]:
    """The console from a test's marker on, by test; tests without a marker are left out."""
    markers = [
        (index, name) for index, line in enumerate(lines) if (name := _started(line)) is not None
    ]
    following = [*markers[1:], (len(lines), "")]
    return {
        name: _cut(lines, begin, end)
        for (begin, name), (end, _) in zip(markers, following, strict=False)
        if name in tests
    }


def tail(lines: list[str]) -> Excerpt | None:
    """The end of a console; None of an empty one."""
    return _cut(lines, 0, len(lines)) if lines else None


def _started(line: str) -> str | None:
    text = PREFIX.sub("", line)
    return text.removeprefix(START_MARKER).strip() if text.startswith(START_MARKER) else None


def _cut(lines: list[str], begin: int, end: int) -> Excerpt:
    first = max(begin, end - LINES)
    return Excerpt(first + 1, tuple(lines[first:end]), first - begin)
