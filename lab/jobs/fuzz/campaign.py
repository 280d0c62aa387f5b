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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core.deadline import Limits
from lab.core.session import Session
from lab.core.ui import Progress
from lab.errors import ExitCode, LabError
from lab.guest import splats
from lab.guest.boot import INTERRUPTED
from lab.jobs.fuzz.case import SAVED, SavedCase
from lab.jobs.fuzz.guest import PROGRAM, Bench, Event, Told, run_in_guest
from lab.jobs.fuzz.locate import LOST, SPLAT, Finding, GuestOracle, findings_of, locate
from lab.jobs.fuzz.minimise import minimise
from lab.jobs.fuzz.outcomes import Outcomes
from lab.kernel.pipeline import (
    Kernel,
    Plan,
    bring_kernel,
    choose_accelerator,
    early_manifest,
    guest_limits,
)
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import journal, manifest, rundir
from lab.runs.journal import Journal, View
from lab.runs.run import Run
from lab.runs.verdict import Verdict, verdict_of, what_ended, write_verdict

OUTCOMES_FILE = "outcomes.txt"
CASES_DIRECTORY = "cases"

KEPT_SECONDS = 5.0
"""Between two journal rows about the run's progress."""

MINIMISED = 3
"""Findings, of different kinds, that are made small; the others are told and kept as they are."""

ENOUGH = 2000
"""Programs from which on it is judged whether the generator is shallow."""
ACCEPTED_PERCENT = 25.0
REJECTIONS = 25

COUNTS = ("compared", "children", "calls", "notified", "without_token", "inspected", "named")
"""What the guest's program counts beside outcomes. None may be 0: a check hangs on each."""

UNLIMITED = 10**12
BOOT_AND_END_SECONDS = 600.0
"""Beside the time for programs: until the guest is up and off, emulated and busy."""


@dataclass(frozen=True)
class Check:
    """Something that has to hold: the finding kinds that break it."""

    name: str
    doc: str
    broken_by: tuple[str, ...]


CHECKS: tuple[Check, ...] = (
    Check("programs", "the programs were run to the end", ("runner", "stuck", "check", LOST)),
    Check("kernel-silent", "the kernel complains about nothing", (SPLAT,)),
    Check("same-verdict", "a classic filter and its translation agree", ("mismatch", "refused")),
    Check("errors", "a refusal has a documented errno", ("errno",)),
    Check("permission", "nobody loads what he is denied", ("permission",)),
    Check("install", "what loads installs, with the right errno where not", ("install",)),
    Check("children-end", "filtered children end", ("hang",)),
    Check("not-shallow", "enough is accepted, and refused for enough reasons", ()),
)


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
    limits: Mapping[str, float] | None = None

    @property
    def start(self) -> int:
        """The first index."""
        return self.first if self.only is None else self.only

    @property
    def count(self) -> int | None:
        """How many programs at most."""
        return self.programs if self.only is None else 1

    def lab(self, plan: Plan) -> list[str]:
        """The one command that does it again."""
        command = ["scripts/lab", "fuzz", *plan.options(), "--seed", str(self.seed)]
        command += ["--minutes", f"{self.minutes:g}"]
        command += ["--programs", str(self.programs)] if self.programs is not None else []
        command += ["--only", str(self.only)] if self.only is not None else []
        command += ["--first", str(self.first)] if self.first else []
        command += [] if self.minimise else ["--no-minimise"]
        command += ["--sabotage"] if self.sabotage else []
        for name, seconds in (self.limits or {}).items():
            command += ["--limit", f"{name}={seconds:g}"]
        return command


def run_fuzz(session: Session, plan: Plan, options: FuzzOptions) -> int:
    """Fuzz, report; the exit code.

    Raises LabError if there is no verdict because a stage failed; the run directory says so too.
    """
    splats.load_allowlist()
    run = rundir.create(session.cache, "fuzz")
    with session.cache.lock_entry(run.path, "fuzzing", session.ui.say):
        record = Journal(run.path)
        try:
            return _Campaign(session, plan, options, run.path, record).run()
        finally:
            record.close()


class _Campaign:
    """One run."""

    def __init__(
        self, session: Session, plan: Plan, options: FuzzOptions, directory: Path, record: Journal
    ) -> None:
        self._session = session
        self._ui = session.ui
        self._plan = plan
        self._options = options
        self._directory = directory
        self._journal = record
        self._view = View()
        self._figures = Figures()
        self._kept = 0.0

    def run(self) -> int:
        """The exit code. Every way out leaves a verdict in the journal."""
        try:
            self._begin()
            kernel = bring_kernel(self._session, self._plan, self._stage)
            bench = self._bench(kernel)
            told = self._fuzz(bench)
            self._write("guest", **(asdict(told.end) if told.end else {}))
            self._splats(told)
            findings = self._study(bench, findings_of(told))
            self._judge(findings, told)
            verdict = decide(findings, told, self._figures)
        except LabError as error:
            self._close(verdict_of(error))
            self._ui.say(f"run directory: {self._directory}")
            raise
        except BaseException as error:
            detail = f"The lab was {what_ended(error)}."
            self._write("guest", outcome=INTERRUPTED, status=None, detail=detail)
            self._keep_figures()
            reasons = (*self._figures.lines(), f"In flight: {self._figures.in_flight}.")
            self._close(verdict_of(error, reasons))
            self._ui.say(f"run directory: {self._directory}")
            raise
        self._close(verdict)
        for line in summary(Run.load(self._directory)):
            self._ui.out(line)
        for line in self._figures.outcomes.table():
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
        fuzz = {"seed": options.seed, "first": options.start, "programs": options.count}
        manifest.write(self._directory, **fields, fuzz=fuzz)
        self._write("run", id=self._directory.name, kind="fuzz", command=command)
        tests = [{"id": f"fuzz::{check.name}", "patches": [], "doc": check.doc} for check in CHECKS]
        self._write("seed", tests=tests)
        write_all(Run.load(self._directory))
        self._ui.say(f"seed {options.seed}")

    def _close(self, verdict: Verdict) -> None:
        self._view.add(write_verdict(self._journal, verdict))
        write_all(Run.load(self._directory))

    # --- the guest ------------------------------------------------------------------------

    def _bench(self, kernel: Kernel) -> Bench:
        accelerator = choose_accelerator(self._session, self._plan.arch)
        seconds = self._options.minutes * 60
        slowness = self._plan.profile.configuration.slowness
        total = {"total": seconds + BOOT_AND_END_SECONDS * slowness}
        overrides = {**total, **(self._options.limits or {})}
        limits = guest_limits(self._plan, accelerator, overrides)
        manifest.write(self._directory, accelerator=asdict(accelerator), limits=limits.as_dict())
        program = self._directory / PROGRAM
        shutil.copy2(kernel.artifacts.directory / PROGRAM, program)
        return Bench(
            self._session, self._plan, kernel, accelerator, limits, program, self._options.sabotage
        )

    def _fuzz(self, bench: Bench) -> Told:
        options = self._options
        count = UNLIMITED if options.count is None else options.count
        seconds = round(options.minutes * 60)
        argv = bench.argv("run", options.seed, options.start, count, seconds)
        argv = (*argv, "--workers", str(self._plan.profile.cpus))
        self._ui.say(f"booting {bench.kernel.build.release} ({bench.accelerator.name})")
        with self._ui.progress("programs", options.count, "programs") as progress:

            def up(boot_seconds: float) -> None:
                self._figures.started = time.monotonic()
                self._ui.say(f"guest is up after {boot_seconds:.1f} s")

            told = run_in_guest(
                bench,
                self._directory,
                argv,
                listen=lambda row: self._event(row, progress),
                signed_on=up,
            )
        self._keep_figures()
        return told

    def _event(self, row: Event, progress: Progress) -> None:
        figures = self._figures
        figures.take(row)
        if row["event"] == "block":
            progress.update(figures.done)
            if time.monotonic() - self._kept >= KEPT_SECONDS:
                self._kept = time.monotonic()
                self._write("fuzz", **{key: row[key] for key in ("first", "count", "done")})
        elif row["event"] == "finding":
            self._write("finding", **{key: row[key] for key in ("kind", "what", "index")})
            self._ui.warn(f"finding: program {row['index']}: {row['kind']}: {row['what']}")

    def _keep_figures(self) -> None:
        """Into manifest and outcomes.txt."""
        figures = self._figures
        table = figures.outcomes.table()
        (self._directory / OUTCOMES_FILE).write_text("".join(f"{line}\n" for line in table))
        options = self._options
        manifest.write(
            self._directory,
            fuzz={
                "seed": options.seed,
                "first": options.start,
                "programs": options.count,
                **figures.as_dict(),
            },
        )

    def _splats(self, told: Told) -> None:
        for splat in told.splats:
            self._write("splat", **asdict(splat))

    # --- findings -------------------------------------------------------------------------

    def _study(self, bench: Bench, findings: Sequence[Finding]) -> list[Finding]:
        """Find the program of each, make it small, save it."""
        studied: list[Finding] = []
        # Guests of a few programs need no more time than those of a test run.
        limits = guest_limits(self._plan, bench.accelerator, dict(self._options.limits or {}))
        bench = replace(bench, limits=_at_least(limits, bench.patience))
        for number, found in enumerate(findings):
            finding = found
            if self._options.minimise and number < MINIMISED:
                directory = self._directory / rundir.GUESTS / str(number)
                finding = locate(bench, directory / "locate", self._options.seed, finding)
                finding = self._minimise(bench, directory, finding)
            self._save(finding)
            studied.append(finding)
        return studied

    def _minimise(self, bench: Bench, directory: Path, finding: Finding) -> Finding:
        if finding.case is None:
            return finding
        self._ui.say(f"making the case of program {finding.index} small ({finding.case.size()})")
        oracle = GuestOracle(bench, directory, finding)
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
        path = self._directory / CASES_DIRECTORY / name
        origin = {
            "seed": self._options.seed,
            "index": finding.index,
            "kind": finding.kind,
            "what": finding.what,
            "kernel": self._kernel_release(),
        }
        case = finding.case
        if self._options.sabotage and case.differential:
            # What was translated wrongly on purpose is not what the suite has to run.
            case = case.with_(insn=[])
        SavedCase(finding.what, case, {"finding": ""}, origin).write(path)
        self._write("saved", path=str(path))
        self._ui.say(f"to keep it for the suite: cp {path} {SAVED.relative_to(PROJECT_ROOT)}/")

    def _kernel_release(self) -> str:
        build = manifest.load(self._directory).get("build") or {}
        return str(build.get("release", ""))

    def _judge(self, findings: Sequence[Finding], told: Told) -> None:
        """A result for each check."""
        for check in CHECKS:
            broken = [finding for finding in findings if finding.kind in check.broken_by]
            outcome, message = journal.PASSED, ""
            if broken:
                outcome, message = journal.FAILED, "\n".join(map(_tell, broken))
            elif check.name == "not-shallow":
                outcome, message = shallow(self._figures)
            elif told.lost:
                outcome, message = journal.SKIPPED, "the guest was lost before the end"
            self._write("result", id=f"fuzz::{check.name}", outcome=outcome, message=message)


def _at_least(limits: Limits, patience: int) -> Limits:
    """A child that hangs is silent for as long as it may take."""
    return replace(limits, silence=max(limits.silence, 2.0 * patience))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _tell(finding: Finding) -> str:
    if finding.index is not None:
        return f"program {finding.index}: {finding.kind}: {finding.what}"
    where = "" if finding.first is None else f" (one of {finding.count} from {finding.first} on)"
    return f"{finding.kind}: {finding.what}{where}"


class Figures:
    """What is counted while a run goes on."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.seconds = 0.0
        self.done = 0
        self.in_flight = "nothing yet"
        self.counts = dict.fromkeys(COUNTS, 0)
        self.loaders: dict[str, tuple[int, int]] = {}
        self.outcomes = Outcomes()

    def take(self, row: Event) -> None:
        """Take in an event of the guest's."""
        self.seconds = time.monotonic() - self.started
        if row["event"] == "block":
            self.done = int(row["done"])
            self.in_flight = f"{row['count']} programs from index {row['first']} on"
        elif row["event"] == "outcomes":
            self.outcomes = Outcomes.of(row["counts"])
            self.counts = {name: int(row[name]) for name in COUNTS}
            self.loaders = {name: (int(n), int(ok)) for name, (n, ok) in row["loaders"].items()}
        elif row["event"] == "end":
            self.done = int(row["done"])
            self.in_flight = "nothing any more"

    @property
    def per_minute(self) -> float:
        """Programs."""
        return 60 * self.done / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "done": self.done,
            "seconds": round(self.seconds, 1),
            "per_minute": round(self.per_minute),
            "accepted": self.outcomes.accepted,
            **self.counts,
            "loaders": {name: list(counts) for name, counts in self.loaders.items()},
            "rejections": self.outcomes.rejections,
            "outcomes": {row.kind: row.count for row in self.outcomes.rows},
        }

    def lines(self) -> tuple[str, ...]:
        """For people."""
        counts = self.counts
        return (
            f"{self.done} programs in {self.seconds:.0f} s: {self.per_minute:.0f} per minute.",
            f"{self.outcomes.accepted_percent:.1f} % accepted, refused for "
            f"{self.outcomes.rejections} kinds of reason.",
            f"{counts['compared']} filters compared in both languages; {counts['children']} "
            f"filtered processes, {counts['calls']} system calls, {counts['notified']} "
            "notifications answered.",
            f"{counts['inspected']} looked into after verification, {counts['named']} helpers "
            f"recognised; {counts['without_token']} loaded without another type's token too.",
            "Loaded of tried, by loader: "
            + ", ".join(f"{name} {ok}/{n}" for name, (n, ok) in self.loaders.items())
            + ".",
        )


def shallow(figures: Figures) -> tuple[str, str]:
    """Outcome and message of the check that the generator is not shallow."""
    outcomes = figures.outcomes
    if outcomes.total < ENOUGH:
        return journal.SKIPPED, f"{outcomes.total} programs are too few to tell"
    if outcomes.accepted_percent < ACCEPTED_PERCENT:
        return journal.FAILED, f"only {outcomes.accepted_percent:.1f} % of programs were accepted"
    if outcomes.rejections < REJECTIONS:
        return journal.FAILED, f"programs were refused for {outcomes.rejections} reasons only"
    for name, number in figures.counts.items():
        if not number:
            return journal.FAILED, f"nothing was counted as {name}"
    for name, (tried, loaded) in figures.loaders.items():
        if not 0 < loaded < tried:
            return journal.FAILED, f"the loader {name} loaded {loaded} programs of {tried}"
    return journal.PASSED, ""


def decide(findings: Sequence[Finding], told: Told, figures: Figures) -> Verdict:
    """The one verdict: what the kernel said outranks everything, as for tests."""
    lines = figures.lines()
    tells = tuple(map(_tell, findings))
    spoke = [finding for finding in findings if finding.kind == SPLAT]
    if spoke:
        return Verdict(ExitCode.KERNEL, f"the kernel spoke: {spoke[0].what}", (*tells, *lines))
    if told.lost:
        return Verdict(ExitCode.INFRA, "infrastructure: the guest was lost", (*tells, *lines))
    if told.scan_error:
        headline = "infrastructure: the console could not be scanned"
        return Verdict(ExitCode.INFRA, headline, (told.scan_error, *lines))
    if findings:
        headline = f"failed: {len(findings)} kinds of finding in {figures.done} programs"
        return Verdict(ExitCode.FAILED, headline, (*tells, *lines))
    if not figures.done:
        return Verdict(ExitCode.FAILED, "failed: no program ran", lines)
    outcome, message = shallow(figures)
    if outcome == journal.FAILED:
        return Verdict(ExitCode.FAILED, f"failed: {message}", lines)
    return Verdict(ExitCode.PASSED, f"passed: {figures.done} programs, no finding", lines)
