# SPDX-License-Identifier: MIT
"""What a person sees while the lab works.

Messages and progress go to stderr, results (:meth:`Ui.out`) to stdout, so that ``lab ... | grep``
sees results only. On a terminal progress is a live bar; elsewhere, and with ``--quiet``, it is
plain lines: one now and then without ``--quiet``, the closing one alone with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_INTERVAL = 10.0
"""Seconds between two plain progress lines."""

WORTH_A_LINE = 1.0
"""Seconds below which a finished step leaves no plain closing line."""


class Progress(Protocol):
    """A running count; ``total`` None means that the end is not known."""

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more units."""

    def update(self, done: int, total: int | None = None) -> None:
        """Set the count, and the total where it has become known or changed."""


def amount(n: int, unit: str) -> str:
    """``n`` in words: bytes in binary multiples, anything else as ``"12 objects"``."""
    if unit != "bytes":
        return f"{n} {unit}"
    value = float(n)
    for suffix in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or suffix == "GiB":
            break
        value /= 1024
    return f"{n} B" if suffix == "B" else f"{value:.1f} {suffix}"


@dataclass
class PlainProgress:
    """Progress as lines of text, rarely enough to be read in a log."""

    label: str
    total: int | None
    unit: str
    stream: TextIO
    quiet: bool
    done: int = 0
    started: float = field(default_factory=lambda: time.monotonic())
    last_line: float = field(default_factory=lambda: time.monotonic())

    def advance(self, n: int = 1) -> None:
        self.update(self.done + n)

    def update(self, done: int, total: int | None = None) -> None:
        self.done = done
        self.total = self.total if total is None else total
        now = time.monotonic()
        if not self.quiet and now - self.last_line >= PLAIN_INTERVAL:
            self.last_line = now
            self._line(self._count())

    def close(self) -> None:
        """Say that the step is over, where it took long enough to be wondered about."""
        seconds = time.monotonic() - self.started
        if seconds >= WORTH_A_LINE:
            self._line(f"{amount(self.done, self.unit)} in {seconds:.0f} s")

    def _count(self) -> str:
        # A total may be an estimate (the steps of the last build): once passed, it says nothing.
        if not self.total or self.done > self.total:
            return amount(self.done, self.unit)
        percent = 100 * self.done // self.total
        return f"{amount(self.done, self.unit)} of {amount(self.total, self.unit)} ({percent}%)"

    def _line(self, text: str) -> None:
        print(f"{self.label}: {text}", file=self.stream, flush=True)


class Ui:
    """The one way the lab speaks to its caller."""

    def __init__(
        self, quiet: bool = False, stream: TextIO | None = None, results: TextIO | None = None
    ) -> None:
        """``stream`` takes messages (default stderr), ``results`` results (default stdout)."""
        self.quiet = quiet
        self._stream = stream
        self._results = results
        self._console: Console | None = None

    @property
    def stream(self) -> TextIO:
        """Where messages go. Looked up late: a test or a caller may have replaced sys.stderr."""
        return self._stream if self._stream is not None else sys.stderr

    @property
    def live(self) -> bool:
        """Whether bars are drawn."""
        return not self.quiet and self.stream.isatty()

    def say(self, message: str) -> None:
        """One line about what is going on."""
        self._print(message)

    def warn(self, message: str) -> None:
        """One line that the caller should not miss."""
        self._print(f"lab: warning: {message}")

    def out(self, text: str) -> None:
        """A result, on stdout."""
        print(text, file=self._results if self._results is not None else sys.stdout, flush=True)

    @contextmanager
    def progress(self, label: str, total: int | None = None, unit: str = "") -> Iterator[Progress]:
        """Count something long. ``unit`` "bytes" is shown in KiB, MiB, GiB."""
        if self.live:
            with self._bar(label, total, unit) as bar:
                yield bar
            return
        plain = PlainProgress(label, total, unit, self.stream, self.quiet)
        yield plain
        plain.close()

    def _print(self, message: str) -> None:
        if self._console is not None:
            # Through rich, so that a line appears above a running bar and not inside it.
            self._console.print(message, markup=False, highlight=False, soft_wrap=True)
        else:
            print(message, file=self.stream, flush=True)

    @contextmanager
    def _bar(self, label: str, total: int | None, unit: str) -> Iterator[Progress]:
        from lab.core.ui_rich import bar, make_console

        if self._console is None:
            self._console = make_console(self.stream)
        with bar(self._console, label, total, unit) as progress:
            yield progress
