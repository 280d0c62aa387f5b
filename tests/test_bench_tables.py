# SPDX-License-Identifier: MIT
"""`lab bench`: arithmetic, tables, and the filters that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lab.jobs.bench.figures import Figure, quartile_distance, ratio, summarize
from lab.jobs.bench.tables import (
    BOTH_KERNELS,
    CALLS,
    EXTENDED,
    Ratio,
    Table,
    getpid,
    threads,
)
from lab.runs.bench_figures import Goal
from selftests.bench import filters, measure
from selftests.harness import uapi
from selftests.harness.asm import JEQ_K, LD_ABS_W, RET_K, Classic, Insn
from tests.benches import ALL_TABLES

# --- arithmetic -----------------------------------------------------------------------------


def test_a_figure_is_the_median_and_its_extremes() -> None:
    assert summarize([9.0, 1.0, 4.0]) == Figure(4.0, 1.0, 9.0, 3)
    assert summarize([1.0, 2.0]) == Figure(1.5, 1.0, 2.0, 2)
    assert summarize([]) is None


def test_quartiles_of_few_samples() -> None:
    assert quartile_distance([1.0, 2.0, 3.0, 4.0, 5.0]) == 2.0
    assert quartile_distance([7.0]) == quartile_distance([]) == 0.0


def test_a_ratio_is_taken_round_by_round() -> None:
    """The machine is ten times slower in the second round, which does not show."""
    rows = {"a": {0: 20.0, 1: 200.0, 2: 30.0}, "b": {0: 10.0, 1: 100.0, 2: 10.0}}
    assert ratio(Ratio("a / b", "a", "b"), rows) == Figure(2.0, 2.0, 3.0, 3)


def test_a_ratio_counts_the_rounds_that_both_rows_have() -> None:
    rows = {"a": {1: 8.0, 2: 3.0}, "b": {0: 1.0, 1: 2.0}}
    assert ratio(Ratio("a / b", "a", "b"), rows) == Figure(4.0, 4.0, 4.0, 1)
    assert ratio(Ratio("a / c", "a", "c"), rows) is None
    assert ratio(Ratio("a / b", "a", "b"), {"a": {0: 1.0}, "b": {1: 1.0}}) is None


def test_a_ratio_of_filters_alone_leaves_the_call_out() -> None:
    rows = {"a": {0: 14.0}, "b": {0: 12.0}, "none": {0: 10.0}}
    assert ratio(Ratio("a / b", "a", "b", "none"), rows) == Figure(2.0, 2.0, 2.0, 1)
    for lost in ("a", "b"):
        noisy = {**rows, lost: {0: 10.0}}
        assert ratio(Ratio("a / b", "a", "b", "none"), noisy) is None
    assert ratio(Ratio("a / b", "a", "b", "gone"), rows) is None


@pytest.mark.parametrize(
    ("goal", "good", "bad"), [(Goal("<=", 1.05), 1.05, 1.06), (Goal(">=", 80.0), 80.0, 79.9)]
)
def test_a_goal_is_reached_or_not(goal: Goal, good: float, bad: float) -> None:
    assert goal.reached(good)
    assert not goal.reached(bad)


# --- the tables -----------------------------------------------------------------------------


@pytest.mark.parametrize("table", ALL_TABLES)
def test_ratios_name_rows_that_there_are(table: Table) -> None:
    keys = [row.key for row in table.rows]
    assert len(set(keys)) == len(keys)
    for one in table.ratios:
        assert {one.over, one.under} <= set(keys), one.label
        assert one.above in ("", *keys)
    assert len({one.label for one in table.ratios}) == len(table.ratios)
    assert table.reference in ("", *(row.label for row in table.rows))
    assert all((row.x is None) == (table.x is None) for row in table.rows)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_the_guest_knows_what_rows_name(table: Table) -> None:
    known = {"", *filters.CLASSIC, *filters.EXTENDED}
    for row in table.rows:
        assert row.mode in measure.MODES
        assert row.filter in known or "-list:" in row.filter


@pytest.mark.parametrize("asked", [1, 10_000, CALLS])
@pytest.mark.parametrize("table", ALL_TABLES)
def test_calls_come_in_pairs_from_each_thread(table: Table, asked: int) -> None:
    for row in table.rows:
        plan = row.plan("id", asked)
        if not row.fixed:
            assert plan["calls"] >= 100 - 2 * row.threads
            assert plan["calls"] % (2 * row.threads) == 0
        assert plan["refused"] in (0, plan["calls"] // 2, plan["calls"])


def test_the_rfcs_table_is_asked_for_in_full() -> None:
    table = getpid()
    assert [row.calls(CALLS) for row in table.rows[:4]] == [CALLS] * 4
    goals = {one.label: (one.goal, one.rfc) for one in table.ratios if one.goal}
    assert goals == {
        "notifier / eBPF": (Goal(">=", 80.0), 84.6),
        "notifier, SYNC_WAKE_UP / eBPF": (Goal(">=", 40.0), None),
        "eBPF / cBPF without bitmap": (Goal("<=", 1.05), None),
    }


def test_threads_are_as_many_as_there_are_processors() -> None:
    assert {row.x for row in threads(3).rows} == {1, 2, 3}
    assert threads(1).ratios == ()


def test_both_kernels_have_what_is_compared() -> None:
    assert all(row.group != EXTENDED for row in BOTH_KERNELS)


# --- the guest's filters --------------------------------------------------------------------


def run_classic(program: Sequence[Classic], nr: int, argument: int = 0) -> tuple[int, bool]:
    """What a filter answers, and whether it has looked at more than the number and architecture:
    that keeps seccomp_is_const_allow() from knowing.
    """
    accumulator, place, looked = 0, 0, False
    while True:
        insn = program[place]
        place += 1
        if insn.code == LD_ABS_W:
            looked |= insn.k not in (uapi.DATA_NR, uapi.DATA_ARCH)
            accumulator = {uapi.DATA_NR: nr, uapi.data_arg(0): argument}[insn.k]
        elif insn.code == JEQ_K:
            place += insn.jt if accumulator == insn.k else insn.jf
        else:
            assert insn.code == RET_K
            return insn.k, looked


def test_one_classic_filter_is_constant_for_getpid_and_the_other_is_not() -> None:
    allow = uapi.SECCOMP_RET_ALLOW
    assert run_classic(filters.classic_bitmap(), uapi.NR.getpid) == (allow, False)
    assert run_classic(filters.classic_argument(), uapi.NR.getpid) == (allow, True)


@pytest.mark.parametrize("program", [filters.classic_bitmap, filters.classic_argument])
def test_the_classic_filters_agree(program: Any) -> None:
    answers = [run_classic(program(), nr)[0] for nr in (uapi.NR.getpid, uapi.NR.getppid, 9999)]
    assert answers == [uapi.SECCOMP_RET_ALLOW, filters.REFUSE, uapi.SECCOMP_RET_ALLOW]


def test_calls_that_go_to_a_supervisor_are_the_two() -> None:
    program = filters.CLASSIC["classic-notify"]()
    answers = [run_classic(program, nr)[0] for nr in (uapi.NR.getpid, uapi.NR.getppid, 9999)]
    assert answers == [uapi.SECCOMP_RET_USER_NOTIF] * 2 + [uapi.SECCOMP_RET_ALLOW]


def test_the_two_languages_look_at_the_same_things() -> None:
    """Loads and comparisons of one, in the order of the other's."""

    def seen(code: int, value: int) -> tuple[str, int]:
        return ("load" if code in (LD_ABS_W, 0x61) else "compare", value)

    classic = [seen(i.code, i.k) for i in filters.classic_argument() if i.code != RET_K]
    extended = [
        seen(insn.code, insn.off if insn.code == 0x61 else insn.imm)
        for insn in filters.pure()
        if isinstance(insn, Insn) and insn.code in (0x61, 0x16)
    ]
    assert classic == extended
