# SPDX-License-Identifier: MIT
"""The page about a run, ``report.html``: one file that needs no other and no network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from lab.errors import ExitCode, LabError
from lab.guest.launch import CONSOLE_LOG, LAUNCHER_LOG, STDERR_LOG, STDOUT_LOG
from lab.report import plots
from lab.report.pages import render, when
from lab.report.parts import parts, tested
from lab.report.text import facts
from lab.report.timings import timings
from lab.runs import bench_figures, journal, manifest, matrix_table, size_figures, walk_table
from lab.runs.console import Excerpt, Excerpts
from lab.runs.journal import Test
from lab.runs.kinds import BAD, GOOD, KINDS, OPEN
from lab.runs.manifest import Manifest, Patch
from lab.runs.matrix_table import Row
from lab.runs.run import Run
from lab.runs.rundir import COMPARISON, GUESTS, HTML, JUNIT, KTAP

T = TypeVar("T")

STREAMS = (CONSOLE_LOG, STDOUT_LOG, STDERR_LOG, LAUNCHER_LOG)
"""The streams of a guest."""

FILES = (
    *(kind.table for kind in KINDS.values() if kind.table),
    COMPARISON,
    *STREAMS,
    KTAP,
    JUNIT,
    *(kind.figures for kind in KINDS.values() if kind.figures),
    journal.NAME,
    manifest.NAME,
)
"""What a run directory can have beside the page, in the order in which it is linked."""

GUEST_STREAMS = (CONSOLE_LOG, STDERR_LOG)
"""What is linked of a guest that has a place of its own."""

SLOWEST = 8
"""Tests that are named for their time."""


def html(run: Run) -> str:
    """The page."""
    of_run = parts(run) if run.kind.parts else {}
    source = tested(run, of_run)
    tests = [(test, run.judge(test)) for test in run.view.tests.values()]
    excerpts = _excerpts(run, tests)
    trouble: list[str] = []
    return render(
        "report.html.j2",
        run=run,
        what=run.kind.what,
        facts=facts(replace(run, manifest=source)),
        tools={**source.tools, **source.toolchain},
        profiles=_profiles(run, of_run),
        columns=[column.name for column in matrix_table.COLUMNS[:-1]],
        walk=_walk(run),
        patches=patch_table(source, of_run or {"": run}),
        failures=_failures(tests, excerpts),
        end=excerpts.end,
        tests=tests,
        counts=run.view.counts(),
        timings=timings(run.view, run.manifest),
        slowest=_slowest(run),
        bench=_shown(bench_figures.of, run, trouble),
        plot=plots.plot,
        sizes=_shown(size_figures.of, run, trouble),
        trouble=trouble,
        warnings=source.build.warnings,
        logs=_logs(run),
        started=when(run.view.first),
    )


# --- runs of runs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ProfileLine:
    """A profile of a matrix; ``link`` leads to its page. ``row`` None: it was not run."""

    name: str
    row: Row | None
    cells: tuple[str, ...]
    link: str
    worth: str


def _profiles(run: Run, of_run: dict[str, Run]) -> list[ProfileLine]:
    rows = {row.profile: row for row in matrix_table.rows(run.view)}
    return [_profile(run, name, rows.get(name), of_run.get(name))
            for name in dict.fromkeys((*rows, *run.manifest.profiles))]  # fmt: skip


def _profile(run: Run, name: str, row: Row | None, part: Run | None) -> ProfileLine:
    link = _link(run.path, part.path) if part else ""
    # The last column, the exit code, is told in words.
    columns = matrix_table.COLUMNS[:-1]
    if row is None:
        return ProfileLine(name, None, ("",) * len(columns), link, OPEN)
    cells = tuple(column.value(row) for column in columns)
    return ProfileLine(name, row, cells, link, GOOD if row.code == ExitCode.PASSED else BAD)


@dataclass(frozen=True)
class WalkTable:
    """The patches of a walk: the names of the columns, and for each row its name, its cells and
    what they are worth.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], str], ...]


def _walk(run: Run) -> WalkTable | None:
    found = walk_table.rows(run.view)
    if not found:
        return None
    names = walk_table.columns(found)
    return WalkTable(
        (*names, "seconds", ""),
        tuple(
            (row.name, walk_table.cells(row, names), GOOD if row.code == ExitCode.PASSED else BAD)
            for row in found
        ),
    )


def _link(start: Path, target: Path) -> str:
    """A link to the page of another run, valid while both directories stay side by side."""
    return Path(os.path.relpath(target / HTML, start)).as_posix()


# --- patches and tests -----------------------------------------------------------------------


@dataclass(frozen=True)
class Proof:
    """A test in a run. ``profile`` is "" where there is but one run."""

    profile: str
    test: Test
    worth: str


@dataclass(frozen=True)
class PatchRow:
    """A patch and the tests that prove it. ``shown`` are the ones to list."""

    number: int
    title: str
    patch_id: str
    tests: tuple[Proof, ...]
    shown: tuple[Proof, ...]

    @property
    def worth(self) -> str:
        """Bad if one of its tests is, good if all are, open else."""
        worths = {proof.worth for proof in self.tests}
        for worth in (BAD, OPEN):
            if worth in worths:
                return worth
        return GOOD if GOOD in worths else OPEN

    @property
    def counts(self) -> str:
        """Tests by state."""
        return ", ".join(
            f"{count} {state}"
            for state, count in Counter(proof.test.state for proof in self.tests).items()
        )


def patch_table(source: Manifest, runs: dict[str, Run]) -> list[PatchRow]:
    """Patch to tests, for every patch of the series and every number that a test names. Of several
    runs the tests that are as they should be are counted, not listed.
    """
    known = {patch.number: patch for patch in source.patches}
    proofs: dict[int, list[Proof]] = {}
    for profile, run in runs.items():
        for test in run.view.tests.values():
            for number in test.patches:
                proofs.setdefault(number, []).append(Proof(profile, test, run.judge(test)))
    return [
        PatchRow(
            number,
            known.get(number, Patch()).title,
            known.get(number, Patch()).patch_id[:12],
            tuple(found := proofs.get(number, [])),
            tuple(found if len(runs) == 1 else _in_question(found)),
        )
        for number in sorted(set(proofs) | set(known))
    ]


def _in_question(proofs: Sequence[Proof]) -> Iterator[Proof]:
    for proof in proofs:
        if proof.worth in (BAD, OPEN):
            yield proof


@dataclass(frozen=True)
class Failure:
    """A test that is not as it should be, and the console while it ran, if that is known."""

    test: Test
    worth: str
    excerpt: Excerpt | None


def _failures(tests: Sequence[tuple[Test, str]], excerpts: Excerpts) -> list[Failure]:
    return [Failure(test, worth, excerpts.tests.get(test.id))
            for test, worth in tests if _is_failure(test, worth)]  # fmt: skip


def _is_failure(test: Test, worth: str) -> bool:
    return worth == BAD or (worth == OPEN and test.state == journal.RUNNING)


def _excerpts(run: Run, tests: Sequence[tuple[Test, str]]) -> Excerpts:
    """From the journal; from the console itself if the run was killed or an older lab wrote it."""
    kept = run.view.of("excerpts")
    try:
        if kept:
            return Excerpts.read(kept[-1])
    except ValueError:
        pass
    failed = {test.id for test, worth in tests if _is_failure(test, worth)}
    return Excerpts.cut(run.path, failed, run.code)


def _logs(run: Run) -> list[str]:
    """The files beside the page, by their place in the run directory: those that the journal tells
    of, whether they are still there or not, and what else is there.
    """
    kind, view = run.kind, run.view
    told = {journal.NAME, manifest.NAME}
    told |= {kind.table} if kind.render(view) else set()
    told |= {kind.figures} if view.of("figures") else set()
    told |= {KTAP} if kind.suite else set()
    told |= {JUNIT} if kind.suite or kind.parts else set()
    places = {str(guest.get("place", "")) for guest in view.guests}
    told |= {f"{place}/{name}" if place else name for place in places for name in STREAMS}
    there = {f"{GUESTS}/{path.name}" for path in (run.path / GUESTS).glob("*")}
    names = [*FILES, *(f"{place}/{name}" for place in sorted((places | there) - {""})
                       for name in GUEST_STREAMS)]  # fmt: skip
    return [name for name in names if name in told or (run.path / name).is_file()]


def _slowest(run: Run) -> list[Test]:
    done = [test for test in run.view.tests.values() if test.done]
    return sorted(done, key=lambda test: -test.seconds)[:SLOWEST]


# --- figures ---------------------------------------------------------------------------------


def _shown(read: Callable[[Run], T | None], run: Run, trouble: list[str]) -> T | None:
    """Figures of a run; why those that are there cannot be shown goes to ``trouble``."""
    try:
        return read(run)
    except LabError as error:
        trouble.append(error.message)
        return None
