# SPDX-License-Identifier: MIT
"""How the patches of a walk ended, as rows and as a table in plain text.

What columns there are is for the rows to say: a row of another lab, which had others, is shown all
the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.core import records
from lab.core.columns import aligned
from lab.errors import ExitCode
from lab.runs.journal import View

EVENT = "patch"
OK, BAD, NOT_RUN, NOTHING = "ok", "BAD", "not run", "-"
LEAST_WIDTH = 10
"""Characters of a column, where the rows to come are not known."""


@dataclass(frozen=True)
class Cell:
    """A column's outcome, one of the above, and a few words beside it. NOT_RUN: it could not be
    made; NOTHING: it was not asked for, or has nothing to look at.
    """

    state: str = NOTHING
    text: str = ""

    def __str__(self) -> str:
        return f"{self.state} {self.text}".strip()


@dataclass(frozen=True)
class Row:
    """How a step ended. ``cells`` are by column, ``run`` is the test run's directory or "".
    ``code`` is an exit code, ``headline`` says what was wrong. ``kept``: from an earlier walk.
    """

    key: str
    number: int
    title: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    code: int = ExitCode.INFRA
    headline: str = ""
    run: str = ""
    seconds: float = 0.0
    kept: bool = False

    @property
    def name(self) -> str:
        """Number and title."""
        return f"{self.number} {self.title}"


def read(event: Mapping[str, Any]) -> Row | None:
    """A row as a journal has it; None if nobody can read it."""
    try:
        return records.read(Row, event)
    except ValueError:
        return None


def rows(view: View) -> list[Row]:
    """The patches that are done."""
    return [row for event in view.of(EVENT) if (row := read(event))]


def columns(found: Iterable[Row]) -> tuple[str, ...]:
    """The columns that any of the rows has."""
    return tuple(dict.fromkeys(name for row in found for name in row.cells))


def cells(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    """A row of the table, beside its name."""
    states = [str(row.cells.get(name, Cell())) for name in names]
    return (*states, f"{row.seconds:.0f}", "kept" if row.kept else "")


def reasons(found: Iterable[Row]) -> Iterator[str]:
    """What was wrong, row by row."""
    for row in found:
        if row.code != ExitCode.PASSED:
            yield f"{row.number}: {row.headline}" + f" (see {row.run})" * bool(row.run)


def lines(view: View) -> list[str]:
    """The table of a run; empty before the first patch is done."""
    found = rows(view)
    return table(found) if found else []


def table(found: Sequence[Row]) -> list[str]:
    """Patch by patch, in plain text, and below it what was wrong."""
    names = columns(found)
    shown = [("patch", *names, "seconds", ""), *((row.name, *cells(row, names)) for row in found)]
    return [*aligned(shown, right=slice(len(names) + 1, -1)), *reasons(found)]


def line(name: str, texts: Sequence[str], width: int) -> str:
    """A line to be shown at once, before the widths of the others are known."""
    padded = [text.ljust(LEAST_WIDTH) for text in texts]
    return "  ".join((name.ljust(width), *padded)).rstrip()
