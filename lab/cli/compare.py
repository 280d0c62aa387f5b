# SPDX-License-Identifier: MIT
"""``lab compare``: what changed between two runs."""

from __future__ import annotations

import os
from pathlib import Path

import click
from markupsafe import Markup

from lab.cli.options import CONTEXT_SETTINGS, common
from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.errors import ExitCode, UsageError
from lab.report.compare.comparison import Comparison, compare
from lab.report.compare.text import text
from lab.report.pages import render
from lab.runs import rundir
from lab.runs.run import Run
from lab.runs.rundir import COMPARISON, HTML


@click.command("compare", context_settings=CONTEXT_SETTINGS)
@click.argument("old")
@click.argument("new", default=rundir.LAST)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    show_default=f"{COMPARISON} in NEW's directory",
    help="Write the HTML page to FILE.",
)
@common
def compare_command(session: Session, old: str, new: str, page: Path | None) -> int:
    """Show what changed from run OLD to run NEW (default: the last run).

    Compared are results, times, figures, and what was run. Runs are named as for `lab report`. The
    exit code is 1 if something got worse.
    """
    directories = [rundir.find(session.cache, name) for name in (old, new)]
    found = compare(*(Run.load(directory) for directory in directories))
    target = page or directories[1] / COMPARISON
    try:
        atomic_write(target, html(found, target.parent))
    except OSError as error:
        raise UsageError(
            f"{target} cannot be written: {error.strerror}.", hint="Name another one with --html."
        ) from error
    for line in text(found):
        session.ui.out(line)
    session.ui.out(f"  page: {target}")
    return ExitCode.FAILED if found.worse else ExitCode.PASSED


def html(comparison: Comparison, directory: Path) -> str:
    """The page, to be put into ``directory``."""

    def run_link(run: Run) -> Markup:
        path = run.path / HTML
        if not path.is_file():
            return Markup.escape(run.id)
        address = Path(os.path.relpath(path, directory.absolute())).as_posix()
        return Markup('<a href="{}">{}</a>').format(address, run.id)

    return render("compare.html.j2", comparison=comparison, run_link=run_link)
