"""The in-tree suites: results out of a guest's output, and the comparison."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import journal
from lab.cache import Cache
from lab.cli import run_cli
from lab.errors import ExitCode, LabError, UsageError
from lab.journal import Test
from lab.kselftest.build import Program, _first_error
from lab.kselftest.compare import BETTER, GONE, NEW, WORSE, compare, is_bad, table
from lab.kselftest.run import Side, _require_results, best, results, script, unstable
from lab.kselftest.suites import SUITES, find_suites

SUITE = SUITES[0]


def program(tmp_path: Path, name: str, body: str) -> Program:
    """A program that is a shell script."""
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return Program(SUITE, name, path)


def ran(programs: list[Program]) -> dict[str, tuple[str, str]]:
    """Results of the script that a guest would run."""
    text = script(programs).replace("> /dev/kmsg", "> /dev/null")
    output = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout
    return {name: (outcome, said) for name, outcome, said in results(programs, output)}


def test_programs_are_run_one_after_the_other(tmp_path: Path) -> None:
    found = ran(
        [
            program(tmp_path, "ktap", "echo 1..1; echo ok 1 case; exit 1"),
            program(tmp_path, "dies", "echo ok 1 case; kill -SEGV $$"),
            program(tmp_path, "bails", "echo ok 1 case; echo Bail out! no; exit 1"),
            program(tmp_path, "silent", "exit 0"),
            program(tmp_path, "skips", "exit 4"),
            program(tmp_path, "fails", "echo nonsense; exit 1"),
            program(tmp_path, "short", "echo 1..3; echo ok 1 case"),
            Program(SUITE, "broken", None, "x.c:1:2: error: no"),
        ]
    )
    assert found == {
        "seccomp/ktap/case": ("passed", ""),
        "seccomp/ktap": ("passed", ""),
        "seccomp/dies/case": ("passed", ""),
        "seccomp/dies": ("failed", "exit status 139"),
        "seccomp/bails/case": ("passed", ""),
        "seccomp/bails": ("failed", "it bailed out: no"),
        "seccomp/silent": ("passed", ""),
        "seccomp/skips": ("skipped", "exit status 4"),
        "seccomp/fails": ("failed", "exit status 1"),
        "seccomp/short/case": ("passed", ""),
        "seccomp/short": ("failed", "2 of 3 results are missing"),
        "seccomp/broken": ("skipped", "not built: x.c:1:2: error: no"),
    }


def test_a_program_that_the_guest_died_in_is_named(tmp_path: Path) -> None:
    programs = [program(tmp_path, "one", ""), program(tmp_path, "two", "")]
    text = "# lab: begin seccomp/one\n#  RUN           a.b ...\n"
    found = {name: (outcome, said) for name, outcome, said in results(programs, text)}
    assert found["seccomp/one"] == ("failed", "it did not end; in flight: a.b")
    assert found["seccomp/two"] == ("failed", "it was not started")


def outcomes(**states: str) -> dict[str, Test]:
    """Tests by id, in a state."""
    return {f"seccomp/{name}": Test(name, 1, state=state) for name, state in states.items()}


def test_every_difference_is_named_and_judged() -> None:
    base = outcomes(a="passed", b="passed", c="failed", d="passed", e="skipped")
    series = outcomes(a="passed", b="failed", c="passed", e="passed", f="passed", g="failed")
    found = compare(base, series)
    assert {row.id[-1]: row.kind for row in found} == {
        "b": WORSE,
        "c": BETTER,
        "d": GONE,
        "e": BETTER,
        "f": NEW,
        "g": WORSE,
    }
    assert {row.id[-1] for row in found if is_bad(row)} == {"b", "d", "g"}
    lines = table(base, series, found)
    assert "3 1 1" in lines[1]
    assert "worse: seccomp/b: passed -> failed" in lines
    assert "gone: seccomp/d: passed -> gone" in lines


def sides(*pairs: tuple[str, str]) -> list[tuple[Side, Side]]:
    """Runs of both kernels, of one test."""
    plan: Any = SimpleNamespace(kind="series")
    return [
        (Side(plan, Path(), outcomes(a=one), 0), Side(plan, Path(), outcomes(a=two), 0))
        for one, two in pairs
    ]


def test_what_passes_once_can_pass_and_is_told_to_differ() -> None:
    runs = sides(("passed", "failed"), ("passed", "passed"))
    assert compare(best(runs, 0), best(runs, 1)) == []
    assert unstable(runs) == [
        "differs from run to run on the series: seccomp/a: failed, passed",
    ]


def test_what_never_passes_is_worse() -> None:
    runs = sides(("passed", "failed"), ("failed", "failed"))
    (row,) = compare(best(runs, 0), best(runs, 1))
    assert is_bad(row)


def test_what_fails_on_both_is_named() -> None:
    both = outcomes(a="failed")
    assert "fails on both: seccomp/a" in table(both, both, [])


def test_a_suite_without_results_is_no_verdict() -> None:
    with pytest.raises(LabError, match="seccomp gives no result"):
        _require_results((SUITE,), sides(("skipped", "skipped"))[0])


def test_a_test_that_is_skipped_now_is_worse() -> None:
    (row,) = compare(outcomes(a=journal.PASSED), outcomes(a=journal.SKIPPED))
    assert row.kind == WORSE


def test_the_first_error_of_a_program_that_does_not_compile() -> None:
    error = "one.c:3:10: fatal error: sys/none.h: No such file"
    log = f"gcc ...\nother.c:1:1: error: x\n{error}\nmake: ***"
    assert _first_error(log, "one") == error
    missing = "/bin/ld: cannot find -lcap: No such file"
    assert _first_error(missing, "two") == missing
    assert "log" in _first_error("", "three")


def test_an_unknown_suite_names_the_known(cache: Cache) -> None:
    with pytest.raises(UsageError) as caught:
        find_suites(("nonsense",))
    assert "seccomp" in caught.value.hint
    assert run_cli(["kselftest", "nonsense", "--cache", str(cache.root)]) == ExitCode.USAGE
