# SPDX-License-Identifier: MIT
"""What is counted while a fuzz run goes on, and whether its generator is worth something."""

from __future__ import annotations

import time
from typing import Any

from lab.jobs.fuzz.guest import Event
from lab.jobs.fuzz.outcomes import Outcomes
from lab.runs import journal

ENOUGH = 2000
"""Programs from which on it is judged whether the generator is shallow."""
ACCEPTED_PERCENT = 25.0
REJECTIONS = 25

COUNTS = ("compared", "children", "calls", "notified", "without_token", "inspected", "named")
"""What the guest's program counts beside outcomes. None may be 0: a check hangs on each."""


class Figures:
    """What is counted while a run goes on."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.seconds = 0.0
        self.done = 0
        self.in_flight = "nothing yet"
        self.counts = dict.fromkeys(COUNTS, 0)
        self.loaders: dict[str, tuple[int, int]] = {}
        self.outcomes = Outcomes()

    def take(self, row: Event) -> None:
        """Take in an event of the guest's."""
        self.seconds = time.monotonic() - self.started
        if row["event"] == "block":
            self.done = int(row["done"])
            self.in_flight = f"{row['count']} programs from index {row['first']} on"
        elif row["event"] == "outcomes":
            self.outcomes = Outcomes.of(row["counts"])
            self.counts = {name: int(row[name]) for name in COUNTS}
            self.loaders = {name: (int(n), int(ok)) for name, (n, ok) in row["loaders"].items()}
        elif row["event"] == "end":
            self.done = int(row["done"])
            self.in_flight = "nothing any more"

    @property
    def per_minute(self) -> float:
        """Programs."""
        return 60 * self.done / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "done": self.done,
            "seconds": round(self.seconds, 1),
            "per_minute": round(self.per_minute),
            "accepted": self.outcomes.accepted,
            **self.counts,
            "loaders": {name: list(counts) for name, counts in self.loaders.items()},
            "rejections": self.outcomes.rejections,
            "outcomes": {row.kind: row.count for row in self.outcomes.rows},
        }

    def lines(self) -> tuple[str, ...]:
        """For people."""
        counts = self.counts
        return (
            f"{self.done} programs in {self.seconds:.0f} s: {self.per_minute:.0f} per minute.",
            f"{self.outcomes.accepted_percent:.1f} % accepted, refused for "
            f"{self.outcomes.rejections} kinds of reason.",
            f"{counts['compared']} filters compared in both languages; {counts['children']} "
            f"filtered processes, {counts['calls']} system calls, {counts['notified']} "
            "notifications answered.",
            f"{counts['inspected']} looked into after verification, {counts['named']} helpers "
            f"recognised; {counts['without_token']} loaded without another type's token too.",
            "Loaded of tried, by loader: "
            + ", ".join(f"{name} {ok}/{n}" for name, (n, ok) in self.loaders.items())
            + ".",
        )


def shallow(figures: Figures) -> tuple[str, str]:
    """Outcome and message of the check that the generator is not shallow."""
    outcomes = figures.outcomes
    if outcomes.total < ENOUGH:
        return journal.SKIPPED, f"{outcomes.total} programs are too few to tell"
    if outcomes.accepted_percent < ACCEPTED_PERCENT:
        return journal.FAILED, f"only {outcomes.accepted_percent:.1f} % of programs were accepted"
    if outcomes.rejections < REJECTIONS:
        return journal.FAILED, f"programs were refused for {outcomes.rejections} reasons only"
    for name, number in figures.counts.items():
        if not number:
            return journal.FAILED, f"nothing was counted as {name}"
    for name, (tried, loaded) in figures.loaders.items():
        if not 0 < loaded < tried:
            return journal.FAILED, f"the loader {name} loaded {loaded} programs of {tried}"
    return journal.PASSED, ""
