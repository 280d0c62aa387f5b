# SPDX-License-Identifier: MIT
"""The page about a run, ``report.html``: one file that needs no other and no network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.errors import ExitCode, LabError
from lab.report import plots
from lab.report.pages import render, when
from lab.report.parts import parts, tested
from lab.report.text import facts
from lab.report.timings import timings
from lab.runs import bench_figures, console, journal, manifest
from lab.runs import size_figures as sizes_model
from lab.runs.console import Excerpt
from lab.runs.journal import Test
from lab.runs.matrix_table import Row
from lab.runs.run import BAD, GOOD, OPEN, Run, profile_rows
from lab.runs.rundir import GUESTS, HTML, JUNIT, KTAP

T = TypeVar("T")

LOGS = (
    "matrix.txt",
    "walk.txt",
    "bench.txt",
    "size.txt",
    "kselftest.txt",
    "outcomes.txt",
    "compare.html",
    "console.log",
    "stdout.log",
    "stderr.log",
    "vng.log",
    KTAP,
    JUNIT,
    bench_figures.NAME,
    sizes_model.NAME,
    journal.NAME,
    manifest.NAME,
)

GUEST_LOGS = ("console.log", "stderr.log")
"""Of each guest of a run that has booted several."""

SLOWEST = 8
"""Tests that are named for their time."""

WHAT = {
    "control": "Control: the base without the series.",
    "off": "A kernel without the series' features.",
    "matrix": "Several profiles, one after another.",
    "walk": "The series, patch by patch.",
    "bench": "Benchmarks.",
    "size": "What the series adds to the kernel.",
    "series": "The base with the series.",
}


def html(run: Run) -> str:
    """The page."""
    of_run = parts(run)
    source = tested(run, of_run)
    tests = [(test, run.judge(test)) for test in run.view.tests.values()]
    trouble: list[str] = []
    bench = _shown(bench_figures.load, run.path, trouble)
    sizes = _shown(sizes_model.load, run.path, trouble)
    return render(
        "report.html.j2",
        run=run,
        what=WHAT.get(run.kind, ""),
        facts=facts(Run(run.path, {**source.manifest, **run.manifest}, run.view)),
        tools=_tools(source),
        profiles=_profiles(run, of_run),
        patches=patch_table(source, of_run or {"": run}),
        failures=_failures(run, tests),
        end=_end(run),
        tests=tests,
        counts=run.view.counts(),
        timings=timings(run.view, run.manifest),
        slowest=_slowest(run),
        bench=bench,
        plot=plots.plot,
        sizes=sizes,
        trouble=trouble,
        warnings=(source.manifest.get("build") or {}).get("warnings") or [],
        logs=_logs(run.path),
        started=when(run.view.first),
    )


# --- runs of runs ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ProfileLine:
    """A profile of a matrix; ``link`` leads to its page. ``row`` None: it was not run."""

    name: str
    row: Row | None
    link: str
    worth: str


def _profiles(run: Run, of_run: dict[str, Run]) -> list[ProfileLine]:
    rows = {row.profile: row for row in profile_rows(run)}
    names = [*rows, *(str(name) for name in run.manifest.get("profiles") or ())]
    return [
        ProfileLine(
            name,
            row := rows.get(name),
            _link(run.path, of_run[name].path) if name in of_run else "",
            OPEN if row is None else GOOD if row.code == ExitCode.PASSED else BAD,
        )
        for name in dict.fromkeys(names)
    ]


def _link(start: Path, target: Path) -> str:
    """To the page of another run, good as long as both stay together."""
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


def patch_table(source: Run, runs: dict[str, Run]) -> list[PatchRow]:
    """Patch to tests, for every patch of the series and every number that a test names. Of several
    runs the tests that are as they should be are counted, not listed.
    """
    titles = {int(row["number"]): row for row in source.manifest.get("patches") or ()}
    proofs: dict[int, list[Proof]] = {}
    for profile, run in runs.items():
        for test in run.view.tests.values():
            for number in test.patches:
                proofs.setdefault(number, []).append(Proof(profile, test, run.judge(test)))
    return [
        PatchRow(
            number,
            str(titles.get(number, {}).get("title", "")),
            str(titles.get(number, {}).get("patch_id", ""))[:12],
            tuple(found := proofs.get(number, [])),
            tuple(found if len(runs) == 1 else _in_question(found)),
        )
        for number in sorted(set(proofs) | set(titles))
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


def _failures(run: Run, tests: Sequence[tuple[Test, str]]) -> list[Failure]:
    bad = [
        (test, worth)
        for test, worth in tests
        if worth == BAD or (worth == OPEN and test.state == journal.RUNNING)
    ]
    excerpts = console.of_tests(console.read_lines(run.path), {test.id for test, _ in bad})
    return [Failure(test, worth, excerpts.get(test.id)) for test, worth in bad]


def _end(run: Run) -> Excerpt | None:
    """The end of the console, of a run that did not come to its own end."""
    if run.code in (ExitCode.PASSED, ExitCode.FAILED, ExitCode.USAGE):
        return None
    return console.tail(console.read_lines(run.path))


def _logs(directory: Path) -> list[str]:
    """What is linked, by its place in the run directory."""
    own = [name for name in LOGS if (directory / name).is_file()]
    guests = sorted((directory / GUESTS).glob("*"))
    of_guests = [guest / name for guest in guests for name in GUEST_LOGS]
    return own + [path.relative_to(directory).as_posix() for path in of_guests if path.is_file()]


def _slowest(run: Run) -> list[Test]:
    done = [test for test in run.view.tests.values() if test.done]
    return sorted(done, key=lambda test: -test.seconds)[:SLOWEST]


def _tools(run: Run) -> dict[str, Any]:
    return {**(run.manifest.get("tools") or {}), **(run.manifest.get("toolchain") or {})}


# --- figures ---------------------------------------------------------------------------------


def _shown(load: Callable[[Path], T | None], directory: Path, trouble: list[str]) -> T | None:
    """Figures of a run directory; why those that are there cannot be shown goes to ``trouble``."""
    try:
        return load(directory)
    except LabError as error:
        trouble.append(error.message)
        return None
