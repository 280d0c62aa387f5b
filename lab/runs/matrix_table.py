# SPDX-License-Identifier: MIT
"""How the profiles of a matrix ended, as rows and as a table in plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lab.core import records
from lab.core.columns import aligned
from lab.errors import ExitCode
from lab.runs.journal import ABSENT, FAILED, PASSED, SKIPPED, View

EVENT = "profile"


@dataclass(frozen=True)
class Row:
    """How a profile ended. ``run`` is its run directory; ``counts`` is state to number of tests,
    ``skipped`` is reason to number.
    """

    profile: str
    what: str = ""
    code: int = ExitCode.INFRA
    headline: str = ""
    run: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    splats: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Column:
    """A figure of a row, in the text and on the page."""

    name: str
    value: Callable[[Row], str]


def _count(state: str) -> Column:
    return Column(state, lambda row: str(row.counts.get(state, 0)))


COLUMNS: tuple[Column, ...] = (
    *map(_count, (PASSED, FAILED, ABSENT, SKIPPED)),
    Column("splats", lambda row: str(row.splats)),
    Column("seconds", lambda row: f"{row.seconds:.0f}"),
    Column("exit", lambda row: str(row.code)),
)


def rows(view: View) -> list[Row]:
    """The profiles that have ended; not those that another lab wrote so that nobody can read it."""
    found = []
    for event in view.of(EVENT):
        try:
            found.append(records.read(Row, event))
        except ValueError:
            continue
    return found


def lines(view: View) -> list[str]:
    """The table of a run; empty before the first profile has ended."""
    found = rows(view)
    return table(found) if found else []


def table(found: Sequence[Row]) -> list[str]:
    """Profile by profile, in plain text, and below it what was skipped and why."""
    cells = [
        ("profile", *(column.name for column in COLUMNS)),
        *((row.profile, *(column.value(row) for column in COLUMNS)) for row in found),
    ]
    return [*aligned(cells, right=slice(1, None)), *_notes(found)]


def _notes(found: Sequence[Row]) -> Iterator[str]:
    for row in found:
        if row.code != ExitCode.PASSED:
            yield f"{row.profile}: {row.headline} (see {row.run})"
        for reason, number in sorted(row.skipped.items()):
            yield f"{row.profile}: skipped {number}: {reason}"
