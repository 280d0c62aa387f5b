# SPDX-License-Identifier: MIT
"""Live progress bars. Apart from ui.py because importing rich costs more than a quick command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress


@dataclass(frozen=True)
class RichBar:
    """One task of a live display, with the interface of :class:`lab.core.ui.Progress`."""

    display: RichProgress
    task: TaskID

    def advance(self, n: int = 1) -> None:
        self.display.advance(self.task, n)

    def update(self, done: int, total: int | None = None) -> None:
        if total is None:
            self.display.update(self.task, completed=done)
        else:
            self.display.update(self.task, completed=done, total=total)


def make_console(stream: TextIO) -> Console:
    """A console writing to ``stream``."""
    return Console(file=stream)


@contextmanager
def bar(console: Console, label: str, total: int | None, unit: str) -> Iterator[RichBar]:
    """A bar that stays on the screen when it is done."""
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn()]
    if unit == "bytes":
        columns += [DownloadColumn(binary_units=True), TransferSpeedColumn()]
    else:
        columns += [MofNCompleteColumn(), TextColumn(unit, markup=False)]
    columns.append(TimeElapsedColumn())
    with RichProgress(*columns, console=console, refresh_per_second=5) as display:
        yield RichBar(display, display.add_task(label, total=total))
