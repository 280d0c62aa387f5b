# SPDX-License-Identifier: MIT
"""The guests of a walk: what they test, and when they run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from lab.core.cache import Cache
from lab.errors import ExitCode, LabError
from lab.jobs.tests import Hooks
from lab.jobs.walk import guests
from lab.runs import rundir
from lab.runs.kinds import WALK
from tests.walking import ALL, World, the_table, wait_for


@pytest.fixture
def world(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(cache, tmp_path, monkeypatch)


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
