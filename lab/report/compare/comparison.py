# SPDX-License-Identifier: MIT
"""What changed between two runs: what was run, results, times, figures.

Each group of changes says the rule by which something is a change, and by which it is a change for
the worse. Times never are: they depend on what else the machine did, and on what was built before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lab.report.compare.changes import WORSE, Change, Group
from lab.report.compare.figures import benchmarks, sizes
from lab.report.compare.ran import what_was_run
from lab.report.compare.results import tests, verdicts
from lab.report.compare.side import Side
from lab.report.compare.times import times
from lab.runs.run import Run


@dataclass(frozen=True)
class Comparison:
    """Two runs and what differs."""

    old: Run
    new: Run
    groups: tuple[Group, ...]

    @property
    def worse(self) -> list[Change]:
        """The changes for the worse."""
        return [
            change for group in self.groups for change in group.changes if change.worth == WORSE
        ]

    @property
    def headline(self) -> str:
        """The outcome in a line."""
        if not self.worse:
            return "nothing got worse"
        kinds = Counter(change.kind for change in self.worse)
        return "worse: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def compare(old: Run, new: Run) -> Comparison:
    """Everything that differs. Of a run of several profiles and one of a single profile, that
    profile is compared.

    Raises UsageError if they have no profile in common, LabError if a run's figures cannot be read.
    """
    before, after = Side.of(old), Side.of(new)
    if before.single and not after.single:
        after = after.only(before)
    elif after.single and not before.single:
        before = before.only(after)
    groups = (
        what_was_run(before, after),
        verdicts(before, after),
        tests(before, after),
        times(before, after),
        benchmarks(before.run, after.run),
        sizes(before.run, after.run),
    )
    found = tuple(group for group in groups if group is not None)
    return Comparison(before.run, after.run, found)
