# SPDX-License-Identifier: MIT
"""A run as reports see it: its manifest and its journal, read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.runs import journal, manifest
from lab.runs.journal import Test, View
from lab.runs.matrix_table import Row

GOOD, BAD, SKIP, OPEN = "good", "bad", "skip", "open"
JUDGEMENT: dict[bool, dict[str, str]] = {
    False: {
        journal.PASSED: GOOD,
        journal.FAILED: BAD,
        journal.ABSENT: BAD,
        journal.SKIPPED: SKIP,
    },
    # On the unpatched base the feature has to be missing.
    True: {
        journal.PASSED: BAD,
        journal.FAILED: BAD,
        journal.ABSENT: GOOD,
        journal.SKIPPED: BAD,
    },
}
"""Control run or not, and a test's state, to what it is worth. Other states are open."""


@dataclass(frozen=True)
class Run:
    """A run as reports see it."""

    path: Path
    manifest: dict[str, Any]
    view: View

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a run directory. Raises UsageError if it is none."""
        return cls(path, manifest.load(path), journal.load(path))

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def kind(self) -> str:
        """What kind of run it is: "series", "control", "off", "matrix", "bench", ..."""
        return str(self.manifest.get("kind") or "")

    @property
    def control(self) -> bool:
        """Whether it ran on the unpatched base."""
        return self.kind == "control"

    @property
    def headline(self) -> str:
        """The verdict in a line, also of a run that did not live to have one."""
        if self.view.verdict:
            return str(self.view.verdict["headline"])
        return "no verdict: the run was cut short"

    @property
    def code(self) -> int | None:
        """Exit code; None without a verdict."""
        return self.view.verdict.get("code")

    @property
    def reasons(self) -> list[str]:
        """Why."""
        if self.view.verdict:
            return [str(reason) for reason in self.view.verdict.get("reasons", ())]
        return [f"In flight: {self.view.in_flight}."] if self.view.in_flight else []

    def judge(self, test: Test) -> str:
        """What a test's state is worth in this run."""
        return JUDGEMENT[self.control].get(test.state, OPEN)


def profile_rows(run: Run) -> list[Row]:
    """The profiles of a matrix, as far as it came."""
    return [row for event in run.view.profiles if (row := Row.from_event(event))]
