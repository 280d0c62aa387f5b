# SPDX-License-Identifier: MIT
"""Kinds of runs: one row each.

A new kind is a row here and a job that fills it (``lab/jobs``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lab.kernel.plan import BASE, OFF, SERIES
from lab.runs import journal, matrix_table, walk_table
from lab.runs.journal import View

GOOD, BAD, SKIP, OPEN = "good", "bad", "skip", "open"
"""What a test's state is worth."""

PATCHED = {
    journal.PASSED: GOOD,
    journal.FAILED: BAD,
    journal.ABSENT: BAD,
    journal.SKIPPED: SKIP,
}
UNPATCHED = {
    journal.PASSED: BAD,
    journal.FAILED: BAD,
    journal.ABSENT: GOOD,
    journal.SKIPPED: BAD,
}
"""On the base the feature has to be missing."""


def told(view: View) -> list[str]:
    """The lines of the last event ``table``."""
    tables = view.of("table")
    return [str(line) for line in tables[-1].get("lines", ())] if tables else []


@dataclass(frozen=True)
class Kind:
    """``name`` is in manifest, journal and directory; ``what`` opens the page; ``doing`` is told to
    those who wait for the lock. ``suite`` names the JUnit suite; "": the run has no tests.

    ``table`` is the file of the run's table, whose lines ``render`` makes from the journal, and
    ``figures`` that of an event ``figures``; "" for none. ``live``: the table was shown line by
    line. ``parts``: the run is made of others. ``worth`` judges a test's state; states that it
    does not have are open. ``reported``: `lab runs` and `lab report` know the run.
    """

    name: str
    what: str
    doing: str
    suite: str = ""
    table: str = ""
    figures: str = ""
    render: Callable[[View], list[str]] = told
    live: bool = False
    parts: bool = False
    worth: Mapping[str, str] = field(default_factory=lambda: PATCHED)
    reported: bool = True


SUITE = {
    SERIES: Kind("series", "The base with the series.", "testing", "selftests (series)"),
    BASE: Kind(
        "control",
        "Control: the base without the series.",
        "testing",
        "selftests (control)",
        worth=UNPATCHED,
    ),
    OFF: Kind("off", "A kernel without the series' features.", "testing", "selftests (off)"),
}
"""Runs of the suite, by the kernel that it runs on."""

MATRIX = Kind(
    "matrix",
    "Several profiles, one after another.",
    "testing",
    table="matrix.txt",
    render=matrix_table.lines,
    parts=True,
)
WALK = Kind(
    "walk",
    "The series, patch by patch.",
    "walking",
    "walk",
    table="walk.txt",
    render=walk_table.lines,
    live=True,
)
BENCH = Kind("bench", "Benchmarks.", "measuring", "bench", "bench.txt", "bench.json")
FUZZ = Kind("fuzz", "Random filters on the base with the series.", "fuzzing", "fuzz",
            "outcomes.txt")  # fmt: skip
KSELFTEST = Kind(
    "kselftest",
    "The tree's own selftests, base against series.",
    "testing",
    "kselftest",
    "kselftest.txt",
)
SIZE = Kind("size", "What the series adds to the kernel.", "measuring", "", "size.txt", "size.json")
COMMANDS = {
    name: Kind(name, "A guest for one command.", "booting", reported=False)
    for name in ("boot", "run", "trace")
}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (*SUITE.values(), MATRIX, WALK, BENCH, FUZZ, KSELFTEST, SIZE, *COMMANDS.values())
}


def find_kind(names: Iterable[object]) -> Kind:
    """The row of the first name that is known; one without a word to say for another lab's."""
    for name in names:
        if str(name) in KINDS:
            return KINDS[str(name)]
    return Kind("", "", "", suite="tests")
