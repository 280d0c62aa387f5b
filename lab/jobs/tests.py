# SPDX-License-Identifier: MIT
"""Stage 6, test: one guest boot, tests told as they finish, one verdict.

What is shown, recorded and decided comes from the journal. The run directory is made first, so
that whatever happens afterwards, also to the lab itself, leaves one that can be read.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core import proc
from lab.core.session import Session
from lab.core.ui import Progress, Ui
from lab.errors import ExitCode, LabError
from lab.guest import snapshot, splats
from lab.guest.boot import CONSOLE_LOG, INTERRUPTED, Listeners, run_guest
from lab.guest.script import EVENTS, GUEST_SHARE, GuestCommand
from lab.kernel.pipeline import (
    CONTROL,
    Kernel,
    Plan,
    Stage,
    bring_kernel,
    choose_accelerator,
    early_manifest,
    guest_limits,
    guest_request,
)
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import journal, manifest, rundir
from lab.runs.journal import Journal, View
from lab.runs.run import BAD, JUDGEMENT, OPEN, Run
from lab.runs.verdict import (
    PYTEST_FAILED,
    PYTEST_INTERRUPTED,
    PYTEST_NONE,
    PYTEST_OK,
    PYTEST_USAGE,
    Verdict,
    decide,
    verdict_of,
    what_ended,
    write_verdict,
)
from lab.source.base import base_lacks

SELFTESTS = PROJECT_ROOT / "selftests"

COLLECT_SECONDS = 120.0
"""For collecting the tests on the host."""

FAILURE_LINES = 12
"""Lines of a failed test's message that are shown at once."""

GUEST_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Plugins that happen to be installed on the host have no say in the guest.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


@dataclass(frozen=True)
class TestOptions:
    """``expression`` is pytest's -k, ``arguments`` go to pytest as they are. ``limits`` replace
    calibrated ones, by name. ``since``: only what proves a later patch than this one, and there may
    be nothing. ``crowded``: other guests or builds want the host's processors.
    """

    __test__ = False

    expression: str | None
    arguments: tuple[str, ...]
    limits: Mapping[str, float]
    since: int = 0
    crowded: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of the suite runs that the profile selects."""
        return self.expression is None and not self.arguments and not self.since

    def pytest(self, plan: Plan) -> list[str]:
        """The arguments of pytest, in the guest as on the host."""
        arguments = ["-p", "no:cacheprovider"]
        arguments += ["-k", self.expression] if self.expression is not None else []
        return [*arguments, *plan.profile.selection, *self.arguments]

    def lab(self, plan: Plan) -> list[str]:
        """The one command that does it again."""
        command = ["scripts/lab", "test", *plan.options()]
        command += ["-k", self.expression] if self.expression is not None else []
        for name, seconds in self.limits.items():
            command += ["--limit", f"{name}={seconds:g}"]
        return [*command, *(("--", *self.arguments) if self.arguments else ())]


class Stopped(Exception):
    """A verdict was reached before a guest was booted."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.headline)
        self.verdict = verdict


@dataclass(frozen=True)
class Hooks:
    """For who runs the suite among other things. ``begun`` is told the run directory. ``bring``
    gives the kernel, and tells of the stages to it. ``waiting`` is called while the guest runs:
    what it raises ends it.
    """

    begun: Callable[[Path], None] = lambda _: None
    bring: Callable[[Stage], Kernel] | None = None
    waiting: Callable[[], None] = lambda: None


def run_tests(
    session: Session, plan: Plan, options: TestOptions, hooks: Hooks | None = None
) -> int:
    """Bring everything up to date, run the suite, report; the exit code.

    Raises LabError if there is no verdict because a stage failed; the run directory says so too.
    """
    allowlist = splats.load_allowlist()
    hooks = hooks or Hooks()
    run = rundir.create(session.cache, plan.kind)
    hooks.begun(run.path)
    with session.cache.lock_entry(run.path, "testing", session.ui.say):
        record = Journal(run.path)
        try:
            return _Testing(session, plan, options, hooks, run.path, record, allowlist).run()
        finally:
            record.close()


class _Testing:
    """One run of the suite."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        options: TestOptions,
        hooks: Hooks,
        directory: Path,
        record: Journal,
        allowlist: list[splats.Allowed],
    ) -> None:
        self._session = session
        self._ui = session.ui
        self._plan = plan
        self._options = options
        self._hooks = hooks
        self._directory = directory
        self._journal = record
        self._allowlist = allowlist
        self._view = View()
        self._snapshot = directory / "modules.snapshot"
        self._suite = directory / "suite"

    def run(self) -> int:
        """The exit code. Every way out leaves a verdict in the journal."""
        try:
            self._begin()
            kernel = self._bring()
            self._seed()
            self._boot(kernel)
            verdict = self._decide()
        except Stopped as stopped:
            verdict = stopped.verdict
        except LabError as error:
            self._close(verdict_of(error))
            self._ui.say(f"run directory: {self._directory}")
            raise
        except BaseException as error:
            in_flight = self._view.in_flight
            reasons = (f"In flight: {in_flight}.",) if in_flight else ()
            detail = f"The lab was {what_ended(error)}."
            self._write("guest", outcome=INTERRUPTED, status=None, detail=detail)
            self._close(verdict_of(error, reasons))
            self._ui.say(f"run directory: {self._directory}")
            raise
        self._close(verdict)
        for line in summary(Run.load(self._directory), messages=self._ui.quiet):
            self._ui.out(line)
        return int(verdict.code)

    def _bring(self) -> Kernel:
        if self._hooks.bring:
            return self._hooks.bring(self._stage)
        return bring_kernel(self._session, self._plan, self._stage)

    # --- the journal ----------------------------------------------------------------------

    def _write(self, event: str, **fields: Any) -> None:
        self._view.add(self._journal.write(event, **fields))

    def _stage(self, name: str, fields: dict[str, Any]) -> None:
        manifest.write(self._directory, **fields)
        self._write("stage", name=name)

    def _begin(self) -> None:
        command = self._options.lab(self._plan)
        fields = early_manifest(self._session, self._plan, self._directory.name, command)
        manifest.write(self._directory, **fields)
        self._write("run", id=self._directory.name, kind=self._plan.kind, command=command)

    def _close(self, verdict: Verdict) -> None:
        self._view.add(write_verdict(self._journal, verdict))
        write_all(Run.load(self._directory))

    # --- the suite ------------------------------------------------------------------------

    def _seed(self) -> None:
        """Collect on the host, in half a second, what the guest is going to run: a guest that
        never comes up leaves a list of what did not run, a mistake in a test needs no boot, and
        the guest's Python finds compiled what this has imported.
        """
        events = self._directory / "collected.ndjson"
        environment: dict[str, str | None] = {
            **GUEST_ENVIRONMENT,
            "SECCOMP_LAB_EVENTS": str(events),
            **self._environment(),
            # Collecting leaves the compiled tests behind, which the guest then need not compile.
            "PYTHONDONTWRITEBYTECODE": None,
        }
        command = [*self._python("record"), *self._options.pytest(self._plan), "--collect-only"]
        done = proc.run(
            command, cwd=PROJECT_ROOT, env=environment, check=False, timeout=COLLECT_SECONDS
        )
        if done.returncode != PYTEST_OK:
            raise Stopped(_not_collected(done, self._options.since))
        found = [row for line in _lines(events) if (row := journal.guest_event(line))]
        tests = next((row["tests"] for row in found if row["event"] == "collected"), None)
        if tests is None:
            raise LabError("The suite does not say what it collects; see selftests/conftest.py.")
        events.unlink()
        # The guest runs this copy, so that the author may go on editing.
        shutil.copytree(SELFTESTS, self._suite)
        self._write("seed", tests=tests)
        write_all(Run.load(self._directory))

    def _environment(self) -> dict[str, str]:
        """What the suite is told about the guest."""
        profile = self._plan.profile
        return {
            "SECCOMP_LAB_APPLIED": str(self._plan.applied or ""),
            "SECCOMP_LAB_SINCE": str(self._options.since or ""),
            "SECCOMP_LAB_KERNEL": {CONTROL: "base"}.get(self._plan.kind, self._plan.kind),
            "SECCOMP_LAB_LACKS": ",".join((*profile.lacks, *base_lacks(self._plan.base))),
            "SECCOMP_LAB_SLOWNESS": str(profile.configuration.slowness),
            **dict(profile.environment),
        }

    def _python(self, mode: str) -> list[str]:
        """pytest, recording what it imports or taking it from there."""
        return [sys.executable, snapshot.__file__, mode, str(self._snapshot)]

    def _command(self, kernel: Kernel) -> GuestCommand:
        environment = {
            **GUEST_ENVIRONMENT,
            "PATH": os.environ.get("PATH", os.defpath),
            "SECCOMP_LAB_GUEST": str(kernel.artifacts.directory),
            "SECCOMP_LAB_EVENTS": f"{GUEST_SHARE}/{EVENTS}",
            **self._environment(),
        }
        argv = (*self._python("replay"), *self._options.pytest(self._plan))
        return GuestCommand(
            argv,
            PROJECT_ROOT,
            environment,
            sysctls=self._plan.profile.sysctls,
            binds=[(self._suite, SELFTESTS)],
        )

    def _boot(self, kernel: Kernel) -> None:
        accelerator = choose_accelerator(self._session, self._plan.arch)
        limits = guest_limits(self._plan, accelerator, dict(self._options.limits))
        request = guest_request(self._plan, kernel, accelerator, self._directory, limits)
        # Of threads that do not all run at once, one spins until another comes to run.
        turns = self._options.crowded and accelerator.name == "tcg"
        request = replace(request, one_thread=turns)
        command = self._command(kernel)
        manifest.write(
            self._directory,
            accelerator=asdict(accelerator),
            limits=limits.as_dict(),
            guest={
                "cpus": request.cpus,
                "memory": request.memory,
                "one_thread": request.one_thread,
                "kernel_args": request.kernel_args,
                "whole": self._options.whole,
                "command": shlex.join(
                    ["python", "-m", "pytest", *self._options.pytest(self._plan)]
                ),
            },
        )
        self._ui.say(
            f"booting {kernel.build.release} ({accelerator.name}), {len(self._view.tests)} tests"
        )
        try:
            with self._ui.progress("tests", len(self._view.tests) or None, "tests") as progress:
                listeners = Listeners(
                    event=lambda line: self._event(line, progress),
                    signed_on=lambda seconds: self._ui.say(f"guest is up after {seconds:.1f} s"),
                    waiting=self._hooks.waiting,
                )
                end = run_guest(request, command, listeners)
        finally:
            self._snapshot.unlink(missing_ok=True)
            shutil.rmtree(self._suite, ignore_errors=True)
        self._write("guest", **asdict(end))

    def _event(self, line: str, progress: Progress) -> None:
        row = self._journal.relay(line)
        self._view.add(row)
        if row["event"] == "collected":
            progress.update(0, len(self._view.tests))
        elif row["event"] == "result":
            progress.advance()
            show(self._ui, self._view, self._view.tests[row["id"]], self._plan.kind == CONTROL)

    def _decide(self) -> Verdict:
        console = self._directory / CONSOLE_LOG
        scan_error = None
        found: list[splats.Splat] = []
        try:
            found = splats.scan_file(console, self._allowlist)
        except LabError as error:
            scan_error = error.message
        for splat in found:
            self._write("splat", **asdict(splat))
        control = self._plan.kind == CONTROL
        return decide(self._view, found, control=control, scan_error=scan_error)


def _not_collected(done: proc.Completed, since: int) -> Verdict:
    """The verdict where the tests cannot even be listed."""
    if since and done.returncode == PYTEST_NONE:
        return Verdict(ExitCode.PASSED, f"passed: no test is new since patch {since}")
    code, headline = {
        PYTEST_NONE: (ExitCode.FAILED, "failed: no test is selected"),
        PYTEST_FAILED: (ExitCode.FAILED, "failed: the tests cannot be collected"),
        PYTEST_INTERRUPTED: (ExitCode.FAILED, "failed: the tests cannot be collected"),
        PYTEST_USAGE: (ExitCode.USAGE, "usage: pytest does not accept its arguments"),
    }.get(done.returncode, (ExitCode.INFRA, f"infrastructure: pytest: status {done.returncode}"))
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-FAILURE_LINES:]
    return Verdict(code, headline, tuple(said))


def show(ui: Ui, view: View, test: journal.Test, control: bool) -> None:
    """Tell one result, at once. With --quiet the summary tells."""
    worth = JUDGEMENT[control].get(test.state, OPEN)
    if ui.quiet:
        return
    width = len(str(len(view.tests)))
    done = sum(1 for other in view.tests.values() if other.done)
    count = f"[{done:{width}}/{len(view.tests)}]"
    ui.say(f"{count} {test.state.upper() if worth == BAD else test.state:8} {test.id}")
    if worth == BAD:
        for line in test.message.strip().splitlines()[-FAILURE_LINES:]:
            ui.say(f"    | {line}")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
