# SPDX-License-Identifier: MIT
"""Runs a job: a run directory around it, its reports, and the closing lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lab.core.session import Session
from lab.errors import ExitCode
from lab.kernel.plan import Plan
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import writing
from lab.runs.kinds import SUITE, Kind
from lab.runs.rundir import HTML
from lab.runs.writing import Job

Again = Callable[[Plan], Sequence[str]]
"""The command that does a run of a plan again; the command line makes it from its own options."""


def _nobody(directory: Path) -> None:
    pass


def run(
    session: Session,
    kind: Kind,
    plan: Plan,
    again: Again,
    job: Job,
    begun: Callable[[Path], None] = _nobody,
) -> int:
    """Run the job, report; the exit code. ``begun`` is told the run directory.

    Raises what ends the job without a verdict of its own; the run directory has one all the same.
    """
    made = writing.run(session, kind, plan, again(plan), job, write_all, begun)
    # The suite tells what a failed test said at once, unless it is to be quiet.
    messages = session.ui.quiet or kind not in SUITE.values()
    for line in summary(made, messages=messages, table=not kind.live):
        session.ui.out(line)
    session.ui.out(f"  report: {made.path / HTML}")
    return ExitCode.INFRA if made.code is None else made.code
