# SPDX-License-Identifier: MIT
"""Stage 6, test: one guest boot, tests told as they finish, one verdict.

What is shown, recorded and decided comes from the journal. The run directory is made first, so
that whatever happens afterwards, also to the lab itself, leaves one that can be read.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import PROJECT_ROOT
from lab.core import proc
from lab.core.session import Session
from lab.core.ui import Progress, Ui
from lab.errors import ExitCode, LabError
from lab.guest import environment, snapshot
from lab.guest.boot import Listeners
from lab.guest.request import Wish
from lab.guest.script import GuestCommand
from lab.jobs import engine
from lab.jobs.engine import Again
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import BASE, Plan
from lab.runs import journal
from lab.runs.journal import View
from lab.runs.kinds import BAD, OPEN, SUITE
from lab.runs.verdict import (
    PYTEST_FAILED,
    PYTEST_INTERRUPTED,
    PYTEST_NONE,
    PYTEST_OK,
    PYTEST_USAGE,
    Stopped,
    Verdict,
    decide,
)
from lab.runs.writing import OpenRun

SELFTESTS = PROJECT_ROOT / "selftests"

COLLECT_SECONDS = 120.0
"""For collecting the tests on the host."""

FAILURE_LINES = 12
"""Lines of a failed test's message that are shown at once."""


@dataclass(frozen=True)
class TestOptions:
    """``expression`` is pytest's -k, ``arguments`` go to pytest as they are. ``limits`` replace
    calibrated ones, by name. ``since``: only what proves a later patch than this one, and there may
    be nothing. ``crowded``: other guests or builds want the host's processors.
    """

    __test__ = False

    expression: str | None = None
    arguments: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
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
    session: Session, plan: Plan, options: TestOptions, again: Again, hooks: Hooks | None = None
) -> int:
    """Bring everything up to date, run the suite, report; the exit code.

    Raises LabError if there is no verdict because a stage failed; the run directory says so too.
    """
    hooks = hooks or Hooks()

    def job(run: OpenRun) -> Verdict:
        return _Testing(run, options, hooks).run()

    return engine.run(session, SUITE[plan.kernel], plan, again, job, hooks.begun)


class _Testing:
    """One run of the suite."""

    def __init__(self, run: OpenRun, options: TestOptions, hooks: Hooks) -> None:
        self._run = run
        self._plan = run.plan
        self._options = options
        self._hooks = hooks
        self._snapshot = run.path / "modules.snapshot"
        self._suite = run.path / "suite"

    def run(self) -> Verdict:
        kernel = self._bring()
        self._seed()
        try:
            return self._boot(kernel)
        finally:
            self._snapshot.unlink(missing_ok=True)
            shutil.rmtree(self._suite, ignore_errors=True)

    def _bring(self) -> Kernel:
        if self._hooks.bring:
            return self._hooks.bring(self._run.stage)
        return pipeline.bring_kernel(self._run.session, self._plan, self._run.stage)

    def _seed(self) -> None:
        """Collect on the host, in half a second, what the guest is going to run: a guest that
        never comes up leaves a list of what did not run, a mistake in a test needs no boot, and
        the guest's Python finds compiled what this has imported.
        """
        events = self._run.path / "collected.ndjson"
        variables: dict[str, str | None] = {
            **environment.PYTHON,
            environment.EVENTS_VARIABLE: str(events),
            **environment.facts(self._plan, self._series(), self._options.since),
            # Collecting leaves the compiled tests behind, which the guest then need not compile.
            "PYTHONDONTWRITEBYTECODE": None,
        }
        command = [*self._python("record"), *self._options.pytest(self._plan), "--collect-only"]
        done = proc.run(
            command, cwd=PROJECT_ROOT, env=variables, check=False, timeout=COLLECT_SECONDS
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
        self._run.seed(tests)

    def _series(self) -> tuple[str, ...]:
        """The files of the patches, in their order; a port has its patch's name."""
        return tuple(Path(patch.file).name for patch in self._run.manifest.patches)

    def _python(self, mode: str) -> list[str]:
        """pytest, recording what it imports or taking it from there."""
        return [sys.executable, snapshot.__file__, mode, str(self._snapshot)]

    def _command(self, kernel: Kernel) -> GuestCommand:
        return GuestCommand(
            (*self._python("replay"), *self._options.pytest(self._plan)),
            PROJECT_ROOT,
            environment.suite(self._plan, kernel, self._series(), self._options.since),
            sysctls=self._plan.profile.sysctls,
            binds=[(self._suite, SELFTESTS)],
        )

    def _boot(self, kernel: Kernel) -> Verdict:
        run, options = self._run, self._options
        pytest = shlex.join(["python", "-m", "pytest", *options.pytest(self._plan)])
        wish = Wish(options.limits, crowded=options.crowded)
        ready = run.prepare(kernel, wish, whole=options.whole, command=pytest)
        with run.ui.progress("tests", len(run.view.tests) or None, "tests") as progress:
            listeners = Listeners(
                event=lambda line: self._event(line, progress), waiting=self._hooks.waiting
            )
            outcome = run.boot(ready, self._command(kernel), listeners)
        control = self._plan.kernel == BASE
        return decide(run.view, outcome.splats, control=control, scan_error=outcome.scan_error)

    def _event(self, line: str, progress: Progress) -> None:
        view = self._run.view
        row = self._run.relay(line)
        if row["event"] == "collected":
            progress.update(0, len(view.tests))
        elif row["event"] == "result":
            progress.advance()
            test = view.tests[row["id"]]
            show(self._run.ui, view, test, self._run.kind.worth.get(test.state, OPEN))


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


def show(ui: Ui, view: View, test: journal.Test, worth: str) -> None:
    """Tell one result, at once. With --quiet the summary tells."""
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
