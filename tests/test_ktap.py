# SPDX-License-Identifier: MIT
"""The KTAP parser, against what kselftests and KUnit print."""

from __future__ import annotations

from lab.jobs.kselftest.ktap import FAILED, PASSED, SKIPPED, parse

HARNESS = """\
TAP version 13
1..4
# Starting 4 tests from 2 test cases.
#  RUN           global.kcmp ...
#            OK  global.kcmp
ok 1 global.kcmp
#  RUN           TRAP.dfl ...
# seccomp_bpf.c:821:dfl:Expected 1 (1) == 0 (0)
# dfl: Test failed
#          FAIL  TRAP.dfl
not ok 2 TRAP.dfl
#  RUN           global.user_ns ...
#      SKIP      no permission
ok 3 global.user_ns # SKIP no permission
#  RUN           global.hangs ...
"""

NESTED = """\
KTAP version 1
1..2
  KTAP version 1
    1..2
    ok 1 first
    not ok 2 second # TODO not done yet
ok 1 outer
not ok 2 - dashed # XFAIL known
ok 3 slow # TIMEOUT 45 seconds
"""


def test_results_of_the_selftest_harness() -> None:
    report = parse(HARNESS.splitlines())
    assert [(row.name, row.outcome) for row in report.results] == [
        ("global.kcmp", PASSED),
        ("TRAP.dfl", FAILED),
        ("global.user_ns", SKIPPED),
    ]
    assert "Expected 1 (1) == 0 (0)" in report.results[1].message
    assert report.results[2].message.startswith("SKIP no permission")
    assert (report.planned, report.missing, report.running) == (4, 1, "global.hangs")


def test_subtests_are_named_after_their_parent() -> None:
    report = parse(NESTED.splitlines())
    assert [(row.name, row.outcome) for row in report.results] == [
        ("outer/first", PASSED),
        ("outer/second", PASSED),
        ("outer", PASSED),
        ("dashed", PASSED),
        ("slow", FAILED),
    ]
    assert report.planned == 2


def test_what_is_no_ktap_is_no_result() -> None:
    report = parse(["okay", "okra 3", "not okay", "", "# ok 1 quoted"])
    assert (report.results, report.planned, report.missing) == ((), None, 0)


def test_nesting_by_two_blanks_as_the_specification_shows_it() -> None:
    text = "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 inner\nok 1 outer"
    report = parse(text.splitlines())
    assert [row.name for row in report.results] == ["outer/inner", "outer"]
    assert report.missing == 0


def test_a_failure_is_not_lost_for_what_follows_it() -> None:
    report = parse(["not ok 3 selftests: x # exit=1", "not ok 4 foo #2 failed"])
    assert [(row.name, row.outcome) for row in report.results] == [
        ("selftests: x", FAILED),
        ("foo", FAILED),
    ]
    assert "exit=1" in report.results[0].message


def test_a_skipped_test_may_have_its_name_behind_the_directive() -> None:
    report = parse(["ok 1 # SKIP needs root", "ok 2 # XPASS better than thought"])
    assert [(row.name, row.outcome) for row in report.results] == [
        ("needs root", SKIPPED),
        ("better than thought", PASSED),
    ]


def test_a_bail_out_is_told() -> None:
    assert parse(["ok 1 a", "Bail out! no memory"]).bailed == "no memory"
    assert parse(["ok 1 a"]).bailed is None


def test_two_results_of_one_name_are_told_apart() -> None:
    report = parse(["not ok 1 same", "ok 2 same"])
    assert [(row.name, row.outcome) for row in report.results] == [
        ("same", FAILED),
        ("same (2)", PASSED),
    ]


def test_a_result_without_a_name_has_its_number() -> None:
    assert parse(["ok 7"]).results[0].name == "test 7"
