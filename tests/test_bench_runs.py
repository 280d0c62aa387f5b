# SPDX-License-Identifier: MIT
"""`lab bench`: whole runs with a guest that plays steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.guest import boot
from lab.guest.launch import GuestRequest
from lab.jobs.bench import compare, result
from lab.jobs.bench import run as bench_run
from lab.jobs.bench.compare import (
    ORDER,
)
from lab.jobs.bench.request import BenchOptions
from lab.jobs.bench.result import Collected
from lab.jobs.bench.run import run_bench
from lab.jobs.bench.tables import (
    BOTH_KERNELS,
    Table,
)
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import BASE, SERIES, Plan
from lab.kernel.profiles import find_profile
from lab.runs import bench_figures, journal, rundir
from lab.runs.kinds import BENCH
from lab.runs.run import Run
from lab.runs.rundir import HTML
from tests.benches import MADE, check_schema
from tests.fakes import launcher
from tests.support import Recorder
from tests.worlds import again, made_kernel, without_kvm

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
