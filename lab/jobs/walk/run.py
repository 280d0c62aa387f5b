# SPDX-License-Identifier: MIT
"""The series patch by patch: each one checked, built, booted and tested as the last of the series.

A walk is a run of its own. Its journal has an event ``patch`` for each row that is done, with a key
of what it is made from: a row that passed under the same key, in this walk or an earlier one, is
not done again, so that a walk that was killed goes on where it was, and after an edit begins at the
patch that was edited.

All but the base's kernel come from one worktree and one build directory, which begins as a copy of
the base's: a step compiles what its patch touches. Its guest runs while the next ones are built,
and a second one while nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from time import monotonic

from lab.core.session import Session
from lab.errors import SEVERITY, ExitCode
from lab.jobs import engine
from lab.jobs.engine import Again
from lab.jobs.hygiene.subject import Subject
from lab.jobs.walk.guests import guest_room
from lab.jobs.walk.steps import COLUMNS, Step, WalkOptions, build_step, plan_steps
from lab.kernel.plan import Plan
from lab.runs import journal, rundir, walk_table
from lab.runs.kinds import WALK
from lab.runs.verdict import Verdict
from lab.runs.walk_table import NOT_RUN, Row, cells, line, reasons
from lab.runs.writing import OpenRun


def run_walk(
    session: Session, plan: Plan, options: WalkOptions, again: Again, test_again: Again
) -> int:
    """Every step, whatever became of the one before; the worst exit code. ``test_again`` does the
    test run of one step again.

    Raises UsageError if a patch does not apply, before anything is built.
    """
    subject = Subject.open(session, plan)
    steps = plan_steps(subject, options)
    known = {} if options.again else passed_before(session)

    def job(run: OpenRun) -> Verdict:
        return _Walking(run, subject, steps, options.build_only, test_again).run(known)

    return engine.run(session, WALK, plan, again, job)


class _Walking:
    """One run."""

    def __init__(
        self,
        run: OpenRun,
        subject: Subject,
        steps: Sequence[Step],
        build_only: bool,
        again: Again,
    ) -> None:
        self._run = run
        self._subject = subject
        self._steps = steps
        self._build_only = build_only
        self._again = again
        self._width = max(len(f"{step.number} {step.title}") for step in steps)
        self._rows: list[Row] = []

    def run(self, known: dict[str, Row]) -> Verdict:
        run, started = self._run, monotonic()
        run.reasons = lambda: (
            f"{len(self._rows)} of {len(self._steps)} steps had ended; the same command goes on.",
        )
        self._begin()
        run.ui.out(line("patch", (*COLUMNS, "seconds"), self._width))
        with guest_room(run, lambda half: self._tell(half.step, half.row()), self._again) as guests:
            for step in self._steps:
                row = known.get(step.key)
                if row is not None:
                    guests.wait()
                    row = replace(row, kept=True, number=step.number, title=step.title)
                    self._tell(step, row)
                    continue
                half, stages = build_step(self._subject, step)
                if stages is not None:
                    run.note(**stages.told)
                guests.take(half, None if self._build_only else stages)
            guests.wait()
        run.ui.out(f"whole walk: {monotonic() - started:.0f} s")
        return judge(self._rows)

    def _begin(self) -> None:
        run, steps = self._run, self._steps
        run.stage("tree", self._subject.describe())
        run.note(steps=[f"{step.number} {step.title}" for step in steps])
        run.seed(
            [
                {
                    "id": step.identity,
                    "patches": [step.number] * bool(step.number),
                    "doc": "as the last patch of the series" if step.number else "",
                }
                for step in steps
            ]
        )

    def _tell(self, step: Step, row: Row) -> None:
        run, passed = self._run, row.code == ExitCode.PASSED
        self._rows.append(row)
        run.event(walk_table.EVENT, **asdict(row))
        outcome = journal.PASSED if passed else journal.FAILED
        run.result(step.identity, outcome, row.headline, row.seconds)
        run.ui.out(line(row.name, cells(row, COLUMNS), self._width))
        run.publish()


def passed_before(session: Session) -> dict[str, Row]:
    """Rows of earlier walks that passed, by key; not those that lack a check."""
    found = {}
    for directory in rundir.known(session.cache):
        if not directory.name.endswith(f"-{WALK.name}"):
            continue
        for row in walk_table.rows(journal.load(directory)):
            if row.code != ExitCode.PASSED:
                continue
            if not any(cell.state == NOT_RUN for cell in row.cells.values()):
                found[row.key] = row
    return found


def judge(rows: Sequence[Row]) -> Verdict:
    """The worst exit code, and the first patch that has it to answer for."""
    bad = [row for row in rows if row.code != ExitCode.PASSED]
    if not bad:
        return Verdict(ExitCode.PASSED, f"passed: {len(rows)} steps")
    worst = max((ExitCode(row.code) for row in bad), key=SEVERITY.index)
    return Verdict(
        worst,
        f"the first bad patch is {bad[0].number} ({bad[0].title}); {len(bad)} of {len(rows)} bad",
        tuple(reasons(bad)),
    )
