# SPDX-License-Identifier: MIT
"""The files that are derived from a run, each written atomically."""

from __future__ import annotations

from lab.core.cache import atomic_write
from lab.report.junit import junit
from lab.report.ktap import ktap
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT, KTAP

WITHOUT_TESTS = ("matrix", "walk", "bench", "size")
"""Kinds of runs that can be without tests: then there is nothing for KTAP and JUnit."""


def write_all(run: Run) -> None:
    """Write every derived file, each atomically."""
    if run.view.tests or run.kind not in WITHOUT_TESTS:
        atomic_write(run.path / KTAP, ktap(run))
        atomic_write(run.path / JUNIT, junit(run))
    write_html(run)


def write_html(run: Run) -> None:
    """Write the page alone."""
    # What makes pages is imported by who makes one.
    from lab.report.html import html

    atomic_write(run.path / HTML, html(run))
