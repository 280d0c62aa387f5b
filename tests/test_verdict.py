# SPDX-License-Identifier: MIT
"""The one verdict: each code, and what outranks what."""

from __future__ import annotations

from typing import Any

import pytest

from lab.errors import ExitCode, LabError, UsageError
from lab.guest.splats import Splat
from lab.runs import journal
from lab.runs.journal import View
from lab.runs.verdict import Verdict, decide, verdict_of

WARNING = Splat("WARNING", "WARNING: at x", 7, "t0", ())
ALLOWED = Splat("WARNING", "WARNING: at x", 7, "t0", (), allowed="known")


def view(*outcomes: str, status: int | None = 0, **guest: Any) -> View:
    """A finished guest with one test per outcome ("" for one that has none)."""
    rows: list[dict[str, Any]] = [
        {"event": "collected", "tests": [{"id": f"t{n}"} for n in range(len(outcomes))]}
    ]
    for number, outcome in enumerate(outcomes):
        if outcome:
            rows.append({"event": "start", "id": f"t{number}"})
        if outcome not in ("", "running"):
            rows.append({"event": "result", "id": f"t{number}", "outcome": outcome})
    rows.append({"event": "guest", "outcome": "exited", "status": status, **guest})
    return journal.read(rows)


def test_all_passed_is_0() -> None:
    verdict = decide(view("passed", "passed"), [], control=False)
    assert (verdict.code, verdict.headline) == (ExitCode.PASSED, "passed: 2 passed")


def test_a_skipped_test_is_named() -> None:
    verdict = decide(view("passed", "skipped"), [], control=False)
    assert verdict.code == ExitCode.PASSED
    assert verdict.reasons == ("Skipped: t1.",)


@pytest.mark.parametrize("outcome", ["failed", "absent"])
def test_a_failed_test_and_an_absent_feature_are_1(outcome: str) -> None:
    verdict = decide(view("passed", outcome, status=1), [], control=False)
    assert verdict.code == ExitCode.FAILED
    assert "t1" in verdict.reasons[0]


def test_a_failure_that_pytest_forgot_to_count_is_1_all_the_same() -> None:
    assert decide(view("failed", status=0), [], control=False).code == ExitCode.FAILED


def test_a_status_without_a_failed_test_is_1() -> None:
    assert decide(view("passed", status=1), [], control=False).code == ExitCode.FAILED


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("outcomes", [(), ("skipped", "skipped")])
def test_no_test_that_ran_is_1(outcomes: tuple[str, ...], control: bool) -> None:
    assert decide(view(*outcomes, status=5), [], control=control).code == ExitCode.FAILED
    assert decide(view(*outcomes, status=0), [], control=control).code == ExitCode.FAILED


def test_arguments_that_pytest_refuses_are_2() -> None:
    assert decide(view(status=4), [], control=False).code == ExitCode.USAGE


def test_tests_that_cannot_be_collected_are_1() -> None:
    assert decide(view(status=2), [], control=False).code == ExitCode.FAILED


def test_an_error_inside_pytest_is_3() -> None:
    assert decide(view("passed", status=3), [], control=False).code == ExitCode.INFRA


@pytest.mark.parametrize("outcome", ["lost", "silence", "boot", "total", "interrupted"])
def test_a_lost_guest_is_3_even_after_a_failed_test(outcome: str) -> None:
    lost = view("failed", "running", status=None)
    lost.guest.update(outcome=outcome, detail="It was gone.")
    verdict = decide(lost, [], control=False)
    assert verdict.code == ExitCode.INFRA
    assert verdict.reasons == ("It was gone.", "In flight: t1.")


def test_a_test_without_a_result_is_3() -> None:
    verdict = decide(view("passed", ""), [], control=False)
    assert verdict.code == ExitCode.INFRA
    assert "t1" in verdict.reasons[0]


def test_the_kernel_outranks_passed_tests_and_a_lost_guest() -> None:
    assert decide(view("passed"), [WARNING], control=False).code == ExitCode.KERNEL
    lost = view("running", status=None)
    lost.guest.update(outcome="lost", detail="It was gone.")
    verdict = decide(lost, [WARNING], control=False)
    assert verdict.code == ExitCode.KERNEL
    assert verdict.reasons[1:] == ("It was gone.", "In flight: t0.")


def test_an_allowed_splat_does_not_count() -> None:
    assert decide(view("passed"), [ALLOWED], control=False).code == ExitCode.PASSED


def test_a_scan_that_cannot_run_is_3() -> None:
    verdict = decide(view("passed"), [], control=False, scan_error="empty")
    assert (verdict.code, verdict.reasons) == (ExitCode.INFRA, ("empty",))


def test_control_passes_if_all_features_are_absent() -> None:
    assert decide(view("absent", "absent"), [], control=True).code == ExitCode.PASSED


@pytest.mark.parametrize("outcome", ["passed", "failed", "skipped"])
def test_control_fails_if_a_test_says_anything_else(outcome: str) -> None:
    verdict = decide(view("absent", outcome, status=1), [], control=True)
    assert verdict.code == ExitCode.FAILED
    assert "t1" in verdict.reasons[0]


def test_control_too_hears_the_kernel() -> None:
    assert decide(view("absent"), [WARNING], control=True).code == ExitCode.KERNEL


# --- what ends a run ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "headline"),
    [
        (LabError("No kernel."), ExitCode.INFRA, "infrastructure: No kernel."),
        (UsageError("No such base."), ExitCode.USAGE, "usage: No such base."),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "infrastructure: interrupted"),
        (ValueError("x"), ExitCode.INFRA, "infrastructure: ValueError('x')"),
    ],
)
def test_what_ended_a_run_is_its_verdict(
    error: BaseException, code: ExitCode, headline: str
) -> None:
    assert verdict_of(error, ["As far as t1."]) == Verdict(code, headline, ("As far as t1.",))


def test_a_hint_comes_before_how_far_a_run_had_come() -> None:
    error = LabError("No kernel.", hint="Build one.")
    assert verdict_of(error, ["Nowhere."]).reasons == ("Build one.", "Nowhere.")
    assert verdict_of(error).reasons == ("Build one.",)
