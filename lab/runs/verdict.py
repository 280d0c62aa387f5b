# SPDX-License-Identifier: MIT
"""The one verdict of a run, from what the journal says and what the console scan found.

Order matters: what the kernel said outranks everything, a guest that was lost outranks its tests,
and only a guest that came to its end can fail a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import ExitCode, LabError, UsageError
from lab.guest.boot import EXITED
from lab.guest.splats import Splat
from lab.runs import journal
from lab.runs.journal import View

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


def verdict_of(error: BaseException, reasons: Sequence[str] = ()) -> Verdict:
    """The verdict of a run that ``error`` ended. ``reasons`` say how far it came."""
    if isinstance(error, LabError):
        kind = "usage" if isinstance(error, UsageError) else "infrastructure"
        hint = (error.hint,) * bool(error.hint)
        return Verdict(error.exit_code, f"{kind}: {error.message}", (*hint, *reasons))
    stopped = isinstance(error, KeyboardInterrupt)
    code = ExitCode.INTERRUPTED if stopped else ExitCode.INFRA
    return Verdict(code, f"infrastructure: {what_ended(error)}", tuple(reasons))


def what_ended(error: BaseException) -> str:
    """What ended a run, in a few words, other than a LabError."""
    return "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)


class Stopped(Exception):
    """A verdict was reached before a guest was booted."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.headline)
        self.verdict = verdict


def outranking(
    splats: Sequence[Splat],
    lost: str,
    scan_error: str,
    in_flight: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Verdict | None:
    """The verdict that no job can better, if there is one: first a splat that nothing allows, then
    a guest that was lost, then a console that could not be scanned.

    ``in_flight`` says what ran when the guest was lost; ``more`` are reasons that every verdict of
    the job has.
    """
    gone = (lost, *in_flight) if lost else ()
    complaints = [splat for splat in splats if splat.allowed is None]
    if complaints:
        named = tuple(map(_complaint, complaints))
        headline = f"kernel splat: {complaints[0].headline}"
        return Verdict(ExitCode.KERNEL, headline, (*named, *gone, *more))
    unscanned = (scan_error,) if scan_error else ()
    if lost:
        reasons = (lost, *unscanned, *in_flight, *more)
        return Verdict(ExitCode.INFRA, "infrastructure: the guest was lost", reasons)
    if scan_error:
        headline = "infrastructure: the console could not be scanned"
        return Verdict(ExitCode.INFRA, headline, (*unscanned, *more))
    return None


def _complaint(splat: Splat) -> str:
    where = f"{splat.console}:{splat.line}"
    where += f", during or after {splat.test}" if splat.test else ""
    return f"{splat.kind}: {splat.headline} ({where})"


def decide(view: View, splats: Sequence[Splat], *, control: bool, scan_error: str = "") -> Verdict:
    """The verdict on a run of the suite. ``scan_error`` says why the console was not scanned."""
    above = outranking(splats, _lost_guest(view), scan_error, _in_flight(view))
    if above:
        return above
    status = int(view.guest["status"])
    early = _by_status(view, status)
    if early:
        return early
    return _control(view) if control else _series(view, status)


def _lost_guest(view: View) -> str:
    """Why the guest did not come to its end; "" if it did."""
    if view.guest.get("outcome") == EXITED and view.guest.get("status") is not None:
        return ""
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
        return Verdict(ExitCode.FAILED, f"failed: {counts(view)}", tuple(reasons))
    return Verdict(ExitCode.PASSED, f"passed: {counts(view)}", _skipped(view))


def _control(view: View) -> Verdict:
    """On the unpatched base each test must report its feature absent; none may pass."""
    wrong = (
        ("Passed without the series, so they prove nothing", journal.PASSED),
        ("Failed for another reason than the feature's absence", journal.FAILED),
        ("Skipped, so nothing was observed", journal.SKIPPED),
    )
    reasons = [_names(text, tests) for text, state in wrong if (tests := view.of_state(state))]
    if reasons:
        return Verdict(ExitCode.FAILED, f"control failed: {counts(view)}", tuple(reasons))
    return Verdict(
        ExitCode.PASSED, f"control passed: all {len(view.ran())} tests report their feature absent"
    )


def _skipped(view: View) -> tuple[str, ...]:
    skipped = view.of_state(journal.SKIPPED)
    return (_names("Skipped", skipped),) if skipped else ()


def counts(view: View) -> str:
    """Tests by state, in words."""
    found = view.counts()
    order = (*journal.OUTCOMES, journal.RUNNING, journal.NOT_STARTED)
    return ", ".join(f"{found[state]} {state}" for state in order if state in found)


def _names(what: str, tests: Sequence[journal.Test]) -> str:
    named = ", ".join(test.id for test in tests[:NAMED])
    more = f" and {len(tests) - NAMED} more" if len(tests) > NAMED else ""
    return f"{what}: {named}{more}."
