# SPDX-License-Identifier: MIT
"""Figures and their plots: what is drawn, and from what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.report import plots
from lab.runs import bench_figures
from lab.runs.journal import View
from lab.runs.manifest import Manifest
from lab.runs.run import Run
from tests.runs import ratio, row, table, write_bench


def of(directory: Path) -> bench_figures.Bench | None:
    return bench_figures.of(Run(directory, Manifest(), View()))


def load(tmp_path: Path, *tables: dict[str, Any], **fields: Any) -> bench_figures.Bench:
    write_bench(tmp_path, *tables, **fields)
    bench = of(tmp_path)
    assert bench is not None
    return bench


def test_a_directory_without_figures_has_none(tmp_path: Path) -> None:
    assert of(tmp_path) is None


def test_facts_are_read(tmp_path: Path) -> None:
    bench = load(tmp_path)
    assert dict(bench.facts) == {
        "accelerator": "tcg",
        "cpu": "toy",
        "kernel": "7.3.4",
        "jit": "1",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"tables": None},
        {"tables": [{}]},
        {"tables": [table([row("a", 1.0, low="slow")])]},
        {"tables": [table([row("a", 1.0)], x="filters")]},
        {"tables": [table([], ratios=[ratio("a", 1.0, goal={"op": "~", "value": 1.0})])]},
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_bench(tmp_path, **change)
    with pytest.raises(LabError, match=r"bench\.json"):
        of(tmp_path)


def test_rubbish_is_refused(tmp_path: Path) -> None:
    for text in ("{", json.dumps([1])):
        (tmp_path / bench_figures.NAME).write_text(text)
        with pytest.raises(LabError):
            of(tmp_path)


@pytest.mark.parametrize(
    ("op", "value", "reached"),
    [(">=", 80.0, True), (">", 80.0, False), ("<=", 79.0, False), ("<", 81.0, True)],
)
def test_goals(op: str, value: float, reached: bool) -> None:
    goal = bench_figures.Goal(op, value)
    assert bench_figures.MeasuredRatio("r", 80.0, None, None, goal, None).reached is reached


def test_without_a_goal_or_a_value_nothing_is_reached_or_missed() -> None:
    goal = bench_figures.Goal("<", 1.0)
    assert bench_figures.MeasuredRatio("r", 1.0, None, None, None, None).reached is None
    assert bench_figures.MeasuredRatio("r", None, None, None, goal, None).reached is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (1.2345, "1.23"), (99.96, "100"), (123.4, "123")],
)
def test_short_figures(value: float | None, text: str) -> None:
    assert bench_figures.short(value) == text


def test_an_axis_is_logarithmic_where_small_bars_would_be_lost(tmp_path: Path) -> None:
    near, far = load(
        tmp_path, table([row("a", 1.0), row("b", 3.0)]), table([row("a", 1.0), row("b", 30.0)])
    ).tables
    assert not plots.logarithmic(near.rows)
    assert plots.logarithmic(far.rows)


def test_nothing_measured_is_no_plot(tmp_path: Path) -> None:
    (only,) = load(tmp_path, table([row("a", None, note="no such")])).tables
    assert plots.plot(only) is None


def test_a_plot_is_an_element_of_a_page(tmp_path: Path) -> None:
    rows = [row("a", 1.0, group="g"), row("b", 30.0, group="h"), row("c", None)]
    (bars,) = load(tmp_path, table(rows)).tables
    svg = plots.plot(bars)
    assert svg is not None
    assert svg.startswith('<svg class="plot" role="img" aria-label="getpid() &lt;1&gt;, ns per')
    assert "xmlns" not in svg
    assert "<style" not in svg
    assert "<?xml" not in svg
    # The same figures are the same plot.
    assert plots.plot(bars) == svg


def test_a_line_takes_one_point_and_no_spread(tmp_path: Path) -> None:
    rows = [row("a", 1.0, x=1.0, group="g", low=None, high=None), row("b", 2.0, x=3.0, group="h")]
    (lines,) = load(tmp_path, table(rows, x="filters")).tables
    assert plots.plot(lines) is not None


def test_labels_that_repeat_are_lines_and_others_belong_to_their_groups(tmp_path: Path) -> None:
    repeated = [row(label, 1.0, x=x, group="g") for x in (4.0, 1.0) for label in ("load", "attach")]
    single = [row(f"g {x}", 1.0, x=x, group="g") for x in (1.0, 4.0)]
    both = load(tmp_path, table(repeated, x="n"), table(single, x="n")).tables
    lines, groups = (plots.by_line(list(one.rows)) for one in both)
    assert {name: [point.x for point in points] for name, points in lines.items()} == {
        "load": [1.0, 4.0],
        "attach": [1.0, 4.0],
    }
    assert {name: len(points) for name, points in groups.items()} == {"g": 2}


def test_a_legend_has_as_many_columns_as_fit() -> None:
    assert plots.legend_columns(["x" * 100, "y"]) == 1
    assert plots.legend_columns(["cBPF", "eBPF"]) >= 2
