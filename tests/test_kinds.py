# SPDX-License-Identifier: MIT
"""Every kind of run is asked the same: what a run directory has to have, however the job ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from lab.cli import again as again_module
from lab.cli.app import cli, run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.guest import boot
from lab.guest.launch import GuestRequest
from lab.jobs import tests as tests_job
from lab.jobs.bench import run as bench_job
from lab.jobs.bench.tables import make_tables
from lab.jobs.hygiene.result import CheckResult
from lab.jobs.hygiene.subject import Subject
from lab.jobs.kselftest import run as kselftest_job
from lab.jobs.kselftest.suites import SUITES, Program
from lab.jobs.size import run as size_job
from lab.jobs.walk import steps as walk_steps
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import Plan
from lab.runs import matrix_table, rundir, walk_table
from lab.runs.journal import read
from lab.runs.kinds import COMMANDS, KINDS
from lab.runs.prune import prune
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT, KTAP
from lab.runs.writing import OpenRun
from tests.fakes import launcher
from tests.support import Recorder
from tests.test_size import CLEAN, GROWN
from tests.worlds import PATCHES, STAGES, made_kernel, without_kvm

IMPORTS = """
import sys
from pathlib import Path
from lab.core.cache import Cache
from lab.core.ui import Ui
from lab.runs.prune import prune
"""
PRUNE = "prune(Cache(Path(sys.argv[1])), Ui(quiet=True), everything=True)"

CONFTEST = """
import json, os
def pytest_collection_finish(session):
    path = os.environ.get("SECCOMP_LAB_EVENTS")
    if path:
        tests = [{"id": item.nodeid.split("/")[-1], "patches": [2]} for item in session.items]
        with open(path, "a") as file:
            file.write(json.dumps({"event": "collected", "tests": tests}) + "\\n")
"""
Steps = list[tuple[str, object]]
BANNER: Steps = [("on", 0)]


def event(name: str, /, **fields: Any) -> tuple[str, object]:
    return ("event", {"event": name, **fields})


TEST = "test_toy.py::test_one"
TESTED: Steps = [
    ("on", 0),
    event("start", id=TEST),
    event("result", id=TEST, outcome="passed", seconds=0.1, message=""),
    ("status", 0),
]
CONTROL: Steps = [
    *TESTED[:2],
    event("result", id=TEST, outcome="absent", seconds=0.1, message="not there"),
    TESTED[3],
]
FUZZED: Steps = [
    ("on", 0),
    event("block", first=0, count=128, scope=1, done=0),
    event(
        "outcomes",
        counts=[["accepted", 200, 0], ["EACCES: R# !read_ok", 56, 3]],
        loaders={"root": [90, 60]},
        **dict.fromkeys(
            ("compared", "children", "calls", "notified", "without_token", "inspected", "named"), 5
        ),
    ),
    event("end", exit=0, done=256),
    ("status", 0),
]
INJECT = make_tables(2)["inject"]
MEASURED: Steps = [
    ("on", 0),
    event("guest", cpu="C", kernel="7.3.4", jit="1"),
    event("table", name="inject"),
    *(event("sample", row=INJECT.identity(row), round=0, value=100.0) for row in INJECT.rows),
    event("end"),
    ("status", 0),
]
KSELFTESTED: Steps = [
    ("on", 0),
    ("stdout.log", "# lab: begin seccomp/one\n1..1\nok 1 case\n\n# lab: end seccomp/one 0\n"),
    ("status", 0),
]


@dataclass(frozen=True)
class Case:
    """A kind of run: its command, what its guests do, and what it needs beside."""

    kind: str
    command: tuple[str, ...]
    steps: Steps | None = None


CASES = (
    Case("series", ("test",), TESTED),
    Case("control", ("test", "--control"), TESTED),
    Case("off", ("test", "--profile", "no-extended"), TESTED),
    Case("matrix", ("test", "--profile", "default,yama"), TESTED),
    Case("walk", ("series", "walk"), TESTED),
    Case("bench", ("bench", "--only", "inject", "--rounds", "1", "--calls", "1000"), MEASURED),
    Case("fuzz", ("fuzz", "--programs", "256", "--seed", "7"), FUZZED),
    Case("kselftest", ("kselftest", "seccomp"), KSELFTESTED),
    Case("size", ("size",)),
)  # fmt: skip

of_each_kind = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)


class World:
    """A lab in which every job can run: kernels are made up, guests play steps."""

    def __init__(self, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = cache
        self.steps: Steps = []
        self.error: BaseException | None = None
        self.held: list[bool] = []
        self.seen: list[dict[str, Any]] = []
        self.files = tmp_path / "files"
        self.files.mkdir()
        (self.files / "fuzz").write_text("the guest's program")
        (tmp_path / "image").write_text("a kernel")
        self.image = tmp_path / "image"
        suite = tmp_path / "toy"
        suite.mkdir()
        (suite / "conftest.py").write_text(CONFTEST)
        (suite / "test_toy.py").write_text("def test_one():\n    pass\n")
        self.suite = suite
        without_kvm(monkeypatch)
        monkeypatch.setattr(boot, "virtme_command", self._launch)
        monkeypatch.setattr(pipeline, "bring_kernel", self._kernel)
        for module in (tests_job, bench_job, walk_steps):
            monkeypatch.setattr(module, "SELFTESTS", suite)
        self._profiles(monkeypatch)
        self._walk(monkeypatch)
        self._kselftest(monkeypatch, tmp_path)
        self._size(monkeypatch)

    def _profiles(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The suite's selection is the toy's, whatever the profile."""
        arguments = tests_job.TestOptions.pytest

        def pytest_(options: tests_job.TestOptions, plan: Plan) -> list[str]:
            profile = replace(plan.profile, selection=(str(self.suite),))
            return arguments(options, replace(plan, profile=profile))

        monkeypatch.setattr(tests_job.TestOptions, "pytest", pytest_)

    def _walk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        series: Any = SimpleNamespace(
            patches=[SimpleNamespace(title="The first", number=1)],
            first=lambda n: SimpleNamespace(patches=series.patches[: n or 0]),
        )

        def opened(session: Session, plan: Plan) -> Any:
            return SimpleNamespace(
                session=session,
                plan=plan,
                series=series,
                commits=("c0", "c1"),
                describe=lambda: {**STAGES[1][1], "patches": PATCHES},
            )

        checked = dict.fromkeys(walk_steps.CHECKS, CheckResult.of(()))
        monkeypatch.setattr(Subject, "open", opened)
        monkeypatch.setattr(walk_steps, "check_patch", lambda *_: checked)

    def _kselftest(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        program = Program(SUITES[0], "one", tmp_path / "one")
        monkeypatch.setattr(kselftest_job, "build_suites", lambda *_: [program])
        monkeypatch.setattr(kselftest_job, "held", _nothing_held)
        monkeypatch.setattr("lab.host.tools.need", lambda *_: None)

    def _size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = SimpleNamespace(path=Path("/tree"))

        def source(session: Session, plan: Plan, done: Stage | None = None) -> Any:  # noqa: ARG001
            self._reached()
            if done is not None:
                made_kernel(done)
            return SimpleNamespace(tree=tree)

        def kernel(run: Any, plan: Plan, name: str, _: Any) -> Any:  # noqa: ARG001
            path = run.path / size_job.SCRATCH / name
            path.mkdir(parents=True)
            (path / ".config").write_text("CONFIG_FRAME_WARN=2048\n")
            return SimpleNamespace(path=path)

        monkeypatch.setattr(size_job, "bring_source", source)
        monkeypatch.setattr(size_job, "touched", lambda _: ("kernel/a.o",))
        monkeypatch.setattr(size_job, "_kernel", kernel)
        monkeypatch.setattr(size_job, "measure", lambda name, *_: GROWN if name == "on" else CLEAN)

    def _reached(self) -> None:
        """A stage was reached: look at the run, then end as told."""
        self.held += [_in_use(self.cache, run) for run in rundir.known(self.cache)[:1]]
        if self.error is not None:
            raise self.error

    def _kernel(self, session: Session, plan: Plan, done: Stage | None = None) -> Kernel:  # noqa: ARG002
        self._reached()
        made = made_kernel(done, self.files)
        configured: Any = SimpleNamespace(
            source=SimpleNamespace(tree=None), build_dir=None, toolchain=None
        )
        build = replace(made.build, image=self.image)
        return replace(made, configured=configured, build=build)

    def _launch(self, request: GuestRequest, **_: Any) -> list[str]:
        of_base = request.run_dir.name.endswith("-control")
        return launcher(request.run_dir, CONTROL if of_base else self.steps)

    def run(self, case: Case) -> int:
        self.steps = list(case.steps or [])
        return run_cli([*case.command, "--cache", str(self.cache.root)])

    def of(self, case: Case) -> Run:
        """The newest run of the kind."""
        suffix = f"-{case.kind}"
        found = [path for path in rundir.known(self.cache) if path.name.endswith(suffix)]
        return Run.load(found[-1])


class _nothing_held:
    """In place of a lock on a tree."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _elsewhere(code: str, *arguments: object) -> str:
    """What another process prints: one that has a lock gets it once more."""
    command = [sys.executable, "-c", IMPORTS + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _in_use(cache: Cache, directory: Path) -> bool:
    """Whether somebody has the run's lock."""
    code = "with Cache(Path(sys.argv[1])).try_lock(sys.argv[2]) as free: print(free)"
    return _elsewhere(code, cache.root, f"runs/{directory.name}") == "False"


@pytest.fixture
def world(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, cache, monkeypatch)


def test_every_kind_is_asked() -> None:
    assert {case.kind for case in CASES} == set(KINDS) - set(COMMANDS)


@of_each_kind
def test_a_run_is_whole(world: World, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run(case) == ExitCode.PASSED, capsys.readouterr().err
    run = world.of(case)
    assert set(world.held) == {True}, "its lock is held while it works"
    events = [json.loads(line) for line in (run.path / "journal.ndjson").read_text().splitlines()]
    names = [row["event"] for row in events]
    assert (names[0], names[-1]) == ("run", "verdict")
    assert "stage" in names, "stages are told"
    kind = KINDS[case.kind]
    assert ("seed" in names) is bool(kind.suite), "seeded where it has tests"
    assert {events[0]["kind"], run.manifest.kind, run.kind.name} == {case.kind}
    assert run.path.name.endswith(f"-{case.kind}")
    for name in (kind.table, kind.figures, HTML, KTAP if kind.suite else ""):
        assert not name or (run.path / name).is_file(), name
    assert (run.path / JUNIT).is_file() is bool(kind.suite or kind.parts)
    assert kind.what in unescape((run.path / HTML).read_text())
    made = run.manifest
    assert (made.base.name, made.config.digest) == ("linux-7.3", "c1")
    assert made.patches
    assert made.toolchain
    assert made.reproduce


@of_each_kind
def test_it_all_comes_back_from_journal_and_manifest(world: World, case: Case) -> None:
    world.run(case)
    run = world.of(case)
    before = _derived(run)
    kept = {"journal.ndjson", "manifest.json"}
    for path in run.path.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run_cli(["report", run.id, "--cache", str(world.cache.root)]) == ExitCode.PASSED
    assert _derived(run) == before
    assert before.keys() >= {HTML} | ({KINDS[case.kind].table} - {""})


def _derived(run: Run) -> dict[str, bytes]:
    kind = run.kind
    names = {kind.table, kind.figures, HTML, KTAP, JUNIT} - {""}
    return {name: (run.path / name).read_bytes() for name in names if (run.path / name).is_file()}


@of_each_kind
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LabError("No kernel.", hint="Build one."), ExitCode.INFRA, "No kernel."),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (ZeroDivisionError("a bug"), ExitCode.INFRA, "a bug"),
    ],
    ids=["LabError", "Ctrl-C", "bug"],
)
def test_a_run_that_is_broken_off_has_a_verdict(
    world: World, case: Case, error: BaseException, code: ExitCode, said: str
) -> None:
    world.error = error
    if isinstance(error, ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            world.run(case)
    else:
        assert world.run(case) == code
    run = world.of(case)
    assert run.code == code
    assert any(said in text for text in (run.headline, *run.reasons))
    assert said in (run.path / HTML).read_text()
    if run.kind.suite or run.kind.parts:
        assert (run.path / JUNIT).is_file()


@of_each_kind
def test_the_reproduce_line_is_parsed_to_the_same_parameters(world: World, case: Case) -> None:
    world.run(case)
    line = world.of(case).manifest.reproduce.split()
    assert line[0] == again_module.PROGRAM
    asked, again = _parsed(case.command), _parsed(tuple(line[1:]))
    assert again == asked


def _parsed(words: tuple[str, ...]) -> tuple[str, Mapping[str, Any]]:
    """The command that click finds, and the parameters that it would call it with."""
    command: click.Command = cli
    context = click.Context(cli)
    names = []
    rest = list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None
        command = found
        names.append(name)
        context = click.Context(command, parent=context, info_name=name)
    command.parse_args(context, rest)
    return " ".join(names), context.params


@pytest.mark.parametrize(
    "words",
    [
        ("test", "-k", "a and b", "--limit", "boot=5", "--control", "--", "-x", "--tb=no"),
        ("test", "--base", "bpf-next", "--newer", "--patches", "/elsewhere", "--applied", "3"),
        ("test", "--profile", "yama,bpf-lsm"),
        ("bench", "--ab", "--rounds", "3", "--calls", "500"),
        ("fuzz", "--seed", "9", "--minutes", "2.5", "--only", "4", "--no-minimise"),
        ("fuzz", "--seed", "9", "--programs", "3", "--first", "7", "--sabotage"),
        ("kselftest", "seccomp", "bpf", "--newer"),
        ("series", "walk", "--range", "1..2", "--build-only"),
        ("run", "--filter", "inject_fault", "--set", "call=openat", "--", "cat", "--", "-n"),
        ("trace", "--format", "json", "--output", "/tmp/x", "--", "ls"),
        ("boot", "--limit", "silence=9", "--", "true"),
    ],
)
def test_any_option_comes_back(words: tuple[str, ...]) -> None:
    name, parsed = _parsed(words)
    command: click.Command = cli
    for part in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), part)
        assert found is not None
        command = found
    line = again_module.command_line(command, name.split(), parsed)
    assert _parsed(tuple(line[1:])) == (name, parsed)


def test_a_new_column_of_a_table_leaves_old_rows_readable() -> None:
    """Rows of another lab, with a field and a column that this one does not know."""
    cells = {"build": {"state": "ok", "mood": "good"}, "size": {"state": "ok", "text": "+1"}}
    view = read(
        [
            {"event": "profile", "profile": "default", "code": 0, "weather": "fine"},
            {"event": "patch", "key": "k", "number": 1, "title": "A", "code": 0, "cells": cells},
            {"event": "patch", "key": "k", "number": 2, "title": "B", "code": 0, "cells": {}},
        ]
    )
    assert matrix_table.lines(view)[1].split()[0] == "default"
    first, second = walk_table.lines(view)[1:3]
    assert "ok +1" in first
    assert second.split()[:2] == ["2", "B"]


@pytest.mark.parametrize("case", [CASES[3], CASES[4]], ids=lambda case: case.kind)
def test_a_run_that_is_going_on_is_not_pruned(
    world: World, case: Case, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    """Neither a walk nor a matrix, nor the runs that they are made of."""
    kept: list[tuple[int, int]] = []
    publish = OpenRun.publish

    def pruned(run: OpenRun) -> None:
        publish(run)
        if run.kind.name == case.kind and run.view.of("part"):
            before = len(list(world.cache.runs.iterdir()))
            _elsewhere(PRUNE, world.cache.root)
            kept.append((before, len(list(world.cache.runs.iterdir()))))

    monkeypatch.setattr(OpenRun, "publish", pruned)
    assert world.run(case) == ExitCode.PASSED
    assert kept
    assert all(before == after for before, after in kept), kept
    prune(world.cache, recorder.ui, everything=True)
    assert list(world.cache.runs.iterdir()) == [], "when it has ended it goes"
