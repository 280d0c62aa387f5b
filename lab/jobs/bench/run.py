# SPDX-License-Identifier: MIT
"""A run of `lab bench`: kernel, guest, samples, bench.json, one verdict, a run directory.

The run directory is that of a test run, with a test for each row that is measured, so that
`lab report`, `lab runs`, KTAP and JUnit say what was and what was not. How fast something is fails
nothing, except in a comparison of two kernels.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.core.ui import Progress
from lab.errors import ExitCode, LabError
from lab.guest import splats
from lab.guest.boot import (
    CONSOLE_LOG,
    INTERRUPTED,
    SHARE,
    STDERR_LOG,
    GuestEnd,
    Listeners,
    run_guest,
)
from lab.guest.script import EVENTS, GUEST_SHARE, GuestCommand
from lab.jobs.bench import compare, result
from lab.jobs.bench.result import Collected
from lab.jobs.bench.tables import TABLES, Table, make_tables
from lab.jobs.tests import GUEST_ENVIRONMENT, SELFTESTS
from lab.kernel.pipeline import (
    Accelerator,
    Kernel,
    Plan,
    bring_kernel,
    choose_accelerator,
    early_manifest,
    guest_limits,
    guest_request,
)
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import bench_figures, journal, manifest, rundir
from lab.runs.journal import Journal, View
from lab.runs.run import Run
from lab.runs.verdict import (
    EXITED,
    PYTEST_OK,
    Verdict,
    decide,
    verdict_of,
    what_ended,
    write_verdict,
)

KIND = "bench"
PLAN = "plan.json"

SILENCE_SECONDS = 330.0
"""More than selftests/bench lets one sample take."""

TOTAL_SECONDS = 4 * 3600.0
"""How long all of it takes is the caller's choice; what hangs is silent."""


@dataclass(frozen=True)
class BenchOptions:
    """``tables`` are names of TABLES. ``both``: the base against the series instead. ``limits``
    replace others, by name.
    """

    tables: tuple[str, ...]
    rounds: int
    calls: int
    both: bool
    limits: Mapping[str, float]

    def lab(self, plan: Plan) -> list[str]:
        """The one command that does it again."""
        command = ["scripts/lab", "bench", *plan.options()]
        command += ["--ab"] if self.both else []
        if not self.both and self.tables != TABLES:
            for name in self.tables:
                command += ["--only", name]
        command += ["--rounds", str(self.rounds), "--calls", str(self.calls)]
        for name, seconds in self.limits.items():
            command += ["--limit", f"{name}={seconds:g}"]
        return command


@dataclass(frozen=True)
class Boot:
    """A guest to be measured: its plan and tables, and where its streams go."""

    plan: Plan
    tables: tuple[Table, ...]
    directory: Path

    def document(self, rounds: int, calls: int) -> dict[str, Any]:
        """What the guest is told: see selftests/bench/__main__.py."""
        return {
            "rounds": rounds,
            "tables": [
                {
                    "name": table.name,
                    "rows": [row.plan(table.identity(row), calls) for row in table.rows],
                }
                for table in self.tables
            ],
        }


def boots_of(plan: Plan, options: BenchOptions, directory: Path) -> tuple[Boot, ...]:
    """The guests of a run, in their order."""
    if not options.both:
        tables = make_tables(plan.profile.cpus)
        return (Boot(plan, tuple(tables[name] for name in options.tables), directory),)
    return tuple(
        Boot(
            replace(plan, control=kernel == compare.BASE),
            (compare.boot_table(number, kernel),),
            directory / rundir.GUESTS / f"{number}-{kernel}",
        )
        for number, kernel in enumerate(compare.ORDER, 1)
    )


def run_bench(session: Session, plan: Plan, options: BenchOptions) -> int:
    """Measure, report; the exit code.

    Raises LabError if there is no verdict because a stage failed; the run directory says so too.
    """
    splats.load_allowlist()
    run = rundir.create(session.cache, KIND)
    with session.cache.lock_entry(run.path, "measuring", session.ui.say):
        record = Journal(run.path)
        try:
            return _Run(session, plan, options, run.path, record).run()
        finally:
            record.close()


class _Run:
    """One run."""

    def __init__(
        self, session: Session, plan: Plan, options: BenchOptions, directory: Path, record: Journal
    ) -> None:
        self._session = session
        self._ui = session.ui
        self._plan = plan
        self._options = options
        self._directory = directory
        self._journal = record
        self._view = View()
        self._boots = boots_of(plan, options, directory)
        self._collected = [Collected() for _ in self._boots]
        self._accelerator: Accelerator | None = None
        self._booted = self._boots[0]
        self._suite = directory / "suite"

    def run(self) -> int:
        """The exit code. Every way out leaves a verdict in the journal, and what was measured."""
        try:
            self._begin()
            verdict = self._measure()
        except BaseException as error:
            if not isinstance(error, LabError):
                detail = f"The lab was {what_ended(error)}."
                self._write("guest", outcome=INTERRUPTED, status=None, detail=detail)
            if any(one.samples for one in self._collected):
                self._keep()
            self._close(verdict_of(error, tuple(map(_where, self._unfinished()))))
            self._ui.say(f"run directory: {self._directory}")
            raise
        lines = self._keep()
        self._close(verdict)
        for line in lines:
            self._ui.out(line)
        self._ui.out("")
        for line in summary(Run.load(self._directory)):
            self._ui.out(line)
        return int(verdict.code)

    # --- the journal ----------------------------------------------------------------------

    def _write(self, event: str, **fields: Any) -> None:
        self._view.add(self._journal.write(event, **fields))

    def _stage(self, name: str, fields: dict[str, Any]) -> None:
        manifest.write(self._directory, **fields)
        self._write("stage", name=name)

    def _begin(self) -> None:
        options = self._options
        command = options.lab(self._plan)
        fields = early_manifest(self._session, self._plan, self._directory.name, command)
        bench = {"tables": options.tables, "rounds": options.rounds, "calls": options.calls}
        manifest.write(self._directory, **{**fields, "kind": KIND}, bench=bench)
        self._write("run", id=self._directory.name, kind=KIND, command=command)
        tests = [
            {"id": table.identity(row), "patches": [], "doc": table.title}
            for boot in self._boots
            for table in boot.tables
            for row in table.rows
        ]
        self._write("seed", tests=tests)
        write_all(Run.load(self._directory))

    def _close(self, verdict: Verdict) -> None:
        self._view.add(write_verdict(self._journal, verdict))
        write_all(Run.load(self._directory))

    # --- guests ---------------------------------------------------------------------------

    def _measure(self) -> Verdict:
        """Every guest, until one is lost or its kernel complains."""
        kernels = self._kernels()
        shutil.copytree(SELFTESTS, self._suite)
        found: list[splats.Splat] = []
        scan_error = None
        try:
            for number, boot in enumerate(self._boots):
                end = self._boot(boot, kernels[boot.plan.control], self._collected[number])
                self._results(boot, self._collected[number])
                splatted, scan_error = self._scan(boot)
                found += splatted
                if splatted or scan_error or end.outcome != EXITED or end.status != PYTEST_OK:
                    break
        finally:
            shutil.rmtree(self._suite, ignore_errors=True)
        for splat in found:
            self._write("splat", **asdict(splat))
        return self._decide(found, scan_error)

    def _kernels(self) -> dict[bool, Kernel]:
        """By whether it is the base. The manifest's facts are those of the plan's own."""
        kernels = {}
        for boot in self._boots:
            control = boot.plan.control
            if control not in kernels:
                done = {} if control != self._plan.control else {"done": self._stage}
                kernels[control] = bring_kernel(self._session, boot.plan, **done)
        return kernels

    def _boot(self, boot: Boot, kernel: Kernel, collected: Collected) -> GuestEnd:
        self._booted = boot
        self._accelerator = choose_accelerator(self._session, boot.plan.arch)
        own = {"silence": SILENCE_SECONDS, "total": TOTAL_SECONDS}
        limits = guest_limits(boot.plan, self._accelerator, {**own, **self._options.limits})
        request = guest_request(boot.plan, kernel, self._accelerator, boot.directory, limits)
        manifest.write(
            self._directory,
            accelerator=asdict(self._accelerator),
            limits=limits.as_dict(),
            guest={"cpus": request.cpus, "memory": request.memory},
        )
        share = boot.directory / SHARE
        share.mkdir(parents=True, exist_ok=True)
        rounds = self._options.rounds
        atomic_write(share / PLAN, json.dumps(boot.document(rounds, self._options.calls)))
        rows = sum(len(table.rows) for table in boot.tables)
        what = ", ".join(table.name for table in boot.tables)
        self._ui.say(f"booting {kernel.build.release} ({self._accelerator.name}): {what}")
        with self._ui.progress("samples", rows * rounds, "samples") as progress:
            listeners = Listeners(
                event=lambda line: self._event(line, collected, progress),
                signed_on=lambda seconds: self._ui.say(f"guest is up after {seconds:.1f} s"),
            )
            end = run_guest(request, self._command(boot, kernel), listeners)
        self._write("guest", **asdict(end))
        return end

    def _command(self, boot: Boot, kernel: Kernel) -> GuestCommand:
        environment = {
            **GUEST_ENVIRONMENT,
            "PATH": os.environ.get("PATH", os.defpath),
            "SECCOMP_LAB_GUEST": str(kernel.artifacts.directory),
            "SECCOMP_LAB_SLOWNESS": str(boot.plan.profile.configuration.slowness),
        }
        arguments = (f"{GUEST_SHARE}/{PLAN}", f"{GUEST_SHARE}/{EVENTS}")
        return GuestCommand(
            (sys.executable, "-m", "selftests.bench", *arguments),
            PROJECT_ROOT,
            environment,
            sysctls=boot.plan.profile.sysctls,
            binds=[(self._suite, SELFTESTS)],
        )

    def _event(self, line: str, collected: Collected, progress: Progress) -> None:
        try:
            event = json.loads(line)
            collected.take(event)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._write("noise", line=line[:1000])
            return
        self._write("bench", **{f"guest_{name}": value for name, value in event.items()})
        if event.get("event") == "sample":
            progress.advance()
        elif event.get("event") == "unmeasured":
            self._ui.warn(f"{event.get('row')}: {event.get('reason')}")
        elif event.get("event") == "table":
            self._ui.say(f"measuring {event.get('name')}")

    def _results(self, boot: Boot, collected: Collected) -> None:
        """How each row of a guest ended, as a test. What a lost guest owes stays open."""
        for table in boot.tables:
            for row in table.rows:
                identity = table.identity(row)
                outcome = _outcome(identity, collected, self._options.rounds)
                if outcome:
                    message = collected.failed.get(identity) or collected.absent.get(identity, "")
                    self._write("result", id=identity, outcome=outcome, message=message, seconds=0)

    def _scan(self, boot: Boot) -> tuple[list[splats.Splat], str | None]:
        """What a guest's kernel complained about, and why that could not be found out."""
        try:
            found = splats.scan_file(boot.directory / CONSOLE_LOG, splats.load_allowlist())
        except LabError as error:
            return [], error.message
        console = self._place(boot, CONSOLE_LOG)
        return [replace(splat, console=console) for splat in found if splat.allowed is None], None

    def _place(self, boot: Boot, name: str = "") -> str:
        """A guest's stream, or where they are, from the run directory."""
        return (boot.directory.relative_to(self._directory) / name).as_posix()

    # --- the end --------------------------------------------------------------------------

    def _decide(self, found: Sequence[splats.Splat], scan_error: str | None) -> Verdict:
        verdict = decide(self._view, found, control=False, scan_error=scan_error)
        lost = self._unfinished()
        status = self._view.guest.get("status")
        if verdict.code != ExitCode.KERNEL and status not in (PYTEST_OK, None):
            broken = f"infrastructure: selftests.bench ended with status {status}"
            said = f"{self._place(self._booted, STDERR_LOG)} has what it said."
            return Verdict(ExitCode.INFRA, broken, (said, *map(_where, lost)))
        where = [_where(one) for one in lost]
        if verdict.code == ExitCode.INFRA and self._options.both:
            where.append(f"The guest's streams are in {self._place(self._booted)}.")
        if where:
            return replace(verdict, reasons=(*verdict.reasons, *where))
        if verdict.code != ExitCode.PASSED or not self._options.both:
            return verdict
        return judge(self._comparisons(), verdict)

    def _unfinished(self) -> list[Collected]:
        """Guests that have begun and did not come to an end."""
        return [one for one in self._collected if one.table and not one.ended]

    def _comparisons(self) -> list[compare.Comparison]:
        """Of the boots that came to an end: the rounds of half a one are no median of a boot."""
        boots = []
        for boot, collected in zip(self._boots, self._collected, strict=True):
            kernel = compare.BASE if boot.plan.control else compare.SERIES
            (table,) = boot.tables
            ended = table.rows if collected.ended else ()
            rows = {row.key: collected.of(table.identity(row)) for row in ended}
            boots.append((kernel, rows))
        return compare.comparisons(boots)

    def _keep(self) -> list[str]:
        """bench.json and bench.txt; the lines of the latter."""
        guest = next((one.guest for one in reversed(self._collected) if one.guest), {})
        about = [_about(guest)] if guest else []
        tables, notes = self._compared() if self._options.both else self._measured()
        chosen = () if self._options.both else self._boots[0].tables
        references = {table.name: table.reference for table in chosen}
        accelerator = asdict(self._accelerator) if self._accelerator else {"name": "", "reason": ""}
        whole = result.document(accelerator, guest, [*about, *notes], tables)
        atomic_write(self._directory / bench_figures.NAME, json.dumps(whole, indent=1) + "\n")
        lines = result.text(whole, references)
        atomic_write(self._directory / result.TEXT, "\n".join(lines) + "\n")
        return lines

    def _measured(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Tables and notes of one guest."""
        chosen, calls = self._boots[0].tables, self._options.calls
        return [result.table_document(table, self._collected[0], calls) for table in chosen], [
            f"{self._options.rounds} rounds; a row's low and high are its extremes.",
            *(note for table in chosen for note in table.notes),
            "Ratios are taken round by round; they are medians of those.",
        ]

    def _compared(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Table and notes of both kernels."""
        found = self._comparisons()
        return [compare.table_document(found, self._options.calls)], [
            f"{self._options.rounds} rounds in each boot.",
            compare.FIGURES,
            compare.RULE,
            *(comparison.line() for comparison in found),
        ]


def _about(guest: Mapping[str, Any]) -> str:
    jit, harden, cpus = (guest.get(name) for name in ("jit", "jit_harden", "cpus"))
    return f"bpf_jit_enable {jit}, bpf_jit_harden {harden}, {cpus} processors."


def _where(collected: Collected) -> str:
    return f"While measuring {collected.table}."


def _outcome(identity: str, collected: Collected, rounds: int) -> str:
    """How a row ended; "" if it did not."""
    if identity in collected.failed:
        return journal.FAILED
    if identity in collected.absent:
        return journal.SKIPPED
    return journal.PASSED if len(collected.of(identity)) == rounds else ""


def judge(found: Sequence[compare.Comparison], passed: Verdict) -> Verdict:
    """The verdict of a comparison that was measured as a whole: slower is a failure."""
    slower = [one for one in found if one.verdict == compare.SLOWER]
    lines = tuple(one.line() for one in found)
    if slower:
        names = ", ".join(one.row.label for one in slower)
        return Verdict(ExitCode.FAILED, f"failed: slower than the base: {names}", lines)
    faster = any(one.verdict == compare.FASTER for one in found)
    word = "not slower than the base" if faster else "within noise of the base"
    return replace(passed, headline=f"passed: {word}", reasons=lines)
