# SPDX-License-Identifier: MIT
"""``lab report``, ``runs``, ``review-check``: read run directories."""

from __future__ import annotations

import json
import sys

import click

from lab.cli.options import CONTEXT_SETTINGS, common
from lab.core.session import Session
from lab.errors import UsageError
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import review_check, rundir
from lab.runs.run import Run
from lab.runs.rundir import HTML


@click.command("report", context_settings=CONTEXT_SETTINGS)
@click.argument("run", default=rundir.LAST)
@common
def report_command(session: Session, run: str) -> None:
    """Print the result of RUN and write its reports again.

    RUN is a directory, an id, a unique part of an id, or "last" (the default).
    """
    directory = rundir.find(session.cache, run)
    loaded = Run.load(directory)
    write_all(loaded)
    for line in summary(loaded):
        session.ui.out(line)
    session.ui.out(f"  report: {directory / HTML}")


@click.command(context_settings=CONTEXT_SETTINGS)
@common
def runs(session: Session) -> None:
    """List the runs, the oldest first."""
    for directory in rundir.known(session.cache):
        try:
            run = Run.load(directory)
        except UsageError as error:
            session.ui.warn(error.message)
            continue
        counts = ", ".join(f"{count} {state}" for state, count in run.view.counts().items())
        session.ui.out(
            f"{run.id}  {run.headline.splitlines()[0]}" + (f"  ({counts})" if counts else "")
        )


@click.command("review-check", context_settings=CONTEXT_SETTINGS)
@common
def review_check_command(session: Session) -> None:
    """Print the last result for the patch on standard input, as a JSON array for b4.

    git config --add b4.review-perpatch-check-cmd "/path/to/scripts/lab review-check --quiet"
    """
    rows = review_check.check(session.cache, sys.stdin.buffer.read())
    session.ui.out(json.dumps(rows))
