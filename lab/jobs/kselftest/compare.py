# SPDX-License-Identifier: MIT
"""Base against series, test by test: the same or better is what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.runs import journal
from lab.runs.journal import Test

RANK = {journal.FAILED: 0, journal.SKIPPED: 1, journal.PASSED: 2}
COLUMNS = (journal.PASSED, journal.FAILED, journal.SKIPPED)
SAME, BETTER, WORSE, NEW, GONE = "same", "better", "worse", "new", "gone"


@dataclass(frozen=True)
class Difference:
    """A test whose outcome is not the same. An outcome is "" where the test is not there."""

    id: str
    base: str
    series: str
    kind: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.id}: {self.base or 'not there'} -> {self.series or 'gone'}"


def compare(base: Mapping[str, Test], series: Mapping[str, Test]) -> list[Difference]:
    """All differences, in the order of the series, and what is gone at the end."""
    found = []
    for name, test in series.items():
        before = base.get(name)
        kind = judge(before.state if before else "", test.state)
        if kind != SAME:
            state = before.state if before else ""
            found.append(Difference(name, state, test.state, kind, test.message))
    found += [
        Difference(name, test.state, "", GONE) for name, test in base.items() if name not in series
    ]
    return found


def judge(base: str, series: str) -> str:
    """What a pair of outcomes means. A new test that fails is as bad as an old one that does."""
    if base == series:
        return SAME
    if not base:
        return WORSE if RANK.get(series, 0) == 0 else NEW
    return BETTER if RANK.get(series, 0) > RANK.get(base, 0) else WORSE


def is_bad(difference: Difference) -> bool:
    """Whether the series may not have it."""
    return difference.kind in (WORSE, GONE)


def table(
    base: Mapping[str, Test], series: Mapping[str, Test], differences: Sequence[Difference]
) -> list[str]:
    """A line for each suite, passed/failed/skipped on both; then each difference by name."""
    suites = list(dict.fromkeys(name.split("/", 1)[0] for name in (*base, *series)))
    width = max((len(suite) for suite in suites), default=5)
    lines = [f"{'suite':{width}}  base (passed failed skipped)   series   same"]
    for suite in suites:
        ours = {name: test for name, test in series.items() if _of(suite, name)}
        theirs = {name: test for name, test in base.items() if _of(suite, name)}
        different = sum(1 for row in differences if _of(suite, row.id))
        same = len(ours.keys() | theirs.keys()) - different
        lines.append(f"{suite:{width}}  {_counts(theirs):>28}   {_counts(ours):>6}   {same}")
    for name, test in series.items():
        if test.state == journal.FAILED and name in base and base[name].state == journal.FAILED:
            lines.append(f"fails on both: {name}")
    for row in differences:
        lines.append(str(row))
        lines += [f"    | {line}" for line in row.message.splitlines()[-6:] if is_bad(row)]
    return lines


def _of(suite: str, name: str) -> bool:
    return name.split("/", 1)[0] == suite


def _counts(tests: Mapping[str, Test]) -> str:
    states = [test.state for test in tests.values()]
    return " ".join(str(states.count(state)) for state in COLUMNS)
