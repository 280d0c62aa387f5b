# SPDX-License-Identifier: MIT
"""A run that is being written: the one engine behind every command that leaves a run directory.

:func:`run` owns the directory, its lock, the journal, the manifest, and a verdict on every way out.
A job (``lab/jobs``) is a function that is given the open run and returns the verdict: it says what
is seeded, what runs in guests, and how their events are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.core import records
from lab.core.session import Session
from lab.guest import session as guests
from lab.guest import splats
from lab.guest.boot import INTERRUPTED, Listeners
from lab.guest.request import Ready, Wish, prepare
from lab.guest.script import GuestCommand
from lab.guest.session import Outcome
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.runs import manifest, rundir
from lab.runs.console import Excerpts
from lab.runs.journal import RUNNING, Journal, View
from lab.runs.kinds import BAD, OPEN, Kind
from lab.runs.manifest import Manifest
from lab.runs.run import Run
from lab.runs.verdict import Stopped, Verdict, verdict_of, what_ended

Job = Callable[["OpenRun"], Verdict]
Publish = Callable[[Run], None]
"""Writes the files that are derived from a run."""


def _nobody(directory: Path) -> None:
    pass


def run(
    session: Session,
    kind: Kind,
    plan: Plan,
    command: Sequence[str],
    job: Job,
    publish: Publish,
    begun: Callable[[Path], None] = _nobody,
) -> Run:
    """Make a run directory, have the job fill it, close it; the run with its verdict.

    ``command`` does it again; ``begun`` is told the directory. Raises what ends the job without a
    verdict of its own: the directory has one by then.
    """
    splats.load_allowlist()
    directory = rundir.create(session.cache, kind.name)
    with (
        session.cache.lock_entry(directory, kind.doing, session.ui.say),
        closing(Journal(directory)) as journal,
    ):
        begun(directory)
        made = OpenRun(session, kind, plan, directory, journal, publish)
        try:
            made.begin(command)
            verdict = job(made)
        except Stopped as stopped:
            verdict = stopped.verdict
        except BaseException as error:
            made.broken(error)
            session.ui.say(f"run directory: {directory}")
            raise
        made.close(verdict)
        return made.so_far()


class OpenRun:
    """What a job writes to. ``reasons`` are added to the verdict of a run that is broken off."""

    def __init__(
        self,
        session: Session,
        kind: Kind,
        plan: Plan,
        path: Path,
        journal: Journal,
        publish: Publish,
    ) -> None:
        self.session = session
        self.ui = session.ui
        self.kind = kind
        self.plan = plan
        self.path = path
        self.view = View()
        self.manifest = Manifest()
        self.reasons: Callable[[], Iterable[str]] = self._in_flight
        self._journal = journal
        self._publish = publish

    # --- journal and manifest -------------------------------------------------------------

    def event(self, name: str, /, **fields: Any) -> None:
        """Append an event."""
        self.view.add(self._journal.write(name, **fields))

    def relay(self, line: str) -> dict[str, Any]:
        """Append a line that the guest wrote; the event."""
        row = self._journal.relay(line)
        self.view.add(row)
        return row

    def note(self, **fields: Any) -> None:
        """Put facts into the manifest."""
        self.manifest = manifest.write(self.path, **fields)

    def stage(self, name: str, fields: Mapping[str, Any]) -> None:
        """A stage is done; see :data:`lab.kernel.pipeline.Stage`."""
        self.note(**fields)
        self.event("stage", name=name)

    def seed(self, tests: Sequence[Mapping[str, Any]]) -> None:
        """The tests that are expected: each has an ``id``, ``patches`` and a ``doc``."""
        self.event("seed", tests=list(tests))
        self.publish()

    def result(self, identity: str, outcome: str, message: str = "", seconds: float = 0) -> None:
        """How a test ended, of those that the guest does not tell itself."""
        self.event("result", id=identity, outcome=outcome, message=message, seconds=seconds)

    def table(self, lines: Sequence[str]) -> None:
        """The lines of the table of a kind that does not make it from other events."""
        self.event("table", lines=list(lines))

    def so_far(self) -> Run:
        """The run as a reader sees it."""
        return Run(self.path, self.manifest, self.view)

    def publish(self) -> None:
        """Renew the files that are derived from it."""
        self._publish(self.so_far())

    # --- guests ---------------------------------------------------------------------------

    def prepare(
        self,
        kernel: Kernel,
        wish: Wish | None = None,
        *,
        plan: Plan | None = None,
        place: str = "",
        **facts: Any,
    ) -> Ready:
        """A guest whose streams go to ``place`` in the run directory. ``facts`` are about it, for
        the manifest.
        """
        ready = prepare(self.session, plan or self.plan, kernel, self.path / place, wish)
        request, accelerator = ready.request, ready.accelerator
        self.note(
            accelerator={"name": accelerator.name, "reason": accelerator.reason},
            limits=request.limits.as_dict(),
            guest={
                "cpus": request.cpus,
                "memory": request.memory,
                "one_thread": request.one_thread,
                "kernel_args": request.kernel_args,
                **facts,
            },
        )
        self.ui.say(f"booting {kernel.build.release} ({accelerator.name})")
        return ready

    def boot(self, ready: Ready, command: GuestCommand, listeners: Listeners) -> Outcome:
        """Run a command in the guest; its end and its splats go to the journal."""
        told = listeners.signed_on

        def up(seconds: float) -> None:
            self.ui.say(f"guest is up after {seconds:.1f} s")
            told(seconds)

        listeners.signed_on = up
        place = self.place(ready.request.run_dir)
        try:
            outcome = guests.session(ready, command, listeners).at(place)
        except BaseException as error:
            detail = f"The lab was {what_ended(error)}."
            self.event("guest", outcome=INTERRUPTED, status=None, detail=detail, place=place)
            raise
        self.event("guest", **asdict(outcome.end), place=place)
        for splat in outcome.splats:
            self.event("splat", **asdict(splat))
        return outcome

    def place(self, directory: Path) -> str:
        """A directory, from the run directory; "" for itself."""
        place = directory.relative_to(self.path).as_posix()
        return "" if place == "." else place

    # --- begin and end --------------------------------------------------------------------

    def begin(self, command: Sequence[str]) -> None:
        """What is known before the first stage."""
        early = manifest.early(self.session, self.plan, command)
        self.note(id=self.path.name, kind=self.kind.name, **early)
        self.event("run", id=self.path.name, kind=self.kind.name, command=list(command))

    def close(self, verdict: Verdict) -> None:
        """The verdict, and what of the console the page needs."""
        tests = {
            test.id
            for test in self.view.tests.values()
            if self.kind.worth.get(test.state, OPEN) == BAD or test.state == RUNNING
        }
        if self.view.guests:
            excerpts = Excerpts.cut(self.path, tests, verdict.code)
            self.event("excerpts", **records.plain(excerpts))
        self.event(
            "verdict",
            code=int(verdict.code),
            headline=verdict.headline,
            reasons=list(verdict.reasons),
        )
        self.publish()

    def broken(self, error: BaseException) -> None:
        """A verdict on a run that ``error`` ended. What else goes wrong meanwhile is let go: the
        error is what the caller has to see.
        """
        with suppress(Exception):
            self.close(verdict_of(error, tuple(self.reasons())))

    def _in_flight(self) -> list[str]:
        return [f"In flight: {self.view.in_flight}."] if self.view.in_flight else []
