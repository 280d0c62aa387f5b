# SPDX-License-Identifier: MIT
"""The steps of a walk: what they are made from, and how one is checked and built."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

from lab.core.session import Session
from lab.core.stamp import digest_of
from lab.errors import SEVERITY, ExitCode, LabError
from lab.jobs.hygiene import result
from lab.jobs.hygiene.check import check_patch
from lab.jobs.hygiene.checkpatch import EXCEPTIONS
from lab.jobs.hygiene.subject import Subject
from lab.jobs.hygiene.warnings import SPARSE, W1
from lab.jobs.tests import SELFTESTS
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import Plan
from lab.kernel.profiles import absent_file
from lab.runs.walk_table import BAD, NOT_RUN, NOTHING, OK, Cell, Row
from lab.source.bases import resolve
from lab.source.state import files_digest

CHECKS = ("checkpatch", W1, SPARSE)
BUILD, BOOT, TESTS = "build", "boot", "selftests"
COLUMNS = (*CHECKS, BUILD, BOOT, TESTS)

STATES = {
    result.OK: OK,
    result.FINDINGS: BAD,
    result.NOT_RUN: NOT_RUN,
    result.NOTHING: NOTHING,
}
"""How a check's result stands in the table."""


@dataclass(frozen=True)
class Step:
    """A row to be made: ``plan`` has the first ``plan.applied`` patches. ``key`` names commit,
    fragments, profile and suite.
    """

    plan: Plan
    title: str
    commit: str
    key: str

    @property
    def identity(self) -> str:
        """The step's name in journal and reports."""
        return f"walk::{self.number} {self.title}"

    @property
    def number(self) -> int:
        """The number of the last patch that is applied; 0 is the base."""
        return self.plan.applied or 0


@dataclass(frozen=True)
class WalkOptions:
    """``first`` to ``last`` are patch numbers, 0 the base, None the series' end. ``build_only``: no
    guests. ``again``: also what has passed before.
    """

    first: int = 0
    last: int | None = None
    build_only: bool = False
    again: bool = False


def plan_steps(subject: Subject, options: WalkOptions) -> list[Step]:
    """The rows to be made. Raises UsageError if the series has no such patches."""
    plan, series = subject.plan, subject.series
    last = len(series.patches) if options.last is None else options.last
    titles = ["(the base)", *(patch.title for patch in series.first(last).patches)]
    # Of a range without an end, the beginning too has to be there.
    series.first(options.first)
    steps = []
    for number in range(options.first, last + 1):
        step = replace(plan, applied=number, control=number == 0)
        commit = subject.commits[number]
        steps.append(Step(step, titles[number], commit, _key(step, commit, options)))
    return steps


def _key(plan: Plan, commit: str, options: WalkOptions) -> str:
    fragments = plan.profile.configuration.fragment_files(plan.arch, series=True)
    absent = absent_file(resolve(plan.base)[0])
    suite = sorted(
        path for path in SELFTESTS.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    parts = (
        commit,
        files_digest((*fragments, EXCEPTIONS, *((absent,) if absent else ()))),
        plan.profile.name,
        plan.arch.name,
        "build only" if options.build_only else files_digest(suite),
    )
    return digest_of(*parts)


@dataclass
class Half:
    """A step on its way: what is known of it so far."""

    step: Step
    cells: dict[str, Cell] = field(default_factory=lambda: dict.fromkeys(COLUMNS, Cell(NOTHING)))
    codes: list[ExitCode] = field(default_factory=lambda: [ExitCode.PASSED])
    wrong: list[str] = field(default_factory=list)
    run: Path | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return set(self.codes) == {ExitCode.PASSED}

    def row(self) -> Row:
        """The step, done."""
        return Row(
            self.step.key,
            self.step.number,
            self.step.title,
            self.cells,
            int(max(self.codes, key=SEVERITY.index)),
            "; ".join(self.wrong),
            str(self.run or ""),
            round(self.seconds, 1),
        )


def build_step(subject: Subject, step: Step) -> tuple[Half, Stages | None]:
    """Check and build one step; None for a kernel that does not build. What a check finds keeps
    nothing from being built.
    """
    half, started = Half(step), monotonic()
    if step.number:
        try:
            found = _check(subject, step.number, half.cells)
            half.codes += [ExitCode.FAILED] * bool(found)
            half.wrong += found
        except LabError as error:
            half.cells |= {column: Cell(BAD) for column in CHECKS}
            half.codes.append(error.exit_code)
            half.wrong.append(error.message)
    stages = None
    try:
        stages = _build(subject.session, step)
        half.cells[BUILD] = _built(stages.kernel)
    except LabError as error:
        half.cells[BUILD] = Cell(BAD)
        half.codes.append(error.exit_code)
        half.wrong.append(error.message)
    half.seconds = monotonic() - started
    return half, stages


@dataclass(frozen=True)
class Stages:
    """A kernel, and what its stages had to tell."""

    kernel: Kernel
    told: dict[str, Any]

    def tell(self, stage: Stage) -> Kernel:
        """Tell it to a run that uses the kernel, as one stage: it took that run no time."""
        stage("kernel", self.told)
        return self.kernel


def _check(subject: Subject, number: int, done: dict[str, Cell]) -> list[str]:
    """Fill in what the tree's own tools say of the patch; what they found.

    Raises LabError if one of them fails.
    """
    results = check_patch(subject, number)
    for column in CHECKS:
        state = STATES[results[column].state]
        done[column] = Cell(state, str(len(results[column].findings) or ""))
    return [f"{column}: {found}" for column in CHECKS for found in results[column].findings]


def _build(session: Session, step: Step) -> Stages:
    """The step's kernel."""
    told: dict[str, Any] = {}
    kernel = pipeline.bring_kernel(session, step.plan, lambda _, fields: told.update(fields))
    return Stages(kernel, told)


def _built(kernel: Kernel) -> Cell:
    build = kernel.build
    warned = f", {len(build.warnings)} warnings" if build.warnings else ""
    return Cell(OK, f"{build.seconds:.0f} s{warned}" if build.fresh else "as before")
