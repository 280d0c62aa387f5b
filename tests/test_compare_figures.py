# SPDX-License-Identifier: MIT
"""Figures of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.core.cache import Cache
from lab.report.compare import comparison
from lab.report.compare.changes import BETTER, OTHER, WORSE
from lab.report.compare.figures import better_is_less
from lab.report.compare.text import text
from lab.runs.run import Run
from tests import runs
from tests.runs import changes, make_run, notes, result, row, table, write_bench

A, B = "selftests/test_a.py::test_a", "selftests/test_a.py::test_b"


# --- figures ---------------------------------------------------------------------------------


KVM = {"name": "kvm", "reason": ""}


def benched(cache: Cache, *tables: dict[str, Any], **fields: Any) -> Path:
    run = make_run(cache, {}, kind="bench")
    write_bench(run, *tables, **fields)
    return run


def ratio(value: float, op: str | None = None, **fields: Any) -> dict[str, Any]:
    """With a spread of a hundredth, and a goal of 80 if there is an operator."""
    goal = op and {"op": op, "value": 80.0}
    edges = {"low": value * 0.99, "high": value * 1.01}
    return runs.ratio("n / e", value, **edges, **{"goal": goal, **fields})


def ratios(cache: Cache, *sides: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    """What becomes of a ratio."""
    old, new = (benched(cache, table([row("a", 1.0)], ratios=[side]), **fields) for side in sides)
    return [(change.kind, change.worth) for change in changes(old, new, "Benchmarks")]


def test_figures_change_if_their_spreads_are_apart(cache: Cache) -> None:
    old = benched(cache, table([row("a", 100.0), row("b", 100.0)]), accelerator=KVM)
    new = benched(cache, table([row("a", 115.0), row("b", 150.0)]), accelerator=KVM)
    (found,) = changes(old, new, "Benchmarks")
    assert (found.what, found.kind, found.worth) == (
        "getpid: b", "figure that got worse", WORSE,
    )  # fmt: skip
    assert [c.worth for c in changes(new, old, "Benchmarks")] == [BETTER]


def test_points_of_a_line_are_told_apart(cache: Cache) -> None:
    def points(*medians: float) -> Path:
        rows = [
            row("e", median, x=place) for place, median in zip((1, 16384), medians, strict=True)
        ]
        return benched(cache, table(rows, name="length", x="instructions"))

    found = changes(points(1.0, 1.0), points(2.0, 3.0), "Benchmarks")
    assert [change.what for change in found] == ["length: e, 1", "length: e, 16384"]


def test_a_series_and_a_control_are_said_to_be_no_alike(cache: Cache) -> None:
    old = make_run(cache, {"t": result("passed")})
    new = make_run(cache, {"t": result("absent")}, kind="control")
    assert [(c.what, c.worth) for c in changes(old, new, "Tests")] == [("t", OTHER)]
    assert "The kinds differ: series, control." in notes(old, new)
    assert "kinds differ" not in notes(old, old)


def test_figures_of_other_guests_are_not_judged(cache: Cache) -> None:
    tables = [table([row("a", figure)], ratios=[ratio(90.0, "<=")]) for figure in (100.0, 500.0)]
    tables[1]["ratios"] = [ratio(120.0, "<=")]
    old, new = benched(cache, tables[0]), benched(cache, tables[1], accelerator=KVM)
    assert [c.worth for c in changes(old, new, "Benchmarks")] == [OTHER, OTHER]
    assert "accelerator differs (tcg, kvm)" in notes(old, new)


def test_emulated_figures_are_not_judged_and_their_ratios_are(cache: Cache) -> None:
    old = benched(cache, table([row("a", 100.0)], ratios=[ratio(90.0, ">=")]))
    new = benched(cache, table([row("a", 500.0)], ratios=[ratio(82.0, ">=")]))
    assert [(c.kind, c.worth) for c in changes(old, new, "Benchmarks")] == [
        ("figure that got worse", OTHER),
        ("ratio that got worse", WORSE),
    ]
    assert "Ratios are judged and figures are not" in notes(old, new)


@pytest.mark.parametrize("fields", [{"samples": 3}, {"calls": 10}])
def test_what_was_measured_otherwise_is_not_judged(cache: Cache, fields: dict[str, Any]) -> None:
    old = benched(cache, table([row("a", 100.0)], ratios=[ratio(90.0, ">=")]), accelerator=KVM)
    rows = [row("a", 500.0, **fields)]
    new = benched(cache, table(rows, ratios=[ratio(70.0, ">=")]), accelerator=KVM)
    assert {c.worth for c in changes(old, new, "Benchmarks")} == {OTHER}
    assert "getpid is not judged: the samples of a were 5 of 100 calls" in notes(old, new)


@pytest.mark.parametrize(
    ("op", "before", "after", "expected"),
    [
        (">=", 90.0, 70.0, [("goal missed", WORSE)]),
        (">=", 70.0, 90.0, [("goal reached", BETTER)]),
        ("<=", 70.0, 90.0, [("goal missed", WORSE)]),
        ("<=", 100.0, 90.0, [("ratio that got better", BETTER)]),
        (">=", 80.5, 79.5, []),
        (None, 90.0, 70.0, [("ratio", OTHER)]),
    ],
)
def test_ratios_change_if_their_spreads_are_apart(
    cache: Cache, op: str | None, before: float, after: float, expected: list[tuple[str, str]]
) -> None:
    assert ratios(cache, ratio(before, op), ratio(after, op)) == expected


def test_a_goal_that_was_moved_is_no_goal_missed(cache: Cache) -> None:
    stricter = ratio(85.0, goal={"op": ">=", "value": 90.0})
    assert ratios(cache, ratio(75.0, ">="), stricter) == [("ratio that got better", BETTER)]


def test_what_is_no_longer_measured_is_worse(cache: Cache) -> None:
    old = benched(cache, table([row("a", 100.0)]))
    new = benched(cache, table([row("a", None, note="no such")]))
    assert [(c.kind, c.worth) for c in changes(old, new, "Benchmarks")] == [
        ("no longer measured", WORSE)
    ]


def test_figures_of_one_run_alone_are_not_compared(cache: Cache) -> None:
    old, new = make_run(cache, {}), benched(cache, table([row("a", 100.0)]))
    found = comparison.compare(Run.load(old), Run.load(new))
    assert "Benchmarks: not compared" in text(found)


@pytest.mark.parametrize(
    ("unit", "less"),
    [("ns per call", True), ("us", True), ("per second", False), ("MB/s", False), ("k", None)],
)
def test_units_say_which_way_is_better(unit: str, less: bool | None) -> None:
    assert better_is_less(unit) is less
