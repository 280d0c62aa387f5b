# SPDX-License-Identifier: MIT
"""The files that are derived from a run: all of them from its journal and its manifest."""

from __future__ import annotations

import json

from lab.core.cache import atomic_write
from lab.report.junit import junit
from lab.report.ktap import ktap
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT, KTAP


def write_all(run: Run) -> None:
    """Write every derived file, each atomically. What an older lab did not put into the journal
    stays as it wrote it.
    """
    kind, view = run.kind, run.view
    if kind.suite:
        atomic_write(run.path / KTAP, ktap(run))
    if kind.suite or kind.parts:
        atomic_write(run.path / JUNIT, junit(run))
    if kind.table and (lines := kind.render(view)):
        atomic_write(run.path / kind.table, "\n".join(lines) + "\n")
    if kind.figures and (figures := view.of("figures")):
        atomic_write(run.path / kind.figures, json.dumps(figures[-1], indent=1) + "\n")
    if kind.reported:
        # What makes pages is imported by who makes one.
        from lab.report.html import html

        atomic_write(run.path / HTML, html(run))
