# SPDX-License-Identifier: MIT
"""A run of `lab bench`: kernel, guest, samples, bench.json, one verdict, a run directory.

The run directory is that of a test run, with a test for each row that is measured, so that
`lab report`, `lab runs`, KTAP and JUnit say what was and what was not. How fast something is fails
nothing, except in a comparison of two kernels.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab import PROJECT_ROOT
from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.core.ui import Progress
from lab.errors import ExitCode
from lab.guest import environment
from lab.guest.boot import Listeners
from lab.guest.launch import SHARE, STDERR_LOG
from lab.guest.request import Wish
from lab.guest.script import EVENTS, GUEST_SHARE, GuestCommand
from lab.guest.session import Outcome
from lab.guest.splats import Splat
from lab.jobs import engine
from lab.jobs.bench.outcome import Measured, judge
from lab.jobs.bench.request import BenchOptions, Boot, boots_of
from lab.jobs.bench.result import Collected
from lab.jobs.engine import Again
from lab.jobs.tests import SELFTESTS
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.runs import journal
from lab.runs.kinds import BENCH
from lab.runs.verdict import PYTEST_OK, Verdict, decide
from lab.runs.writing import OpenRun

PLAN = "plan.json"

SILENCE_SECONDS = 330.0
"""More than selftests/bench lets one sample take."""

TOTAL_SECONDS = 4 * 3600.0
"""How long all of it takes is the caller's choice; what hangs is silent."""


def run_bench(session: Session, plan: Plan, options: BenchOptions, again: Again) -> int:
    """Measure, report; the exit code.

    Raises LabError if there is no verdict because a stage failed; the run directory says so too.
    """

    def job(run: OpenRun) -> Verdict:
        measuring = _Measuring(run, options)
        run.reasons = measuring.unfinished
        try:
            return measuring.run()
        finally:
            measuring.keep()

    return engine.run(session, BENCH, plan, again, job)


class _Measuring:
    """One run."""

    def __init__(self, run: OpenRun, options: BenchOptions) -> None:
        self._run = run
        self._plan = run.plan
        self._options = options
        self._boots = boots_of(run.plan, options, run.path)
        self._collected = [Collected() for _ in self._boots]
        self._booted = self._boots[0]
        self._suite = run.path / "suite"

    def run(self) -> Verdict:
        """Every guest, until one is lost or its kernel complains."""
        self._begin()
        kernels = self._kernels()
        shutil.copytree(SELFTESTS, self._suite)
        found: list[Splat] = []
        scan_error = ""
        try:
            for number, boot in enumerate(self._boots):
                outcome = self._boot(boot, kernels[boot.plan.control], self._collected[number])
                self._results(boot, self._collected[number])
                found += outcome.complaints
                scan_error = outcome.scan_error
                if outcome.complaints or scan_error or outcome.lost or outcome.end.status:
                    break
        finally:
            shutil.rmtree(self._suite, ignore_errors=True)
        return self._decide(found, scan_error)

    def unfinished(self) -> tuple[str, ...]:
        """What the guests that have begun and did not come to an end were at."""
        return tuple(
            f"While measuring {one.table}."
            for one in self._collected
            if one.table and not one.ended
        )

    def keep(self) -> None:
        """The figures, as far as the guests came."""
        if not any(one.samples for one in self._collected):
            return
        figures, lines = self._measured().document()
        self._run.event("figures", **figures)
        self._run.table(lines)

    def _begin(self) -> None:
        options = self._options
        self._run.note(
            bench={"tables": options.tables, "rounds": options.rounds, "calls": options.calls}
        )
        self._run.seed(
            [
                {"id": table.identity(row), "patches": [], "doc": table.title}
                for boot in self._boots
                for table in boot.tables
                for row in table.rows
            ]
        )

    def _kernels(self) -> dict[bool, Kernel]:
        """The kernels, by whether it is the base. The manifest describes the plan's own kernel."""
        kernels = {}
        for boot in self._boots:
            control = boot.plan.control
            if control not in kernels:
                done = {} if control != self._plan.control else {"done": self._run.stage}
                kernels[control] = pipeline.bring_kernel(self._run.session, boot.plan, **done)
        return kernels

    # --- guests ---------------------------------------------------------------------------

    def _boot(self, boot: Boot, kernel: Kernel, collected: Collected) -> Outcome:
        self._booted = boot
        run, options = self._run, self._options
        own = {"silence": SILENCE_SECONDS, "total": TOTAL_SECONDS}
        wish = Wish(options.limits, own)
        ready = run.prepare(kernel, wish, plan=boot.plan, place=run.place(boot.directory))
        share = boot.directory / SHARE
        share.mkdir(parents=True, exist_ok=True)
        atomic_write(share / PLAN, json.dumps(boot.document(options.rounds, options.calls)))
        rows = sum(len(table.rows) for table in boot.tables)
        run.ui.say(f"measuring {', '.join(table.name for table in boot.tables)}")
        with run.ui.progress("samples", rows * options.rounds, "samples") as progress:
            listeners = Listeners(event=lambda line: self._event(line, collected, progress))
            return run.boot(ready, self._command(boot, kernel), listeners)

    def _command(self, boot: Boot, kernel: Kernel) -> GuestCommand:
        arguments = (f"{GUEST_SHARE}/{PLAN}", f"{GUEST_SHARE}/{EVENTS}")
        return GuestCommand(
            (sys.executable, "-m", "selftests.bench", *arguments),
            PROJECT_ROOT,
            environment.python(boot.plan, kernel),
            sysctls=boot.plan.profile.sysctls,
            binds=[(self._suite, SELFTESTS)],
        )

    def _event(self, line: str, collected: Collected, progress: Progress) -> None:
        try:
            event = json.loads(line)
            collected.take(event)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._run.event("noise", line=line[:1000])
            return
        self._run.event("bench", **{f"guest_{name}": value for name, value in event.items()})
        if event.get("event") == "sample":
            progress.advance()
        elif event.get("event") == "unmeasured":
            self._run.ui.warn(f"{event.get('row')}: {event.get('reason')}")
        elif event.get("event") == "table":
            self._run.ui.say(f"measuring {event.get('name')}")

    def _results(self, boot: Boot, collected: Collected) -> None:
        """How each row of a guest ended, as a test. What a lost guest owes stays open."""
        for table in boot.tables:
            for row in table.rows:
                identity = table.identity(row)
                outcome = _outcome(identity, collected, self._options.rounds)
                if outcome:
                    message = collected.failed.get(identity) or collected.absent.get(identity, "")
                    self._run.result(identity, outcome, message)

    # --- the end --------------------------------------------------------------------------

    def _decide(self, found: Sequence[Splat], scan_error: str) -> Verdict:
        view = self._run.view
        verdict = decide(view, found, control=False, scan_error=scan_error)
        lost = self.unfinished()
        place = self._run.place(self._booted.directory)
        status = view.guest.get("status")
        if verdict.code != ExitCode.KERNEL and status not in (PYTEST_OK, None):
            broken = f"infrastructure: selftests.bench ended with status {status}"
            said = f"{Path(place, STDERR_LOG)} has what it said."
            return Verdict(ExitCode.INFRA, broken, (said, *lost))
        where = list(lost)
        if verdict.code == ExitCode.INFRA and self._options.both:
            where.append(f"The guest's streams are in {place}.")
        if where:
            return replace(verdict, reasons=(*verdict.reasons, *where))
        if verdict.code != ExitCode.PASSED or not self._options.both:
            return verdict
        return judge(self._measured().comparisons(), verdict)

    def _measured(self) -> Measured:
        accelerator = self._run.manifest.accelerator
        return Measured(self._options, accelerator, self._boots, tuple(self._collected))


def _outcome(identity: str, collected: Collected, rounds: int) -> str:
    """How a row ended; "" if it did not."""
    if identity in collected.failed:
        return journal.FAILED
    if identity in collected.absent:
        return journal.SKIPPED
    return journal.PASSED if len(collected.of(identity)) == rounds else ""
