# SPDX-License-Identifier: MIT
"""Several profiles, one after another: one run each, and one table of all.

The matrix is a run of its own: its journal has an event ``profile`` for each profile that ended,
naming its run directory, and a verdict, the worst of theirs. A profile that could not be built or
booted is a row like the others and keeps none of them from running.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.core.session import Session
from lab.errors import SEVERITY, ExitCode, LabError
from lab.jobs import engine
from lab.jobs.engine import Again
from lab.jobs.tests import Hooks, TestOptions, run_tests
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import Plan
from lab.kernel.profiles import CONFIGURATIONS
from lab.runs import journal, matrix_table
from lab.runs.kinds import MATRIX
from lab.runs.matrix_table import Row
from lab.runs.run import Run
from lab.runs.verdict import Verdict
from lab.runs.writing import OpenRun


def run_matrix(
    session: Session, plans: Sequence[Plan], options: TestOptions, again: Again, whole: Again
) -> int:
    """Run the suite for every plan, those of one kernel together; the worst exit code.

    ``again`` does a plan's own run again, ``whole`` the matrix.
    """

    def job(run: OpenRun) -> Verdict:
        run.note(profiles=[plan.profile.name for plan in plans])
        run.reasons = lambda: (f"{len(rows)} of {len(plans)} profiles had ended.",)
        rows: list[Row] = []
        for plan in _by_kernel(plans):
            run.ui.say(f"== profile {plan.profile.name}: {plan.profile.what}")
            told = run.stage if _describes(run, plan, plans) else None
            rows.append(_run_one(run, plan, options, again, told))
            run.event(matrix_table.EVENT, **asdict(rows[-1]))
            run.publish()
        return judge(rows)

    return engine.run(session, MATRIX, plans[0], whole, job)


def _by_kernel(plans: Sequence[Plan]) -> list[Plan]:
    """Profiles of one configuration follow each other: what is just built is in the page cache."""
    order = {row.name: number for number, row in enumerate(CONFIGURATIONS)}
    return sorted(plans, key=lambda plan: (plan.control, order[plan.profile.configuration.name]))


def _describes(run: OpenRun, plan: Plan, plans: Sequence[Plan]) -> bool:
    """Whether the kernel of a plan says what the matrix is about: the first one that can be built,
    with patches if any of them has patches.
    """
    patched = any(not one.control for one in plans)
    return not run.manifest.build.release and not (plan.control and patched)


def _run_one(
    run: OpenRun, plan: Plan, options: TestOptions, again: Again, told: Stage | None
) -> Row:
    begun: list[Path] = []

    def begin(directory: Path) -> None:
        begun.append(directory)
        run.event("part", run=str(directory))

    def bring(stage: Stage) -> Kernel:
        def both(name: str, fields: Mapping[str, Any]) -> None:
            stage(name, fields)
            if told is not None:
                told(name, fields)

        return pipeline.bring_kernel(run.session, plan, both)

    try:
        code = run_tests(run.session, plan, options, again, Hooks(begun=begin, bring=bring))
    except LabError as error:
        run.ui.warn(f"profile {plan.profile.name}: {error.message}")
        code = error.exit_code
    return read_row(plan, begun[0], int(code))


def read_row(plan: Plan, directory: Path, code: int) -> Row:
    """A profile's row, from its run directory."""
    run = Run.load(directory)
    skipped: dict[str, int] = {}
    for test in run.view.of_state(journal.SKIPPED):
        skipped[test.message] = skipped.get(test.message, 0) + 1
    return Row(
        plan.profile.name,
        plan.profile.what,
        code,
        run.headline,
        str(directory),
        run.view.counts(),
        skipped,
        sum(1 for splat in run.view.splats if not splat.get("allowed")),
        round(run.view.last - run.view.first, 1),
    )


def judge(rows: Sequence[Row]) -> Verdict:
    """The worst of the rows' exit codes, and which rows have it to answer for."""
    worst = max((ExitCode(row.code) for row in rows), key=SEVERITY.index)
    if worst == ExitCode.PASSED:
        return Verdict(worst, f"passed: {len(rows)} profiles")
    bad = [row for row in rows if row.code != ExitCode.PASSED]
    return Verdict(
        worst,
        f"{len(bad)} of {len(rows)} profiles did not pass",
        tuple(f"{row.profile}: {row.headline}" for row in bad),
    )
