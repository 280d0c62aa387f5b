"""The KTAP parser, against what kselftests and KUnit print."""

from __future__ import annotations

from lab.ktap import FAILED, PASSED, SKIPPED, parse

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
    report = parse(["okay", "okra 3", "not okay", "", "# ok 1 quoted", "Bail out!"])
    assert (report.results, report.planned, report.missing) == ((), None, 0)


def test_a_result_without_a_name_has_its_number() -> None:
    assert parse(["ok 7"]).results[0].name == "test 7"
