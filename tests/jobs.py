# SPDX-License-Identifier: MIT
"""A lab in which every job can run: kernels are made up, guests play steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core import proc
from lab.core.cache import Cache
from lab.core.session import Session
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
from lab.runs import rundir
from lab.runs.run import Run
from tests.fakes import launcher
from tests.sizes import CLEAN, GROWN
from tests.worlds import PATCHES, STAGES, made_kernel, without_kvm

IMPORTS = """
import sys
from pathlib import Path
from lab.core.cache import Cache
from lab.core.ui import Ui
from lab.runs.prune import prune
"""
PRUNE = "prune(Cache(Path(sys.argv[1])), Ui(quiet=True), everything=True)"

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
        self.suite = suite
        without_kvm(monkeypatch)
        monkeypatch.setattr(boot, "virtme_command", self._launch)
        monkeypatch.setattr(pipeline, "bring_kernel", self._kernel)
        for module in (tests_job, bench_job, walk_steps):
            monkeypatch.setattr(module, "SELFTESTS", suite)
        monkeypatch.setattr(tests_job, "proc", SimpleNamespace(run=self._collect))
        self._walk(monkeypatch)
        self._kselftest(monkeypatch, tmp_path)
        self._size(monkeypatch)

    def _collect(self, command: Sequence[str], **options: Any) -> proc.Completed:
        """In place of pytest on the host: tests/test_testrun.py has the real one."""
        path = options["env"]["SECCOMP_LAB_EVENTS"]
        row = {"event": "collected", "tests": [{"id": TEST, "patches": [2]}]}
        Path(path).write_text(json.dumps(row) + "\n")
        return proc.Completed(tuple(command), 0, "", "", 0.0)

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


def elsewhere(code: str, *arguments: object) -> str:
    """What another process prints: one that has a lock gets it once more."""
    command = [sys.executable, "-c", IMPORTS + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _in_use(cache: Cache, directory: Path) -> bool:
    """Whether somebody has the run's lock."""
    code = "with Cache(Path(sys.argv[1])).try_lock(sys.argv[2]) as free: print(free)"
    return elsewhere(code, cache.root, f"runs/{directory.name}") == "False"
