# SPDX-License-Identifier: MIT
"""A guest for one command that a person has started: no verdict, its streams and exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from lab.core.session import Session
from lab.errors import ExitCode
from lab.guest.boot import Listeners, run_shell
from lab.guest.request import Wish
from lab.guest.script import GuestCommand
from lab.guest.session import Outcome
from lab.jobs.engine import Again
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.runs import writing
from lab.runs.kinds import COMMANDS
from lab.runs.run import Run
from lab.runs.verdict import Verdict, outranking
from lab.runs.writing import OpenRun

FOREVER = 365 * 24 * 3600.0
"""Seconds for which a command that a person has started may be silent."""


def patient(limits: Mapping[str, float]) -> dict[str, float]:
    """Limits for a command, which may be silent for ever unless its caller bounds the silence."""
    return dict(limits) if "silence" in limits else {"silence": FOREVER, "total": FOREVER, **limits}


def run_command(
    session: Session,
    kind: str,
    plan: Plan,
    again: Again,
    command: Callable[[Kernel], GuestCommand],
    limits: Mapping[str, float],
    event: Callable[[str], None] | None = None,
) -> int:
    """Boot, run the command, pass its streams on; its exit status, or the code of what kept it from
    ending. ``event`` takes the lines that it writes to the run's events.

    Raises LabError if a stage failed.
    """
    statuses: list[int] = []

    def job(run: OpenRun) -> Verdict:
        kernel = pipeline.bring_kernel(session, plan, run.stage)
        listeners = Listeners(stdout=_copy(sys.stdout), stderr=_copy(sys.stderr))
        if event is not None:
            listeners.event = event
        ready = run.prepare(kernel, Wish(limits))
        outcome = run.boot(ready, command(kernel), listeners)
        verdict = _judge(run, outcome)
        # A command that came to its end keeps its status, whatever the kernel said meanwhile.
        statuses.append(int(verdict.code) if outcome.lost else int(outcome.end.status or 0))
        return verdict

    _run(session, kind, plan, again, job)
    return statuses[0]


def _judge(run: OpenRun, outcome: Outcome) -> Verdict:
    """The verdict, of which the caller is warned: there is no summary."""
    for splat in outcome.complaints:
        run.ui.warn(f"{splat.kind}: {splat.headline} ({splat.console}:{splat.line})")
    if outcome.scan_error:
        run.ui.warn(outcome.scan_error)
    if outcome.lost:
        run.ui.warn(f"{outcome.lost} See {run.path}.")
    above = outranking(outcome.splats, outcome.lost, outcome.scan_error)
    return above or Verdict(ExitCode.PASSED, f"the command ended with {outcome.end.status}")


def run_in_shell(session: Session, plan: Plan, again: Again, limits: Mapping[str, float]) -> None:
    """A shell in the guest, on the caller's terminal. Raises LabError if a stage failed."""

    def job(run: OpenRun) -> Verdict:
        kernel = pipeline.bring_kernel(session, plan, run.stage)
        ready = run.prepare(kernel, Wish(limits))
        run.ui.say("a root shell in the guest; `exit` powers it off")
        run_shell(ready.request)
        return Verdict(ExitCode.PASSED, "the shell was left")

    _run(session, "boot", plan, again, job)


def _run(session: Session, kind: str, plan: Plan, again: Again, job: writing.Job) -> None:
    writing.run(session, COMMANDS[kind], plan, again(plan), job, _unreported)


def _unreported(run: Run) -> None:
    """There is nothing to report of a command."""


def _copy(stream: Any) -> Callable[[bytes], None]:
    """Passes bytes on to a text stream's file as they are."""

    def write(data: bytes) -> None:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()

    return write
