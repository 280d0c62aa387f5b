# SPDX-License-Identifier: MIT
"""`lab bench`: the result, as data and as text, and the base against the series."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.jobs.bench import compare, result
from lab.jobs.bench.compare import (
    FASTER,
    ORDER,
    SLOWER,
    UNKNOWN,
    WITHIN,
    Comparison,
    Side,
    comparisons,
)
from lab.jobs.bench.figures import Figure
from lab.jobs.bench.result import Collected, table_document, text
from lab.jobs.bench.tables import (
    BOTH_KERNELS,
    CALLS,
    Ratio,
    Row,
    Table,
)
from lab.kernel.plan import BASE, SERIES
from lab.runs import bench_figures
from lab.runs.bench_figures import Goal
from tests.benches import check_schema


def sampled(table: Table, values: Mapping[str, Sequence[float]]) -> Collected:
    """Samples by row's key."""
    collected = Collected()
    for row in table.rows:
        for round_, value in enumerate(values.get(row.key, ())):
            event = {"event": "sample", "row": table.identity(row), "round": round_}
            collected.take({**event, "value": value})
    return collected


TOY = Table(
    "toy",
    "a toy",
    "ns",
    (Row("none", "none"), Row("one", "g"), Row("two", "g"), Row("tool", "g")),
    (
        Ratio("one / none", "one", "none", goal=Goal("<=", 2.0), rfc=84.6),
        Ratio("one / two", "one", "two", goal=Goal(">=", 2.0)),
        Ratio("none / one", "none", "one", goal=Goal(">=", 2.0)),
    ),
    reference="none",
)


def toy_result() -> dict[str, Any]:
    collected = sampled(TOY, {"none": [10, 12, 11], "one": [20, 24, 22]})
    collected.take({"event": "not there", "row": "bench::toy::tool", "reason": "not there: tool"})
    collected.take({"event": "unmeasured", "row": "bench::toy::two", "reason": "it is bad"})
    return result.document(
        {"name": "tcg", "reason": "none"},
        {"cpu": "C", "kernel": "7.3.4", "jit": "1"},
        ["A note."],
        [table_document(TOY, collected, 1000)],
    )


def test_a_result_has_its_schema_and_the_reason_of_what_is_not_in_it() -> None:
    document = toy_result()
    check_schema(json.loads(json.dumps(document)))
    assert document["notes"] == [result.EMULATED, "A note."]
    rows = {row["label"]: row for row in document["tables"][0]["rows"]}
    assert (rows["one"]["median"], rows["one"]["low"], rows["one"]["high"]) == (22, 20, 24)
    assert rows["one"]["calls"] == 1000
    assert (rows["two"]["median"], rows["two"]["note"]) == (None, "it is bad")
    assert rows["tool"]["note"] == "not there: tool"
    ratios = {one["label"]: one for one in document["tables"][0]["ratios"]}
    assert ratios["one / none"]["value"] == 2.0
    assert ratios["one / none"]["goal"] == {"op": "<=", "value": 2.0}
    assert ratios["one / two"]["value"] is None


def test_without_emulation_nothing_is_said_about_it() -> None:
    assert result.document({"name": "kvm"}, {}, [], [])["notes"] == []


def test_the_text_has_figures_ratios_and_goals() -> None:
    lines = text(toy_result(), {"toy": "none"})
    assert result.EMULATED in lines
    (one,) = (line.split() for line in lines if line.startswith("  one  "))
    assert one == ["one", "22", "20", "24", "2", "1000", "3"]
    (two,) = (line for line in lines if line.startswith("  two  "))
    assert two.endswith("it is bad")
    goals = {line.strip().split("  ")[0]: line for line in lines if "=" in line}
    assert goals["one / none"].endswith("84.6  reached")
    assert goals["one / two"].endswith("not measured")
    assert goals["none / one"].endswith("MISSED")


def test_a_row_that_lost_its_way_has_no_samples() -> None:
    collected = sampled(TOY, {"one": [1.0]})
    collected.take({"event": "unmeasured", "row": "bench::toy::one", "reason": "it hung"})
    assert collected.of("bench::toy::one") == {}
    assert collected.note("bench::toy::two").startswith("not measured: the guest")


def test_what_is_written_is_read_as_it_was() -> None:
    document = json.loads(json.dumps(toy_result()))
    assert json.loads(json.dumps(bench_figures.document(bench_figures.read(document)))) == document


def test_numbers_have_the_digits_that_they_are_good_for() -> None:
    bench = bench_figures.read(toy_result())
    (table,) = bench.tables
    rows = [replace(table.rows[0], median=12345.6, low=4.26, high=None)]
    ratios = [replace(table.ratios[0], value=1.0512)]
    document = bench_figures.document(
        replace(bench, tables=(replace(table, rows=tuple(rows), ratios=tuple(ratios)),))
    )
    lines = [line.split() for line in text(document)]
    assert ["none", "12346", "4.26", "-"] in [line[:4] for line in lines]
    assert "1.051" in next(line for line in lines if line[:3] == ["one", "/", "none"])


# --- base against series --------------------------------------------------------------------


def boots(*values: Sequence[float]) -> list[tuple[str, dict[str, dict[int, float]]]]:
    """Samples of the boots, four or the first ones, the same for each row."""
    return [
        (kernel, {row.key: dict(enumerate(samples)) for row in BOTH_KERNELS})
        for kernel, samples in zip(ORDER, values, strict=False)
    ]


def verdict(*values: Sequence[float]) -> str:
    return comparisons(boots(*values))[0].verdict


def test_kernels_are_booted_by_turns() -> None:
    assert ORDER == (BASE, SERIES, BASE, SERIES)


def test_as_much_as_two_boots_of_one_kernel_differ_is_noise() -> None:
    assert verdict([100], [102], [104], [106]) == WITHIN
    assert verdict([100], [104], [101], [105]) == SLOWER
    assert verdict([104], [100], [105], [101]) == FASTER
    # One boot that went astray is the noise, whichever kernel it was of.
    assert verdict([1], [20], [1], [1]) == verdict([20], [1], [1], [1]) == WITHIN


def test_as_much_as_rounds_differ_is_noise() -> None:
    steady, loose = [100.0] * 5, [90.0, 95.0, 100.0, 105.0, 110.0]
    assert verdict(steady, [104.0] * 5, steady, [104.0] * 5) == SLOWER
    assert verdict(loose, [104.0] * 5, steady, [104.0] * 5) == WITHIN


def test_a_comparison_is_told_with_its_noise() -> None:
    (one, *_) = comparisons(boots([100], [110], [100], [110]))
    assert one.ratio == Figure(1.1, 1.1, 1.1, 2)
    assert one.line() == "base-series: no filter: +10.0 %, noise 0.0 %: slower"


def test_a_boot_that_is_missing_leaves_no_verdict() -> None:
    three = boots([1], [1], [1])
    assert {one.verdict for one in comparisons(three)} == {UNKNOWN}
    document = compare.table_document(comparisons(three), CALLS)
    check_schema(result.document({"name": "kvm"}, {}, [], [document]))
    (first, *_) = comparisons(three)
    assert first.line() == "base-series: no filter: not measured"
    assert document["ratios"][0]["value"] is None


def test_boots_that_are_there_have_their_figures() -> None:
    document = compare.table_document(comparisons(boots([1], [2], [3])), CALLS)
    base, series = document["rows"][:2]
    assert (base["median"], base["note"]) == (2.0, "noise 2")
    assert (series["median"], series["note"]) == (2.0, "1 of 2 boots")


def test_a_comparison_has_the_rows_of_both_kernels() -> None:
    document = compare.table_document(comparisons(boots([1], [2], [3], [4])), CALLS)
    check_schema(result.document({"name": "kvm"}, {}, [], [document]))
    assert [(row["label"], row["group"]) for row in document["rows"][:2]] == [
        ("no filter, base", BASE), ("no filter, series", SERIES),
    ]  # fmt: skip
    assert (document["rows"][0]["median"], document["rows"][0]["high"]) == (2.0, 3.0)
    assert document["ratios"][0]["value"] == 1.5


def test_a_figure_of_a_kernel_is_that_of_its_boots() -> None:
    side = Side(({0: 1.0, 1: 3.0}, {0: 4.0}), 2)
    assert side.figure == Figure(3.0, 2.0, 4.0, 3)
    assert Comparison(BOTH_KERNELS[0], side, None).verdict == UNKNOWN
