# SPDX-License-Identifier: MIT
"""Proves that the splat gate bites: a guest for each way in which a kernel can complain.

Each trigger is a test in selftests/triggers/ that passes as far as pytest can tell. Its run has to
end with exit code 4 all the same, with a splat of the right kind, and naming the test in flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs.engine import Again
from lab.jobs.tests import Hooks, TestOptions, run_tests
from lab.kernel.plan import Plan
from lab.runs.run import Run

MODULE = "selftests/triggers/test_triggers.py"


@dataclass(frozen=True)
class Trigger:
    """A test in MODULE, without ``test_``, and the kind of splat (lab/guest/splats.py) that it
    makes.
    """

    name: str
    kind: str

    @property
    def test(self) -> str:
        """Its id."""
        return f"{MODULE}::test_{self.name}"

    @property
    def expression(self) -> str:
        """pytest's -k for it."""
        return f"test_{self.name}"


TRIGGERS: tuple[Trigger, ...] = (
    Trigger("warning", "WARNING"),
    Trigger("kasan", "kasan"),
    Trigger("ubsan", "ubsan"),
    Trigger("lockdep", "lockdep"),
    Trigger("hung_task", "hung task"),
    Trigger("oops", "oops"),
    Trigger("panic", "panic"),
)


@dataclass(frozen=True)
class Noticed:
    """What a trigger's run came to. ``missing`` says what the gate did not do; empty: all well."""

    trigger: Trigger
    run: Path
    missing: tuple[str, ...]


def run_gate(session: Session, plan: Plan, gate: Sequence[tuple[Trigger, Again]]) -> int:
    """Pull each trigger in a guest of its own; FAILED if one was not noticed. With each comes what
    does its run again.
    """
    results = []
    for trigger, again in gate:
        session.ui.say(f"== {trigger.name}: expecting a splat of kind {trigger.kind}")
        results.append(_pull(session, plan, trigger, again))
    for line in table(results):
        session.ui.out(line)
    return ExitCode.FAILED if any(result.missing for result in results) else ExitCode.PASSED


def _pull(session: Session, plan: Plan, trigger: Trigger, again: Again) -> Noticed:
    begun: list[Path] = []
    options = TestOptions(trigger.expression)
    try:
        code = run_tests(session, plan, options, again, Hooks(begun=begun.append))
    except LabError as error:
        if not begun:
            raise
        session.ui.warn(error.message)
        code = error.exit_code
    return examine(trigger, Run.load(begun[0]), code)


def examine(trigger: Trigger, run: Run, code: int) -> Noticed:
    """Compare a run with what its trigger should have come to."""
    missing = []
    if code != ExitCode.KERNEL:
        missing.append(f"exit code {code} instead of {int(ExitCode.KERNEL)}")
    found = [splat for splat in run.view.splats if splat["kind"] == trigger.kind]
    if not found:
        kinds = ", ".join(sorted({str(splat["kind"]) for splat in run.view.splats})) or "none"
        missing.append(f"no splat of kind {trigger.kind} (kinds seen: {kinds})")
    elif not any(splat.get("test") == trigger.test for splat in found):
        missing.append(f"the splat names {found[0].get('test')} as the test in flight")
    if not any(trigger.test in reason for reason in run.reasons):
        missing.append("the verdict does not name the test")
    return Noticed(trigger, run.path, tuple(missing))


def table(results: Sequence[Noticed]) -> list[str]:
    """A line for each trigger."""
    width = max(len(result.trigger.name) for result in results)
    return [
        f"{result.trigger.name:{width}}  "
        + ("noticed" if not result.missing else f"NOT NOTICED: {'; '.join(result.missing)}")
        + f"  ({result.run.name})"
        for result in results
    ]
