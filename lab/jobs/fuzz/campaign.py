# SPDX-License-Identifier: MIT
"""A fuzz run: kernel, guest, findings made small and saved, one verdict, a run directory.

The run directory is that of a test run, with a check for each thing that has to hold in place of
tests, so that `lab report`, KTAP and JUnit say the same as for tests.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab import PROJECT_ROOT
from lab.core.session import Session
from lab.core.ui import Progress
from lab.guest.request import Wish, limits_of
from lab.jobs import engine
from lab.jobs.engine import Again
from lab.jobs.fuzz.case import SAVED, SavedCase
from lab.jobs.fuzz.figures import Figures
from lab.jobs.fuzz.guest import MEMORY, PROGRAM, Bench, Event, Told, listen_to
from lab.jobs.fuzz.locate import Finding, GuestOracle, findings_of, locate
from lab.jobs.fuzz.minimise import minimise
from lab.jobs.fuzz.verdict import CHECKS, decide, results
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.runs import rundir
from lab.runs.kinds import FUZZ
from lab.runs.verdict import Verdict
from lab.runs.writing import OpenRun

CASES_DIRECTORY = "cases"

KEPT_SECONDS = 5.0
"""Between two journal rows about the run's progress."""

MINIMISED = 3
"""Findings, of different kinds, that are made small; the others are told and kept as they are."""

UNLIMITED = 10**12
BOOT_AND_END_SECONDS = 600.0
"""Beside the time for programs: until the guest is up and off, emulated and busy."""


@dataclass(frozen=True)
class FuzzOptions:
    """``programs`` None: as many as there is time for. ``only``: one index. ``limits`` replace
    calibrated ones, by name. ``sabotage``: translate wrongly, which has to be found.
    """

    minutes: float
    programs: int | None
    seed: int
    only: int | None = None
    first: int = 0
    minimise: bool = True
    sabotage: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """The first index."""
        return self.first if self.only is None else self.only

    @property
    def count(self) -> int | None:
        """How many programs at most."""
        return self.programs if self.only is None else 1


def run_fuzz(session: Session, plan: Plan, options: FuzzOptions, again: Again) -> int:
    """Fuzz, report; the exit code.

    Raises LabError if there is no verdict because a stage failed; the run directory says so too.
    """

    def job(run: OpenRun) -> Verdict:
        campaign = _Campaign(run, options)
        run.reasons = campaign.how_far
        try:
            return campaign.run()
        finally:
            campaign.keep_figures()

    return engine.run(session, FUZZ, plan, again, job)


class _Campaign:
    """One run."""

    def __init__(self, run: OpenRun, options: FuzzOptions) -> None:
        self._run = run
        self._ui = run.ui
        self._plan = run.plan
        self._options = options
        self._figures = Figures()
        self._kept = 0.0

    def run(self) -> Verdict:
        self._begin()
        kernel = pipeline.bring_kernel(self._run.session, self._plan, self._run.stage)
        bench = self._bench(kernel)
        told = self._fuzz(bench)
        findings = self._study(bench, findings_of(told))
        for identity, outcome, message in results(findings, told, self._figures):
            self._run.result(identity, outcome, message)
        return decide(findings, told, self._figures)

    def how_far(self) -> tuple[str, ...]:
        """For a run that is broken off."""
        figures = self._figures
        return (*figures.lines(), f"In flight: {figures.in_flight}.") if figures.done else ()

    def keep_figures(self) -> None:
        """Into manifest and table."""
        self._run.note(fuzz={**self._asked(), **self._figures.as_dict()})
        if self._figures.done:
            self._run.table(self._figures.outcomes.table())

    def _begin(self) -> None:
        self._run.note(fuzz=self._asked())
        self._run.seed(
            [{"id": check.identity, "patches": [], "doc": check.doc} for check in CHECKS]
        )
        self._ui.say(f"seed {self._options.seed}")

    def _asked(self) -> dict[str, Any]:
        options = self._options
        return {"seed": options.seed, "first": options.start, "programs": options.count}

    # --- the guest ------------------------------------------------------------------------

    def _bench(self, kernel: Kernel) -> Bench:
        seconds = self._options.minutes * 60
        slowness = self._plan.profile.configuration.slowness
        own = {"total": seconds + BOOT_AND_END_SECONDS * slowness}
        ready = self._run.prepare(kernel, Wish(self._options.limits, own, MEMORY))
        program = self._run.path / PROGRAM
        shutil.copy2(kernel.artifacts.directory / PROGRAM, program)
        return Bench(ready, program, self._options.sabotage)

    def _fuzz(self, bench: Bench) -> Told:
        options = self._options
        count = UNLIMITED if options.count is None else options.count
        seconds = round(options.minutes * 60)
        argv = bench.argv("run", options.seed, options.start, count, seconds)
        argv = (*argv, "--workers", str(self._plan.profile.cpus))
        with self._ui.progress("programs", options.count, "programs") as progress:

            def up(_: float) -> None:
                self._figures.started = time.monotonic()

            return listen_to(
                bench,
                lambda command, ears: self._run.boot(bench.ready, command, ears),
                argv,
                listen=lambda row: self._event(row, progress),
                signed_on=up,
            )

    def _event(self, row: Event, progress: Progress) -> None:
        figures = self._figures
        figures.take(row)
        if row["event"] == "block":
            progress.update(figures.done)
            if time.monotonic() - self._kept >= KEPT_SECONDS:
                self._kept = time.monotonic()
                self._run.event("fuzz", **{key: row[key] for key in ("first", "count", "done")})
        elif row["event"] == "finding":
            self._run.event("finding", **{key: row[key] for key in ("kind", "what", "index")})
            self._ui.warn(f"finding: program {row['index']}: {row['kind']}: {row['what']}")

    # --- findings -------------------------------------------------------------------------

    def _study(self, bench: Bench, findings: Sequence[Finding]) -> list[Finding]:
        """Find the program of each, make it small, save it."""
        studied: list[Finding] = []
        # Guests of a few programs need no more time than those of a test run; but a child that
        # hangs is silent for as long as it may take.
        limits = limits_of(self._plan, bench.ready.accelerator.name, self._options.limits)
        limits = replace(limits, silence=max(limits.silence, 2.0 * bench.patience))
        bench = replace(bench, ready=bench.ready.within(limits))
        for number, found in enumerate(findings):
            finding = found
            if self._options.minimise and number < MINIMISED:
                directory = self._run.path / rundir.GUESTS / str(number)
                finding = locate(bench, directory / "locate", self._options.seed, finding)
                finding = self._minimise(GuestOracle(bench, directory, finding), finding)
            self._save(finding)
            studied.append(finding)
        return studied

    def _minimise(self, oracle: GuestOracle, finding: Finding) -> Finding:
        if finding.case is None:
            return finding
        self._ui.say(f"making the case of program {finding.index} small ({finding.case.size()})")
        if not oracle([finding.case]):
            self._ui.say("it does not show the finding alone: it is kept as it is")
            return finding
        case = oracle.complete(minimise(finding.case, oracle))
        self._ui.say(f"{case.size()} instructions and calls are left after {oracle.guests} guests")
        return replace(finding, case=case)

    def _save(self, finding: Finding) -> None:
        if finding.case is None:
            return
        name = f"{_slug(finding.kind)}-{self._options.seed}-{finding.index}.json"
        path = self._run.path / CASES_DIRECTORY / name
        origin = {
            "seed": self._options.seed,
            "index": finding.index,
            "kind": finding.kind,
            "what": finding.what,
            "kernel": self._run.manifest.build.release,
        }
        case = finding.case
        if self._options.sabotage and case.differential:
            # What was translated wrongly on purpose is not what the suite has to run.
            case = case.with_(insn=[])
        SavedCase(finding.what, case, {"finding": ""}, origin).write(path)
        self._run.event("saved", path=str(path))
        self._ui.say(f"to keep it for the suite: cp {path} {SAVED.relative_to(PROJECT_ROOT)}/")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
