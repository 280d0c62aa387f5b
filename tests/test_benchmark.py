# SPDX-License-Identifier: MIT
"""`lab bench`: arithmetic, tables, result, and whole runs with a guest that plays steps."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.guest import boot
from lab.guest.launch import GuestRequest
from lab.jobs.bench import compare, result
from lab.jobs.bench import run as bench_run
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
from lab.jobs.bench.figures import Figure, quartile_distance, ratio, summarize
from lab.jobs.bench.request import BenchOptions, boots_of
from lab.jobs.bench.result import Collected, table_document, text
from lab.jobs.bench.run import run_bench
from lab.jobs.bench.tables import (
    BOTH_KERNELS,
    CALLS,
    EXTENDED,
    TABLES,
    Ratio,
    Row,
    Table,
    getpid,
    make_tables,
    threads,
)
from lab.jobs.engine import Again
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import BASE, SERIES, Plan
from lab.kernel.profiles import find_profile
from lab.kernel.userspace import NATIVE
from lab.runs import bench_figures, journal, rundir
from lab.runs.bench_figures import Goal
from lab.runs.kinds import BENCH
from lab.runs.run import Run
from lab.runs.rundir import HTML
from selftests.bench import __main__ as guest_main
from selftests.bench import filters, measure
from selftests.harness import uapi
from selftests.harness.asm import JEQ_K, LD_ABS_W, RET_K, Classic, Insn
from tests.fakes import launcher
from tests.support import Recorder
from tests.worlds import again, made_kernel, without_kvm

CPUS = 2
MADE = make_tables(CPUS)
ALL_TABLES = [pytest.param(table, id=name) for name, table in MADE.items()]


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


# --- the guest's side of a plan ---------------------------------------------------------------


def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> list[dict[str, Any]]:
    """Events of a table with one row of each kind."""

    values: dict[str, list[float]] = {"a": [9.0, 1.5, 1.5], "b": [9.0, 1.5, 1.5]}

    def sample(row: dict[str, Any], shelf: object) -> float:  # noqa: ARG001
        if row["id"] == "bad":
            raise measure.Unmeasured("it is bad")
        if row["id"] == "gone":
            raise measure.NotThere("not there: tool")
        return values[row["id"]].pop(0)

    monkeypatch.setattr(guest_main, "sample", sample)
    monkeypatch.setattr(guest_main, "KMSG", tmp_path / "kmsg")
    told = guest_main.Told(str(tmp_path / "events"))
    rows = [{"id": name} for name in ("a", "bad", "gone", "b")]
    guest_main.run_table({"name": "t", "rows": rows}, rounds, filters.Shelf(), told)
    assert (tmp_path / "kmsg").read_text() == "seccomp-lab: start bench::t\n"
    return [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]


def test_rows_take_turns_and_a_bad_one_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = played(tmp_path, monkeypatch, 2)
    assert [(event["event"], event.get("row")) for event in events] == [
        *(("table", None), ("warm", "a"), ("unmeasured", "bad"), ("not there", "gone")),
        *(("warm", "b"), ("sample", "a"), ("sample", "b"), ("sample", "a"), ("sample", "b")),
    ]
    collected = Collected()
    for event in events:
        collected.take(event)
    assert collected.of("a") == {0: 1.5, 1: 1.5}
    assert collected.failed == {"bad": "it is bad"}
    assert collected.absent == {"gone": "not there: tool"}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with bench.c for this machine: without a filter it needs no kernel of its own."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    directory = tmp_path_factory.mktemp("native")
    command = [compiler, "-O1", "-Wall", "-Werror", str(NATIVE / "bench.c"), "-pthread"]
    subprocess.run([*command, "-o", str(directory / "bench")], check=True)
    return directory


@pytest.fixture
def shelf(native: Path, monkeypatch: pytest.MonkeyPatch) -> filters.Shelf:
    monkeypatch.setenv("SECCOMP_LAB_GUEST", str(native))
    return filters.Shelf()


def unfiltered(**fields: Any) -> dict[str, Any]:
    row = Row("no filter", "none", copies=0, refused=0)
    return {**row.plan("id", 1000), **fields}


@pytest.mark.parametrize("fields", [{}, {"threads": 2}, {"workload": "open"}])
def test_a_sample_is_time_by_calls(shelf: filters.Shelf, fields: dict[str, Any]) -> None:
    assert measure.sample(unfiltered(**fields), shelf) > 0


def test_a_filter_that_refuses_too_little_is_no_sample(shelf: filters.Shelf) -> None:
    with pytest.raises(measure.Unmeasured, match="0 of 1000 calls were refused instead of 500"):
        measure.sample(unfiltered(refused=500), shelf)


def test_what_the_kernel_refuses_is_the_reason(shelf: filters.Shelf) -> None:
    row = {"mode": "load", "length": 16}
    with pytest.raises(measure.Unmeasured, match=r"bench ended with 1: BPF_PROG_LOAD: "):
        measure.sample(row, shelf)


def test_the_native_program_does_not_guess(native: Path) -> None:
    for arguments in ([], ["calls", "mixed"], ["calls", "nonsense", "1", "1", "0"], ["x"]):
        done = subprocess.run([native / "bench", *arguments], capture_output=True, check=False)
        assert done.returncode == 2


def test_a_program_that_was_not_built_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECCOMP_LAB_GUEST", str(tmp_path))
    with pytest.raises(measure.Unmeasured, match="was not built"):
        measure.sample(unfiltered(), filters.Shelf())


def test_a_tool_that_is_not_there_is_nobodys_fault(
    shelf: filters.Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(measure.NotThere, match="not there: strace"):
        measure.sample(unfiltered(mode="strace"), shelf)


def test_a_tool_that_logs_too_little_is_no_sample(
    shelf: filters.Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    tool = tmp_path / "strace"
    tool.write_text(f"#!/bin/sh\necho /dev/null > {log}\nwhile [ $1 != {log} ]; do shift; done\n"
                    'shift\nexec "$@"\n')  # fmt: skip
    tool.chmod(0o755)
    monkeypatch.setattr(measure, "LOG", str(log))
    monkeypatch.setattr(shutil, "which", lambda _: str(tool))
    row = unfiltered(mode="strace", workload="open", calls=2)
    with pytest.raises(measure.Unmeasured, match="strace told 1 opens of 2"):
        measure.sample(row, shelf)
    assert measure.sample({**row, "calls": 1}, shelf) > 0


@pytest.mark.parametrize("grown", [0, -4096])
def test_filters_that_take_no_memory_are_no_sample(
    grown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"mode": "memory", "filter": "classic-list:16", "copies": 8}
    monkeypatch.setattr(measure, "run", lambda *_: {"bytes": grown})
    with pytest.raises(measure.Unmeasured, match=f"8 filters took {grown} bytes"):
        measure.sample(row, filters.Shelf())
    monkeypatch.setattr(measure, "run", lambda *_: {"bytes": 4096})
    assert measure.sample(row, filters.Shelf()) == 512


SETTLING = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int kilobytes, step;

static FILE *meminfo(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "Slab: %d kB\\n", kilobytes += step);
	return fmemopen(text, strlen(text), "r");
}

#define fopen(path, mode) meminfo()
#define usleep(microseconds) ((void)(microseconds))
#define main bench_main
#include "bench.c"
#undef main

int main(int argc, char **argv)
{
	step = argc > 1;
	kilobytes = 7;
	printf("%d\\n", (int)settled());
	return 0;
}
"""


def test_memory_is_read_once_it_stays_the_same(tmp_path: Path) -> None:
    """bench.c with a /proc/meminfo of its own: one that stays, and one that never does."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "main.c").write_text(SETTLING)
    command = [compiler, "-Wall", "-Werror", f"-I{NATIVE}", str(tmp_path / "main.c"), "-pthread"]
    subprocess.run([*command, "-o", str(tmp_path / "main")], check=True)

    def settled(*argument: str) -> subprocess.CompletedProcess[str]:
        argv = [str(tmp_path / "main"), *argument]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    still, restless = settled(), settled("grows")
    assert (still.returncode, still.stdout) == (0, f"{7 * 1024}\n")
    assert (restless.returncode, restless.stdout) == (1, "")
    assert "does not stay the same" in restless.stderr


def test_numbers_are_words_with_a_name() -> None:
    assert measure.numbers("ns=12 refused=0\nrecords=-3 x=y noise =4") == {
        "ns": 12, "refused": 0, "records": -3,
    }  # fmt: skip


# --- the result -----------------------------------------------------------------------------

ROW_KEYS = {"label", "group", "x", "median", "low", "high", "samples", "calls", "note"}
RATIO_KEYS = {"label", "value", "low", "high", "goal", "rfc"}


def check_schema(document: Mapping[str, Any]) -> None:
    """As the module's text has it."""
    assert list(document) == [
        "version", "kind", "accelerator", "cpu", "kernel", "jit", "notes", "tables",
    ]  # fmt: skip
    assert (document["version"], document["kind"]) == (1, "bench")
    for table in document["tables"]:
        assert set(table) == {"name", "title", "unit", "x", "rows", "ratios"}
        for row in table["rows"]:
            assert set(row) == ROW_KEYS
            assert (row["median"] is None) == (row["samples"] == 0)
            assert row["median"] is not None or row["note"]
        for one in table["ratios"]:
            assert set(one) == RATIO_KEYS
            assert one["goal"] is None or set(one["goal"]) == {"op", "value"}


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


# --- whole runs with a guest that plays steps -------------------------------------------------

Steps = list[tuple[str, object]]


class World:
    """A lab whose guests play steps: ``runs`` are those of one guest after the other."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
        self.cache = cache
        self.recorder = Recorder()
        self.runs: list[Steps] = []
        self.kernels: list[bool] = []
        self.plans: list[dict[str, Any]] = []
        suite = tmp_path / "suite"
        suite.mkdir()
        monkeypatch.setattr(bench_run, "SELFTESTS", suite)
        monkeypatch.setattr(pipeline, "bring_kernel", self._kernel)
        without_kvm(monkeypatch)
        monkeypatch.setattr(boot, "virtme_command", self._launch)

    def _kernel(self, session: Session, plan: Plan, **done: Any) -> Kernel:  # noqa: ARG002
        self.kernels.append(plan.control)
        return made_kernel(done.get("done"))

    def _launch(self, request: GuestRequest, **_: Any) -> list[str]:
        self.plans.append(json.loads((request.run_dir / "share" / "plan.json").read_text()))
        return launcher(request.run_dir, self.runs.pop(0))

    def run(self, **options: Any) -> int:
        chosen = {"tables": ("inject",), "rounds": 2, "calls": 1000, "both": False, "limits": {}}
        plan = Plan("linux-7.3", False, Path("/nowhere"), False, find_profile("default"), ARCHES[0])
        session = Session(self.cache, self.recorder.ui)
        return run_bench(session, plan, BenchOptions(**{**chosen, **options}), again)

    @property
    def last(self) -> Run:
        return Run.load(rundir.find(self.cache, "last"))

    @property
    def result(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.last.path / bench_figures.NAME).read_text())
        check_schema(document)
        return document


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> World:
    return World(tmp_path, monkeypatch, cache)


INJECT = MADE["inject"]
GUEST = {"cpu": "C", "kernel": "7.3.4", "jit": "1"}


def event(name: str, /, **fields: Any) -> tuple[str, object]:
    return ("event", {"event": name, **fields})


def samples(table: Table, rounds: int = 2, value: float = 100.0) -> Steps:
    return [
        event("sample", row=table.identity(row), round=round_, value=value)
        for round_ in range(rounds)
        for row in table.rows
    ]


def without(steps: Steps, identity: str) -> Steps:
    """Steps but for the samples of a row."""
    return [(verb, value) for verb, value in steps if dict(value)["row"] != identity]  # type: ignore[call-overload]


def guest(table: Table, *events: tuple[str, object]) -> Steps:
    begun = [("on", 0), event("guest", **GUEST), event("table", name=table.name)]
    return [*begun, *events, event("end"), ("status", 0)]


def test_a_run_that_measures_all_passes_and_has_a_result(world: World) -> None:
    world.runs = [guest(INJECT, *samples(INJECT))]
    assert world.run() == ExitCode.PASSED
    run, document = world.last, world.result
    assert run.view.counts() == {journal.PASSED: len(INJECT.rows)}
    assert (document["cpu"], document["kernel"], document["jit"]) == ("C", "7.3.4", "1")
    assert document["accelerator"]["name"] == "tcg"
    assert result.EMULATED in document["notes"]
    (table,) = document["tables"]
    assert {row["median"] for row in table["rows"]} == {100.0}
    assert {row["samples"] for row in table["rows"]} == {2}
    assert run.manifest.kind == "bench"
    assert run.manifest.bench == {"tables": ["inject"], "rounds": 2, "calls": 1000}
    assert "inject: getppid() fails" in world.recorder.results.getvalue()
    assert (run.path / BENCH.table).read_text() in world.recorder.results.getvalue()
    assert not (run.path / "suite").exists()


def test_the_guest_gets_the_rows_with_their_calls(world: World) -> None:
    world.runs = [guest(INJECT, *samples(INJECT))]
    world.run()
    (plan,) = world.plans
    assert plan["rounds"] == 2
    (table,) = plan["tables"]
    assert [row["calls"] for row in table["rows"]] == [300, 300, 300, 100, 100]
    assert [row["refused"] for row in table["rows"]] == [0, 300, 300, 100, 100]


def test_a_goal_that_is_missed_fails_nothing(world: World) -> None:
    table = MADE["getpid"]
    world.runs = [guest(table, *samples(table))]
    assert world.run(tables=("getpid",)) == ExitCode.PASSED
    assert "MISSED" in world.recorder.results.getvalue()


def test_a_row_that_cannot_be_measured_is_1_and_has_its_reason(world: World) -> None:
    bad = INJECT.identity(INJECT.rows[3])
    kept = without(samples(INJECT), bad)
    world.runs = [guest(INJECT, event("unmeasured", row=bad, reason="it is bad"), *kept)]
    assert world.run() == ExitCode.FAILED
    assert world.result["tables"][0]["rows"][3]["note"] == "it is bad"
    assert world.last.view.tests[bad].message == "it is bad"
    assert "it is bad" in world.recorder.said


def test_a_tool_that_nobody_has_to_have_fails_nothing(world: World) -> None:
    gone = INJECT.identity(INJECT.rows[3])
    kept = without(samples(INJECT), gone)
    world.runs = [guest(INJECT, event("not there", row=gone, reason="not there: tool"), *kept)]
    assert world.run() == ExitCode.PASSED
    assert world.last.view.tests[gone].state == journal.SKIPPED
    assert world.result["tables"][0]["rows"][3]["note"] == "not there: tool"


def test_a_splat_is_4_and_names_the_table(world: World) -> None:
    spoke = (
        "console.log",
        "[    9.0] seccomp-lab: start bench::inject\n[    9.1] WARNING: at f+0x1/0x2\n",
    )
    world.runs = [guest(INJECT, *samples(INJECT), spoke)]
    assert world.run() == ExitCode.KERNEL
    assert any("bench::inject" in reason for reason in world.last.reasons)
    assert world.result["tables"][0]["rows"][0]["median"] == 100.0


def test_a_lost_guest_is_3_and_what_it_measured_is_kept(world: World) -> None:
    world.runs = [[*guest(INJECT, *samples(INJECT, 1))[:6], ("exit", 1)]]
    assert world.run() == ExitCode.INFRA
    assert "While measuring inject." in world.last.reasons
    rows = world.result["tables"][0]["rows"]
    assert [row["samples"] for row in rows] == [1, 1, 1, 0, 0]
    assert rows[4]["note"].startswith("not measured: the guest did not come as far")


def test_a_guest_program_that_breaks_is_3(world: World) -> None:
    world.runs = [[("on", 0), ("stderr.log", "Traceback\n"), ("status", 1)]]
    assert world.run() == ExitCode.INFRA
    assert world.last.headline == "infrastructure: selftests.bench ended with status 1"


def test_a_line_that_is_no_event_is_noise(world: World) -> None:
    wrong = [event("sample", row="x"), event("sample", row="x", round="y", value=1), ("event", 7)]
    world.runs = [guest(INJECT, *wrong, *samples(INJECT))]
    assert world.run() == ExitCode.PASSED
    assert world.last.view.noise == 3


def test_a_stage_that_fails_is_in_the_run_directory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Kernel:
        raise LabError("No kernel.", hint="Build one.")

    monkeypatch.setattr(pipeline, "bring_kernel", fail)
    with pytest.raises(LabError):
        world.run()
    assert (world.last.code, world.last.headline) == (3, "infrastructure: No kernel.")
    assert world.last.reasons == ["Build one."]
    assert not (world.last.path / bench_figures.NAME).exists()


def test_an_interrupted_run_keeps_what_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any, line: str, collected: Collected, progress: object) -> None:  # noqa: ARG001
        collected.take(json.loads(line))
        if collected.samples:
            raise KeyboardInterrupt

    monkeypatch.setattr(bench_run._Measuring, "_event", interrupted)
    world.runs = [[*guest(INJECT, *samples(INJECT))[:-1], ("sleep", 60)]]
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert world.last.code == ExitCode.INTERRUPTED
    assert "While measuring inject." in world.last.reasons
    assert world.result["tables"][0]["rows"][0]["samples"] == 1


def both_runs(*values: float) -> list[Steps]:
    runs = []
    for number_, (kernel, value) in enumerate(zip(ORDER, values, strict=True), 1):
        table = compare.boot_table(number_, kernel)
        runs.append(guest(table, *samples(table, 2, value)))
    return runs


def test_two_kernels_are_booted_twice_each(world: World) -> None:
    world.runs = both_runs(100, 101, 102, 103)
    assert world.run(both=True) == ExitCode.PASSED
    assert sorted(world.kernels) == [False, True]
    assert world.last.headline == "passed: within noise of the base"
    (table,) = world.result["tables"]
    assert table["name"] == "base-series"
    assert len(table["rows"]) == 2 * len(BOTH_KERNELS)
    notes = world.result["notes"]
    assert {compare.RULE, compare.FIGURES, "2 rounds in each boot."} <= set(notes)
    assert not any("round by round" in note or "extremes" in note for note in notes)
    guests = sorted(path.name for path in (world.last.path / "guests").iterdir())
    assert guests == ["1-base", "2-series", "3-base", "4-series"]
    assert world.last.view.counts() == {journal.PASSED: 4 * len(BOTH_KERNELS)}


def test_a_series_that_is_slower_is_1(world: World) -> None:
    world.runs = both_runs(100, 120, 101, 121)
    assert world.run(both=True) == ExitCode.FAILED
    assert "slower than the base: no filter, cBPF" in world.last.headline
    assert any("noise 1.0 %: slower" in reason for reason in world.last.reasons)


def test_a_series_that_is_faster_passes(world: World) -> None:
    world.runs = both_runs(120, 100, 121, 101)
    assert world.run(both=True) == ExitCode.PASSED
    assert world.last.headline == "passed: not slower than the base"


def test_a_kernel_that_speaks_ends_the_comparison(world: World) -> None:
    runs = both_runs(100, 100, 100, 100)
    spoke = ("console.log", "[    9.1] WARNING: at f+0x1/0x2\n")
    world.runs = [[*runs[0][:-1], spoke, runs[0][-1]]]
    assert world.run(both=True) == ExitCode.KERNEL
    rows = world.result["tables"][0]["rows"]
    assert {(row["median"], row["note"]) for row in rows if row["group"] == BASE} == {
        (100.0, "1 of 2 boots")
    }
    assert {row["median"] for row in rows if row["group"] == SERIES} == {None}
    assert {one["value"] for one in world.result["tables"][0]["ratios"]} == {None}
    assert "(guests/1-base/console.log:" in world.last.reasons[0]
    assert world.last.view.splats[0]["console"] == "guests/1-base/console.log"


def test_a_boot_that_fails_keeps_what_was_measured_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.runs = both_runs(100, 100, 100, 100)
    launch = world._launch

    def fail_third(request: GuestRequest, **options: Any) -> list[str]:
        if request.run_dir.name == "3-base":
            raise LabError("No guest.", hint="Try again.")
        return launch(request, **options)

    monkeypatch.setattr(boot, "virtme_command", fail_third)
    with pytest.raises(LabError):
        world.run(both=True)
    assert (world.last.code, world.last.headline) == (3, "infrastructure: No guest.")
    assert world.last.reasons == ["Try again."]
    rows = world.result["tables"][0]["rows"]
    assert {(row["median"], row["note"]) for row in rows} == {(100.0, "1 of 2 boots")}
    assert (world.last.path / BENCH.table).is_file()


def test_the_streams_of_a_boot_that_is_lost_are_named_and_listed(world: World) -> None:
    runs = both_runs(100, 100, 100, 100)
    world.runs = [runs[0], [*runs[1][:6], ("exit", 1)]]
    assert world.run(both=True) == ExitCode.INFRA
    assert "The guest's streams are in guests/2-series." in world.last.reasons
    rows = world.result["tables"][0]["rows"]
    assert {row["median"] for row in rows if row["group"] == SERIES} == {None}
    page = (world.last.path / HTML).read_text()
    for name in ("1-base", "2-series"):
        assert f'href="guests/{name}/console.log"' in page
        assert f'href="guests/{name}/stderr.log"' in page


def test_a_guest_program_that_breaks_in_a_boot_is_found(world: World) -> None:
    world.runs = [[("on", 0), ("stderr.log", "Traceback\n"), ("status", 1)]]
    assert world.run(both=True) == ExitCode.INFRA
    assert "guests/1-base/stderr.log has what it said." in world.last.reasons


# --- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "nonsense"],
        ["--only", "base-series"],
        ["--rounds", "0"],
        ["--calls", "-1"],
        ["--calls", "many"],
        ["--ab", "--only", "getpid"],
        ["--control"],
        ["--applied", "3"],
        ["--profile", "no-extended"],
        ["--profile", "nonsense"],
        ["--limit", "silence"],
    ],
)
def test_wrong_input_is_2(
    cache: Cache, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "bring_kernel", lambda *_, **__: pytest.fail("a stage started"))
    assert run_cli(["bench", *arguments, "--cache", str(cache.root)]) == ExitCode.USAGE


def asked(monkeypatch: pytest.MonkeyPatch, cache: Cache, *arguments: str) -> BenchOptions:
    """What the command makes of its options."""
    from lab.cli import bench

    given: list[BenchOptions] = []

    def run(session: Session, plan: Plan, options: BenchOptions, again: Again) -> int:  # noqa: ARG001
        given.append(options)
        return 0

    monkeypatch.setattr(bench, "run_bench", run)
    assert run_cli(["bench", *arguments, "--cache", str(cache.root)]) == ExitCode.PASSED
    return given[0]


def test_options_have_defaults_and_quick_ones(
    monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    whole = asked(monkeypatch, cache)
    assert (whole.tables, whole.rounds, whole.calls) == (TABLES, 7, CALLS)
    quick = asked(monkeypatch, cache, "--quick", "--only", "stacked", "--only", "getpid")
    assert (quick.tables, quick.rounds, quick.calls) == (("getpid", "stacked"), 2, 10_000)
    mixed = asked(monkeypatch, cache, "--quick", "--rounds", "3")
    assert (mixed.rounds, mixed.calls) == (3, 10_000)


def test_guests_of_a_comparison_have_places_of_their_own() -> None:
    plan = Plan("linux-7.3", False, Path("/p"), False, find_profile("default"), ARCHES[0])
    options = BenchOptions(TABLES, 3, 500, True, {})
    made = boots_of(plan, options, Path("/run"))
    assert [one.plan.control for one in made] == [True, False, True, False]
    assert len({one.directory for one in made}) == 4
    identities = [table.identity(row) for one in made for table in one.tables for row in table.rows]
    assert len(set(identities)) == len(identities)
