# SPDX-License-Identifier: MIT
"""The walk: which steps, what is kept, what is named. Stages and guests are stand-ins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.cli.again import plan_values
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs.hygiene.result import CheckResult, Finding
from lab.jobs.hygiene.subject import Subject
from lab.jobs.walk import steps
from lab.jobs.walk.run import passed_before
from lab.kernel.pipeline import bring_source
from lab.kernel.plan import BASE, Plan
from lab.runs import rundir
from lab.runs.journal import Journal
from lab.runs.kinds import WALK
from lab.runs.run import Run
from lab.source.series import Series
from tests.support import Recorder
from tests.walking import ALL, SECCOMP_C, SECOND, World, wait_for


@pytest.fixture
def world(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(cache, tmp_path, monkeypatch)


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
