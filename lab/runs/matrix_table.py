# SPDX-License-Identifier: MIT
"""How the profiles of a matrix ended, as rows and as a table in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.core.columns import aligned
from lab.errors import ExitCode

KIND = "matrix"
"""Of a run of several profiles."""

COLUMNS = ("passed", "failed", "absent", "skipped", "splats", "seconds", "exit")


@dataclass(frozen=True)
class Row:
    """How a profile ended. ``run`` is its run directory; ``counts`` is state to number of tests,
    ``skipped`` is reason to number.
    """

    profile: str
    what: str
    code: int
    headline: str
    run: str
    counts: dict[str, int]
    skipped: dict[str, int]
    splats: int
    seconds: float

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Row | None:
        """A row as a journal has it; None if another version of the lab wrote it."""
        try:
            return cls(**event)
        except TypeError:
            return None

    def cells(self) -> tuple[str, ...]:
        """As in COLUMNS."""
        counts = [self.counts.get(state, 0) for state in COLUMNS[:4]]
        return (*(str(n) for n in counts), str(self.splats), f"{self.seconds:.0f}", str(self.code))


def table(rows: Sequence[Row]) -> list[str]:
    """Profile by profile, in plain text, and below it what was skipped and why."""
    cells = [("profile", *COLUMNS), *((row.profile, *row.cells()) for row in rows)]
    return [*aligned(cells, right=slice(1, None)), *_notes(rows)]


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.code != ExitCode.PASSED:
            yield f"{row.profile}: {row.headline} (see {row.run})"
        for reason, number in sorted(row.skipped.items()):
            yield f"{row.profile}: skipped {number}: {reason}"
