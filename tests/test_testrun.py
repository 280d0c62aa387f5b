# SPDX-License-Identifier: MIT
"""Stage test and the reports, end to end without a kernel: the fake guest runs the toy suite."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.core import proc
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.guest import boot, splats
from lab.guest import snapshot as snapshot_module
from lab.guest.launch import GuestRequest
from lab.jobs import tests
from lab.jobs.tests import TestOptions
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import Plan
from lab.kernel.profiles import PROFILES
from lab.report.files import write_all
from lab.runs import journal, rundir
from lab.runs.manifest import Accelerator
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT, KTAP
from tests.fakes import launcher
from tests.support import Recorder
from tests.worlds import again, made_kernel, with_kvm, without_kvm

CONFTEST = """
import json, os
def write(event, **fields):
    path = os.environ.get("SECCOMP_LAB_EVENTS")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps({"event": event, **fields}) + "\\n")
def pytest_configure(config):
    config.addinivalue_line("markers", "patch(*numbers): patches")
def pytest_collection_finish(session):
    tests = [{"id": item.nodeid.split("/")[-1], "patches": [2], "doc": item.function.__doc__ or ""}
             for item in session.items]
    write("collected", tests=tests)
"""

SUITE = '''
def test_one():
    """The first."""
def test_two():
    """<The> second."""
'''

ONE, TWO = "test_toy.py::test_one", "test_toy.py::test_two"
DOCS = {ONE: "The first.", TWO: "<The> second."}
Steps = list[tuple[str, object]]


class World:
    """A lab with a toy suite, whose guest plays steps."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
        self.cache = cache
        self.recorder = Recorder()
        self.suite = tmp_path / "toy"
        self.suite.mkdir()
        (self.suite / "conftest.py").write_text(CONFTEST)
        (self.suite / "test_toy.py").write_text(SUITE)
        self.steps: Steps = []
        self.booted = 0
        self.collects = False
        """Whether pytest itself collects the suite, which takes a second."""
        monkeypatch.setattr(tests, "SELFTESTS", self.suite)
        monkeypatch.setattr(tests, "proc", SimpleNamespace(run=self._collect))
        monkeypatch.setattr(pipeline, "bring_kernel", self._kernel)
        without_kvm(monkeypatch)
        monkeypatch.setattr(boot, "virtme_command", self._launch)

    def _collect(self, command: list[str], **options: Any) -> proc.Completed:
        if self.collects:
            return proc.run(command, **options)
        rows = [{"id": name, "patches": [2], "doc": doc} for name, doc in DOCS.items()]
        Path(options["env"]["SECCOMP_LAB_EVENTS"]).write_text(
            json.dumps({"event": "collected", "tests": rows}) + "\n"
        )
        return proc.Completed(tuple(command), 0, "", "", 0.0)

    def _kernel(self, session: Session, plan: Plan, done: Stage) -> Kernel:  # noqa: ARG002
        return made_kernel(done)

    def _launch(self, request: GuestRequest, **_: Any) -> list[str]:
        self.booted += 1
        return launcher(request.run_dir, self.steps)

    def run(
        self,
        *,
        control: bool = False,
        k: str | None = None,
        since: int = 0,
        crowded: bool = False,
        **limits: float,
    ) -> int:
        profile = replace(PROFILES[0], selection=(str(self.suite),))
        patches = Path("/nowhere/patches")
        plan = Plan("linux-7.3", False, patches, control, profile, ARCHES[0])
        session = Session(self.cache, self.recorder.ui)
        return tests.run_tests(session, plan, TestOptions(k, (), limits, since, crowded), again)

    @property
    def last(self) -> Run:
        return Run.load(rundir.find(self.cache, "last"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> World:
    return World(tmp_path, monkeypatch, cache)


def result(name: str, outcome: str, message: str = "") -> tuple[str, object]:
    fields = {"id": name, "outcome": outcome, "seconds": 0.5, "message": message}
    return ("event", {"event": "result", **fields})


def start(name: str) -> tuple[str, object]:
    return ("event", {"event": "start", "id": name})


def whole(one: str, two: str, status: int) -> Steps:
    message = "assert 1 == 2\nE  <broken> \x1b[31m]]>"
    return [
        ("on", 0),
        start(ONE),
        result(ONE, one),
        start(TWO),
        result(TWO, two, message if two != "passed" else ""),
        ("status", status),
    ]


def test_a_run_that_passes_leaves_a_whole_directory(world: World) -> None:
    world.collects = True
    world.steps = whole("passed", "passed", 0)
    assert world.run() == ExitCode.PASSED
    names = {path.name for path in world.last.path.iterdir()}
    assert names == {
        "manifest.json",
        "journal.ndjson",
        "console.log",
        "stdout.log",
        "stderr.log",
        "vng.log",
        "ktap.txt",
        "junit.xml",
        "report.html",
        "share",
    }
    manifest = world.last.manifest
    assert manifest.accelerator == Accelerator("tcg", "there is none")
    assert manifest.limits["boot"] == 180
    assert manifest.reproduce == "scripts/lab something default"
    assert "passed: 2 passed" in world.recorder.results.getvalue()
    assert f"[1/2] passed   {ONE}" in world.recorder.said


def test_a_failed_test_is_1_in_every_report(world: World) -> None:
    world.collects = True
    world.steps = whole("passed", "failed", 1)
    assert world.run() == ExitCode.FAILED
    run = world.last
    ktap = (run.path / KTAP).read_text()
    assert f"ok 1 {ONE}\nnot ok 2 {TWO}\n# assert 1 == 2\n" in ktap
    suite = ET.parse(run.path / JUNIT).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    html = (run.path / HTML).read_text()
    assert "&lt;broken&gt;" in html
    assert "&lt;The&gt; second." in html
    assert "Unproved" in html


def test_the_page_is_self_contained_and_made_for_narrow_screens(world: World) -> None:
    world.steps = whole("passed", "passed", 0)
    world.run()
    html = (world.last.path / HTML).read_text()
    assert 'name="viewport"' in html
    assert "http://" not in html
    assert "https://" not in html
    assert "<script" not in html
    assert "<link" not in html


def test_a_panic_is_4_and_names_the_test_in_flight(world: World) -> None:
    world.steps = [
        ("on", 0),
        start(ONE),
        ("console.log", f"[ 1.0] {splats.START_MARKER}{ONE}\n"),
        ("console.log", "[ 1.1] Kernel panic - not syncing: sysrq triggered crash\n"),
    ]
    assert world.run() == ExitCode.KERNEL
    verdict = world.last.view.verdict
    assert f"In flight: {ONE}." in verdict["reasons"]
    assert world.last.view.splats[0]["test"] == ONE
    assert world.last.view.counts() == {"running": 1, "not started": 1}


def test_a_hung_guest_is_3_and_names_the_test_in_flight(world: World) -> None:
    world.steps = [("on", 0), start(ONE), result(ONE, "failed"), start(TWO), ("sleep", 60)]
    assert world.run(silence=1) == ExitCode.INFRA
    assert world.last.view.verdict["reasons"][-1] == f"In flight: {TWO}."
    assert "not ok 2" in (world.last.path / KTAP).read_text()


def test_a_guest_that_never_came_up_lists_what_did_not_run(world: World) -> None:
    world.steps = [("say", "qemu: broken"), ("exit", 1)]
    assert world.run() == ExitCode.INFRA
    assert world.last.view.counts() == {"not started": 2}


def test_control_is_judged_by_absence(world: World) -> None:
    world.steps = whole("absent", "absent", 0)
    assert world.run(control=True) == ExitCode.PASSED
    assert f"ok 1 {ONE}" in (world.last.path / KTAP).read_text()
    world.steps = whole("absent", "passed", 0)
    assert world.run(control=True) == ExitCode.FAILED
    assert f"not ok 2 {TWO}" in (world.last.path / KTAP).read_text()


def test_a_selection_of_nothing_is_1_without_a_boot(world: World) -> None:
    world.collects = True
    assert world.run(k="nothing_of_that_name") == ExitCode.FAILED
    assert world.booted == 0
    assert world.last.headline == "failed: no test is selected"


@pytest.mark.parametrize(("kvm_works", "turns"), [(False, True), (True, False)])
def test_processors_of_an_emulated_guest_take_turns_in_a_crowd(
    world: World, monkeypatch: pytest.MonkeyPatch, kvm_works: bool, turns: bool
) -> None:
    if kvm_works:
        with_kvm(monkeypatch)
    world.steps = whole("passed", "passed", 0)
    assert world.run(crowded=True) == ExitCode.PASSED
    assert world.last.manifest.guest.one_thread is turns
    assert ("2 processors take turns" in world.recorder.results.getvalue()) is turns


def test_nothing_new_on_a_kernel_that_has_passed_is_0_without_a_boot(world: World) -> None:
    world.collects = True
    (world.suite / "test_toy.py").write_text("")
    assert world.run(since=11) == ExitCode.PASSED
    assert world.booted == 0
    assert world.last.headline == "passed: no test is new since patch 11"


def test_a_test_that_cannot_be_read_is_1_without_a_boot(world: World) -> None:
    world.collects = True
    (world.suite / "test_toy.py").write_text("def test_(:\n")
    assert world.run() == ExitCode.FAILED
    assert world.booted == 0


def test_an_expression_that_pytest_refuses_is_2(world: World) -> None:
    world.collects = True
    assert world.run(k="and and") == ExitCode.USAGE


def test_a_stage_that_fails_is_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LabError("The kernel does not build.", hint="Mend it.")

    monkeypatch.setattr(pipeline, "bring_kernel", broken)
    with pytest.raises(LabError):
        world.run()
    assert world.last.code == ExitCode.INFRA
    assert "The kernel does not build." in (world.last.path / HTML).read_text()


def test_an_interrupted_run_is_recorded_with_its_test(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.steps = [("on", 0), start(ONE), result(ONE, "passed"), start(TWO), ("sleep", 60)]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tests, "show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert world.last.code == ExitCode.INTERRUPTED
    assert (world.last.path / HTML).exists()


def test_a_directory_of_a_killed_run_can_be_read(world: World) -> None:
    world.steps = whole("passed", "passed", 0)
    world.run()
    path = world.last.path / journal.NAME
    lines = path.read_text().splitlines()
    cut = next(n for n, line in enumerate(lines) if json.loads(line)["event"] == "result")
    path.write_text("\n".join(lines[:cut]) + '\n{"event": "res')
    run = Run.load(world.last.path)
    assert run.headline == "no verdict: the run was cut short"
    assert run.reasons == [f"In flight: {ONE}."]
    write_all(run)
    assert "cut short" in (run.path / JUNIT).read_text()


def test_runs_are_found_by_id_part_path_and_last(world: World, cache: Cache) -> None:
    world.steps = whole("passed", "passed", 0)
    world.run()
    first = world.last.path
    world.run()
    second = world.last.path
    assert first != second
    assert rundir.find(cache, first.name) == first
    assert rundir.find(cache, first.name[:19]) == first
    assert rundir.find(cache, str(first)) == first
    for name in ("series", "nothing"):
        with pytest.raises(LabError):
            rundir.find(cache, name)


def test_an_author_may_edit_while_the_guest_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest has a copy of the suite, which is gone afterwards."""
    copied = world.suite.parent / "copied"
    world.steps = [("on", 0)]

    def look(request: GuestRequest, **_: Any) -> list[str]:
        copied.write_text((request.run_dir / "suite/test_toy.py").read_text())
        script = (request.run_dir / "share/guest.sh").read_text()
        assert f"mount --bind {request.run_dir / 'suite'} {world.suite}" in script
        return launcher(request.run_dir, world.steps)

    monkeypatch.setattr(boot, "virtme_command", look)
    world.run()
    assert copied.read_text() == SUITE
    assert not (world.last.path / "suite").exists()


# --- the snapshot that the guest's Python starts from -----------------------------------------


def snapshot(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, snapshot_module.__file__, *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_replay_takes_modules_from_the_snapshot_and_behaves_like_pytest(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    (tmp_path / "test_it.py").write_text(
        "import argparse, inspect, sys, helper\n"
        "def test_it():\n"
        "    assert type(argparse.__loader__).__name__ == 'SnapshotLoader'\n"
        "    assert 'class ArgumentParser' in inspect.getsource(argparse.ArgumentParser)\n"
        "    assert argparse.__file__.endswith('argparse.py')\n"
        "    assert helper.VALUE == 1\n"
        "    assert sys.path[0] != sys.argv[0]\n"
    )
    file = str(tmp_path / "snap")
    assert snapshot(tmp_path, "record", file, "--collect-only", "-q").returncode == 0
    done = snapshot(tmp_path, "replay", file, "-q")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("content", [None, b"", b"rubbish", b"\xfb"])
def test_replay_without_a_usable_snapshot_is_plain_pytest(
    tmp_path: Path, content: bytes | None
) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): assert 0\n")
    file = tmp_path / "snap"
    if content is not None:
        file.write_bytes(content)
    done = snapshot(tmp_path, "replay", str(file), "-q")
    assert (done.returncode, "1 failed" in done.stdout) == (1, True)


def test_a_collection_that_fails_records_nothing(tmp_path: Path) -> None:
    assert snapshot(tmp_path, "record", str(tmp_path / "snap"), "--collect-only").returncode == 5
    assert not (tmp_path / "snap").exists()
