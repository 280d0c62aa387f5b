# SPDX-License-Identifier: MIT
"""A toy base with two patches to walk, for the tests of walks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import LabError
from lab.jobs.engine import Again
from lab.jobs.hygiene.result import CheckResult
from lab.jobs.tests import Hooks, TestOptions
from lab.jobs.walk import guests, steps
from lab.jobs.walk.steps import Stages, Step
from lab.kernel.build import BuildResult
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.kernel.userspace import GuestArtifacts
from lab.runs import manifest, rundir
from lab.runs.journal import Journal
from lab.runs.kinds import SUITE, WALK
from lab.runs.walk_table import OK, Cell
from tests.support import make_kernel, make_patches, make_repository
from tests.worlds import with_tools

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
        with_tools(monkeypatch)
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


ALL = ["build 0", "test 0", *(f"{part} {n}" for n in (1, 2) for part in ("check", "build", "test"))]


SECOND = ALL[-3:]


def the_table(world: World) -> str:
    """Of the last walk."""
    return (rundir.find(world.cache, WALK.name) / WALK.table).read_text()


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds, or ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
