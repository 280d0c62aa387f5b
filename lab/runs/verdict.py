# SPDX-License-Identifier: MIT
"""The one verdict of a run, from what the journal says and what the console scan found.

Order matters: what the kernel said outranks everything, a guest that was lost outranks its tests,
and only a guest that came to its end can fail a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import ExitCode, LabError, UsageError
from lab.guest.splats import Splat
from lab.runs import journal
from lab.runs.journal import Journal, View

EXITED = "exited"
"""The guest's command ended and the guest reported its status."""

NAMED = 5
"""Tests that a reason names before it says "and N more"."""

PYTEST_OK, PYTEST_FAILED, PYTEST_INTERRUPTED, PYTEST_INTERNAL, PYTEST_USAGE, PYTEST_NONE = range(6)
"""pytest's exit codes (``pytest.ExitCode``)."""


@dataclass(frozen=True)
class Verdict:
    """``code`` ends the command, ``headline`` says it in a line, ``reasons`` say why."""

    code: ExitCode
    headline: str
    reasons: tuple[str, ...] = ()


def write_verdict(record: Journal, verdict: Verdict) -> dict[str, Any]:
    """The last event of a run; as written."""
    return record.write(
        "verdict",
        code=int(verdict.code),
        headline=verdict.headline,
        reasons=list(verdict.reasons),
    )


def verdict_of(error: BaseException, reasons: Sequence[str] = ()) -> Verdict:
    """Of a run that ``error`` ended. ``reasons`` say how far it had come; a hint goes before."""
    if isinstance(error, LabError):
        kind = "usage" if isinstance(error, UsageError) else "infrastructure"
        hint = (error.hint,) * bool(error.hint)
        return Verdict(error.exit_code, f"{kind}: {error.message}", (*hint, *reasons))
    headline = f"infrastructure: {what_ended(error)}"
    return Verdict(ExitCode.INTERRUPTED, headline, tuple(reasons))


def what_ended(error: BaseException) -> str:
    """What befell a run, in a word or so, where it is no error of the lab's."""
    return "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)


def decide(
    view: View,
    splats: Sequence[Splat],
    *,
    control: bool,
    scan_error: str | None = None,
) -> Verdict:
    """The verdict. ``scan_error`` says why the console could not be scanned."""
    counted = tuple(splat for splat in splats if splat.allowed is None)
    if counted:
        return _kernel_spoke(view, counted)
    lost = _lost_guest(view)
    if lost:
        reasons = (lost, *((scan_error,) if scan_error else ()), *_in_flight(view))
        return Verdict(ExitCode.INFRA, "infrastructure: the guest was lost", reasons)
    if scan_error:
        return Verdict(
            ExitCode.INFRA, "infrastructure: the console could not be scanned", (scan_error,)
        )
    status = int(view.guest["status"])
    early = _by_status(view, status)
    if early:
        return early
    return _control(view) if control else _series(view, status)


def _kernel_spoke(view: View, splats: Sequence[Splat]) -> Verdict:
    reasons = [
        f"{splat.kind}: {splat.headline} ({splat.console}:{splat.line}"
        + (f", during or after {splat.test})" if splat.test else ")")
        for splat in splats
    ]
    lost = _lost_guest(view)
    if lost:
        reasons += [lost, *_in_flight(view)]
    return Verdict(ExitCode.KERNEL, f"the kernel spoke: {splats[0].headline}", tuple(reasons))


def _lost_guest(view: View) -> str | None:
    """Why the guest did not come to its end; None if it did."""
    if view.guest.get("outcome") == EXITED and view.guest.get("status") is not None:
        return None
    return str(view.guest.get("detail") or "The run was cut short; nothing says how.")


def _in_flight(view: View) -> list[str]:
    if view.in_flight is None:
        return []
    return [f"In flight: {view.in_flight}."]


def _by_status(view: View, status: int) -> Verdict | None:
    """Verdicts that do not look at single tests."""
    if status == PYTEST_USAGE:
        return Verdict(
            ExitCode.USAGE,
            "usage: pytest did not accept its arguments",
            ("stderr.log has pytest's message.",),
        )
    if status == PYTEST_INTERRUPTED:
        return Verdict(
            ExitCode.FAILED,
            "failed: pytest could not collect the tests",
            ("stdout.log has pytest's report.", *_in_flight(view)),
        )
    if status not in (PYTEST_OK, PYTEST_FAILED, PYTEST_NONE):
        return Verdict(
            ExitCode.INFRA,
            f"infrastructure: pytest ended with status {status}",
            ("stdout.log and stderr.log have what it said.", *_in_flight(view)),
        )
    if not view.ran():
        skipped = len(view.of_state(journal.SKIPPED))
        return Verdict(
            ExitCode.FAILED,
            "failed: no test ran",
            (f"{skipped} skipped." if skipped else "Nothing was selected.",),
        )
    unfinished = view.of_state(journal.NOT_STARTED, journal.RUNNING)
    if unfinished:
        return Verdict(
            ExitCode.INFRA,
            "infrastructure: tests were lost",
            (_names("Collected, but without a result", unfinished),),
        )
    return None


def _series(view: View, status: int) -> Verdict:
    failed = view.of_state(journal.FAILED)
    absent = view.of_state(journal.ABSENT)
    reasons = []
    if failed:
        reasons.append(_names("Failed", failed))
    if absent:
        reasons.append(_names("Feature absent from a kernel that should have it", absent))
    if not reasons and status != PYTEST_OK:
        reasons.append(f"pytest ended with status {status} without a failed test: see stdout.log.")
    if reasons:
        return Verdict(ExitCode.FAILED, f"failed: {_counts(view)}", tuple(reasons))
    return Verdict(ExitCode.PASSED, f"passed: {_counts(view)}", _skipped(view))


def _control(view: View) -> Verdict:
    """On the unpatched base each test must report its feature absent; none may pass."""
    wrong = (
        ("Passed without the series, so they prove nothing", journal.PASSED),
        ("Failed for another reason than the feature's absence", journal.FAILED),
        ("Skipped, so nothing was observed", journal.SKIPPED),
    )
    reasons = [_names(text, tests) for text, state in wrong if (tests := view.of_state(state))]
    if reasons:
        return Verdict(ExitCode.FAILED, f"control failed: {_counts(view)}", tuple(reasons))
    return Verdict(
        ExitCode.PASSED, f"control passed: all {len(view.ran())} tests report their feature absent"
    )


def _skipped(view: View) -> tuple[str, ...]:
    skipped = view.of_state(journal.SKIPPED)
    return (_names("Skipped", skipped),) if skipped else ()


def _counts(view: View) -> str:
    counts = view.counts()
    order = (*journal.OUTCOMES, journal.RUNNING, journal.NOT_STARTED)
    return ", ".join(f"{counts[state]} {state}" for state in order if state in counts)


def _names(what: str, tests: Sequence[journal.Test]) -> str:
    named = ", ".join(test.id for test in tests[:NAMED])
    more = f" and {len(tests) - NAMED} more" if len(tests) > NAMED else ""
    return f"{what}: {named}{more}."
