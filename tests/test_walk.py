# SPDX-License-Identifier: MIT
"""The walk: which steps, what is kept, what is named. Stages and guests are stand-ins."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cli.again import plan_values
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs.engine import Again
from lab.jobs.hygiene.result import CheckResult, Finding
from lab.jobs.hygiene.subject import Subject
from lab.jobs.tests import Hooks, TestOptions
from lab.jobs.walk import guests, steps
from lab.jobs.walk.run import passed_before
from lab.jobs.walk.steps import Stages, Step
from lab.kernel.build import BuildResult
from lab.kernel.pipeline import Kernel, bring_source
from lab.kernel.plan import BASE, Plan
from lab.kernel.userspace import GuestArtifacts
from lab.runs import manifest, rundir
from lab.runs.journal import Journal
from lab.runs.kinds import SUITE, WALK
from lab.runs.run import Run
from lab.runs.walk_table import OK, Cell
from lab.source.series import Series
from tests.support import Recorder, make_kernel, make_patches, make_repository

SECCOMP_C = Path("kernel/seccomp.c")


class World:
    """A toy base with two patches; builds and guests are as a step is told to end."""

    def __init__(self, cache: Cache, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = cache
        self.kernel = make_kernel(root / "kernel")
        make_repository(self.kernel)
        self.patches = make_patches(self.kernel, root / "patches")
        self.ends: dict[int, int | BaseException] = {}
        self.kernels: dict[int, str] = {}
        self.files: dict[int, dict[str, str]] = {}
        self.new_tests = True
        self.done: list[str] = []
        self.checks: dict[int, CheckResult] = {}
        self.during: Callable[[Hooks], None] = lambda _: None
        self.while_testing: dict[int, Callable[[], None]] = {}
        self.before: Callable[[int], None] = lambda _: None
        self.image = root / "image"
        configured: Any = None
        build = BuildResult(self.image, root, (), 1, 1.0, "6", True, root / "log")
        self.built = Kernel(configured, build, GuestArtifacts(root, "", ()))
        monkeypatch.setattr(steps, "check_patch", lambda _, number: self.check(number))
        monkeypatch.setattr(steps, "_build", self._build)
        monkeypatch.setattr(steps, "_built", lambda _: Cell(OK, "1 s"))
        monkeypatch.setattr(guests, "run_tests", self._test)

    def check(self, number: int) -> dict[str, CheckResult]:
        """All is well, but for what ``checks`` says."""
        self.done.append(f"check {number}")
        return dict.fromkeys(steps.CHECKS, CheckResult.of(())) | {
            "checkpatch": self.checks.get(number, CheckResult.of(()))
        }

    def _build(self, _: Session, step: Step) -> Stages:
        self.before(step.number)
        self.done.append(f"build {step.number}")
        end = self.ends.get(step.number)
        if isinstance(end, LabError | KeyboardInterrupt):
            raise end
        self.image.write_text(self.kernels.get(step.number, f"kernel {step.number}"))
        files = self.files.get(step.number, {})
        guest = self.built.artifacts.directory / f"guest-{step.number}"
        guest.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (guest / name).write_text(content)
        built = replace(self.built, artifacts=GuestArtifacts(guest, "", tuple(files)))
        return Stages(built, {"build": {"release": str(step.number)}})

    def _test(
        self, _: Session, plan: Plan, options: TestOptions, _again: Again, hooks: Hooks
    ) -> int:
        run = rundir.create(self.cache, SUITE[plan.kernel].name)
        hooks.begun(run)
        manifest.write(run, id=run.name, kind=SUITE[plan.kernel].name)
        assert hooks.bring is not None

        def stage(_: str, fields: Mapping[str, Any]) -> None:
            manifest.write(run, **fields)

        kernel = hooks.bring(stage)
        name = f"kernel {plan.applied}"
        assert kernel.build.image.read_text() == self.kernels.get(plan.applied or 0, name)
        self.during(hooks)
        self.while_testing.get(plan.applied or 0, lambda: None)()
        self.done.append(f"test {plan.applied}" + f" since {options.since}" * bool(options.since))
        code = self.ends.get(plan.applied or 0, 0)
        assert isinstance(code, int)
        journal = Journal(run)
        if options.since and not self.new_tests:
            journal.write("verdict", code=code, headline="no test is new", reasons=[])
            journal.close()
            return code
        journal.write("collected", tests=[{"id": "test_a.py::test_b", "patches": [1]}])
        outcome = "failed" if code else ("absent" if plan.control else "passed")
        journal.write("result", id="test_a.py::test_b", outcome=outcome, seconds=0.1)
        journal.write("guest", outcome="exited", boot_seconds=9.0)
        journal.write("verdict", code=code, headline=f"code {code}", reasons=[])
        journal.close()
        return code

    def walk(self, *arguments: str) -> int:
        """``lab series walk``; what was done is in ``done`` afterwards, step by step: a test runs
        while the next step is built.
        """
        self.done.clear()
        options = ["--base", f"path:{self.kernel}", "--patches", str(self.patches)]
        code = run_cli(["series", "walk", *options, "--cache", str(self.cache.root), *arguments])
        self.done.sort(key=lambda what: what.split()[1])
        return code


@pytest.fixture
def world(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(cache, tmp_path, monkeypatch)


ALL = ["build 0", "test 0", *(f"{part} {n}" for n in (1, 2) for part in ("check", "build", "test"))]


SECOND = ALL[-3:]


def test_what_a_check_finds_is_the_patchs_and_keeps_it_from_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = Finding("kernel/seccomp.c", 7, "CHECK: a space")
    world.checks = {2: CheckResult.of([finding])}
    assert world.walk() == ExitCode.FAILED
    assert world.done == ALL
    out = capsys.readouterr().out
    assert "2: checkpatch: kernel/seccomp.c:7: CHECK: a space" in out
    assert "the first bad patch is 2" in out


def test_a_check_that_was_not_made_is_no_finding(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.checks = {1: CheckResult("not run", notes=("there is no perl",))}
    assert world.walk() == 0
    assert re.search(r"third line +not run +ok +ok +ok", capsys.readouterr().out)
    world.checks = {}
    assert world.walk() == 0
    assert world.done == ["check 1", "build 1", "test 1"], "it is made up for"


def test_a_check_that_breaks_is_that_patchs_row(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Subject, number: int) -> dict[str, CheckResult]:
        if number == 1:
            raise LabError("checkpatch.pl did not run as it should")
        return world.check(number)

    monkeypatch.setattr(steps, "check_patch", broken)
    assert world.walk() == ExitCode.INFRA
    assert "the first bad patch is 1" in capsys.readouterr().out
    assert world.done[-3:] == SECOND


def test_base_and_patches_are_walked_in_their_order(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.walk() == 0
    assert world.done == ALL
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["patch", *steps.COLUMNS, "seconds"]
    assert lines[1].startswith("0 (the base)")
    assert "1 absent" in lines[1]
    assert lines[2].startswith("1 seccomp: Change the third line")
    assert "ok 9 s" in lines[2]
    assert "passed: 3 steps" in out


def test_the_first_bad_patch_is_named_and_the_rest_is_walked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ends = {1: LabError("The kernel does not build: x.c:1"), 2: 4}
    assert world.walk() == ExitCode.KERNEL
    assert world.done == ["build 0", "test 0", "check 1", "build 1", *SECOND]
    out = capsys.readouterr().out
    assert "1: The kernel does not build: x.c:1" in out
    assert "the first bad patch is 1 (seccomp: Change the third line); 2 of 3 bad" in out


def test_what_has_passed_is_not_done_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ends = {2: KeyboardInterrupt()}
    world.before = lambda step: wait_for(lambda: step < 2 or "test 1" in world.done)
    assert world.walk() == ExitCode.INTERRUPTED
    world.ends, world.before = {2: 1}, lambda _: None
    assert world.walk() == ExitCode.FAILED
    assert world.done == SECOND, "it goes on where it was"
    world.ends = {}
    capsys.readouterr()
    assert world.walk() == 0
    assert world.done == SECOND, "what failed is done again"
    assert capsys.readouterr().out.count("kept") == 2
    assert world.walk("--again") == 0
    assert world.done == ALL


SINCE_FIRST = [*ALL[:-1], "test 2 since 1"]
"""The second patch's kernel is the first's: only what is new is tested."""


def test_on_a_kernel_that_has_passed_only_new_tests_are_run(world: World) -> None:
    world.kernels[2] = "kernel 1"
    assert world.walk() == ExitCode.PASSED
    assert world.done == SINCE_FIRST
    assert "ok 1 passed, as 1" in the_table(world)


def test_without_new_tests_there_is_no_guest(world: World) -> None:
    world.kernels[2] = "kernel 1"
    world.new_tests = False
    assert world.walk() == ExitCode.PASSED
    assert the_table(world).count("ok as 1") == 2


def test_files_that_are_new_are_seen_by_new_tests_only(world: World) -> None:
    world.kernels[2] = "kernel 1"
    world.files = {1: {"libbpf.so": "the old one"}, 2: {"libbpf.so": "the old one", "sample": "x"}}
    assert world.walk() == ExitCode.PASSED
    assert world.done == SINCE_FIRST
    world.files[2]["libbpf.so"] = "another"
    assert world.walk("--again") == ExitCode.PASSED
    assert world.done == ALL
    del world.files[2]["libbpf.so"]
    assert world.walk("--again") == ExitCode.PASSED
    assert world.done == ALL


def test_a_kernel_that_has_failed_is_booted_for_all_again(world: World) -> None:
    world.kernels[2] = "kernel 1"
    world.ends[1] = 1
    world.walk()
    assert world.done == ALL


def test_a_kernel_that_is_still_tested_has_not_passed(world: World) -> None:
    """Two guests run, and the one of the kernel before is not the one that ends first."""
    world.kernels[2] = "kernel 1"
    world.ends[1] = 1

    def outlast_the_base() -> None:
        wait_for(lambda: "test 0" in world.done)
        time.sleep(0.5)

    world.while_testing = {
        0: lambda: wait_for(lambda: "build 2" in world.done),
        1: outlast_the_base,
    }
    world.walk()
    assert world.done == ALL


def test_what_is_new_can_fail(world: World) -> None:
    world.kernels[2] = "kernel 1"
    world.ends[2] = 1
    assert world.walk() == ExitCode.FAILED
    assert "BAD 1 failed, as 1" in the_table(world)


def the_table(world: World) -> str:
    """Of the last walk."""
    return (rundir.find(world.cache, WALK.name) / WALK.table).read_text()


def test_a_guest_runs_while_the_next_step_is_built(world: World) -> None:
    world.during = lambda _: wait_for(lambda: "build 1" in world.done)
    assert world.walk("--range", "0..1") == 0
    assert world.done == ["build 0", "test 0", "check 1", "build 1", "test 1"]


def test_two_steps_may_wait_for_their_guests(world: World) -> None:
    """The rows come in their order, and no image is left."""
    world.during = lambda _: wait_for(lambda: "build 2" in world.done)
    assert world.walk() == 0
    assert world.done == ALL
    (directory,) = (path for path in rundir.known(world.cache) if path.name.endswith("-walk"))
    lines = (directory / WALK.table).read_text().splitlines()
    assert [line[0] for line in lines[1:4]] == ["0", "1", "2"]
    assert not list(directory.glob("image*"))


def test_two_guests_run_while_nothing_is_built(world: World) -> None:
    running: list[Hooks] = []

    def together(hooks: Hooks) -> None:
        running.append(hooks)
        wait_for(lambda: len(running) == 2)

    world.during = together
    assert world.walk("--range", "1..2") == 0
    assert world.done == ALL[2:]


def test_no_guest_outlives_the_walk(world: World) -> None:
    """A build is interrupted, and the guest beside it with it: its step is done again."""

    def until_ended(hooks: Hooks) -> None:
        while True:
            hooks.waiting()
            time.sleep(0.01)

    world.ends, world.during = {1: KeyboardInterrupt()}, until_ended
    assert world.walk() == ExitCode.INTERRUPTED
    assert world.done == ["build 0", "check 1", "build 1"]
    world.ends, world.during = {}, lambda _: None
    assert world.walk() == 0
    assert world.done == ALL


def test_a_row_without_a_guest_outlives_an_interrupt(world: World) -> None:
    world.ends = {2: KeyboardInterrupt()}
    assert world.walk("--build-only") == ExitCode.INTERRUPTED
    world.ends = {}
    assert world.walk("--build-only") == 0
    assert world.done == ["check 2", "build 2"]


def test_a_run_that_cannot_begin_is_that_patchs_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of space for its directory, for instance."""

    def full(*_: Any) -> int:
        raise LabError("No space left.")

    monkeypatch.setattr(guests, "run_tests", full)
    assert world.walk("--range", "1..1") == ExitCode.INFRA
    (directory,) = (path for path in rundir.known(world.cache) if path.name.endswith("-walk"))
    assert "No space left." in (directory / WALK.table).read_text()


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds, or ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_after_an_edit_the_walk_begins_at_the_edited_patch(world: World) -> None:
    assert world.walk() == 0
    second = world.patches / Series.read(world.patches).patches[1].file
    second.write_text(second.read_text().replace("+more", "+other"))
    assert world.walk() == 0
    assert world.done == SECOND


def test_build_only_boots_nothing_and_proves_no_test(world: World) -> None:
    assert world.walk("--build-only") == 0
    assert world.done == ["build 0", "check 1", "build 1", "check 2", "build 2"]
    assert world.walk("--build-only") == 0
    assert world.done == []
    assert world.walk() == 0
    assert world.done == ALL


def test_a_range_is_walked_alone(world: World) -> None:
    assert world.walk("--range", "2..") == 0
    assert world.done == SECOND
    assert world.walk("--range", "1") == 0
    assert world.done == ["check 1", "build 1", "test 1"]


@pytest.mark.parametrize("numbers", ["1..3", "3.."])
def test_a_patch_that_there_is_not(
    world: World, capsys: pytest.CaptureFixture[str], numbers: str
) -> None:
    assert world.walk("--range", numbers) == ExitCode.USAGE
    assert "has the patches 1 to 2; 3 is none" in capsys.readouterr().err
    assert world.done == []


def test_a_patch_that_does_not_apply_is_named_before_anything_is_built(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first = world.patches / Series.read(world.patches).patches[0].file
    first.write_text(first.read_text().replace("-line 3\n", "-line x\n"))
    assert world.walk() == ExitCode.USAGE
    assert "does not apply: kernel/seccomp.c, hunk #1" in capsys.readouterr().err
    assert world.done == []


def test_the_series_tree_is_left_alone(world: World) -> None:
    """An author goes on editing while his series is walked."""
    options = ["--base", f"path:{world.kernel}", "--patches", str(world.patches)]
    cache = ["--cache", str(world.cache.root)]
    assert run_cli(["series", "edit", *options, *cache]) == 0
    (tree,) = world.cache.trees.glob("*-series")
    (tree / SECCOMP_C).write_text("half done\n")
    assert world.walk() == 0
    assert (tree / SECCOMP_C).read_text() == "half done\n"


def test_a_row_of_another_version_of_the_lab_is_not_kept(cache: Cache, recorder: Recorder) -> None:
    run = rundir.create(cache, WALK.name)
    journal = Journal(run)
    journal.write("patch", key="k", number=1, cells={"build": {"state": "ok", "color": "red"}})
    journal.write("patch", key="k")
    journal.close()
    assert passed_before(Session(cache, recorder.ui)) == {}


def test_a_walk_can_be_reported(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.ends = {1: 1}
    world.walk()
    capsys.readouterr()
    directory = rundir.find(world.cache, WALK.name)
    assert Run.load(directory).code == ExitCode.FAILED
    table = (directory / WALK.table).read_text()
    assert "1: code 1" in table
    assert "BAD 1 failed" in table
    assert run_cli(["report", WALK.name, "--cache", str(world.cache.root)]) == 0
    assert "the first bad patch is 1" in capsys.readouterr().out


# --- the part of a series as a tree ----------------------------------------------------------


def test_a_part_of_the_series_has_a_tree_of_its_own(world: World) -> None:
    options = ["--base", f"path:{world.kernel}", "--patches", str(world.patches)]
    cache = ["--cache", str(world.cache.root)]
    session = Session(world.cache, Recorder().ui)
    (plan,) = plans(world, 1)
    tree = bring_source(session, plan).tree
    assert tree.path.name.endswith("-part")
    text = (tree.path / SECCOMP_C).read_text()
    assert "line three" in text
    assert "more" not in text
    (plan,) = plans(world, 2)
    assert bring_source(session, plan).tree.path == tree.path
    assert "more" in (tree.path / SECCOMP_C).read_text()
    assert run_cli(["config", *options, *cache, "--applied", "1", "--control"]) == ExitCode.USAGE


def plans(world: World, applied: int) -> tuple[Plan, ...]:
    """What ``--applied`` makes."""
    from lab.cli.plans import make_plans
    from lab.kernel.profiles import find_profiles

    return make_plans(
        find_profiles("default"),
        {
            "base": f"path:{world.kernel}",
            "newer": False,
            "patches": world.patches,
            "control": False,
            "applied": applied,
            "arch": "x86_64",
        },
    )


def test_without_any_patch_it_is_the_control(world: World) -> None:
    (plan,) = plans(world, 0)
    assert (plan.control, plan.kernel) == (True, BASE)
    assert plan_values(plan)["applied"] == 0
    assert plan_values(plan)["control"] is False
