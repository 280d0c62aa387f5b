# SPDX-License-Identifier: MIT
"""The in-tree suites: results out of a guest's output, and the comparison."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, LabError, UsageError
from lab.jobs.kselftest import build, test_progs
from lab.jobs.kselftest.build import _first_error
from lab.jobs.kselftest.compare import BETTER, GONE, NEW, WORSE, compare, is_bad, table
from lab.jobs.kselftest.guest import results, script
from lab.jobs.kselftest.run import Side, _require_results, best, unstable
from lab.jobs.kselftest.suites import SUITES, ProgFile, Program, Suite, find_suites
from lab.kernel.plan import BASE, SERIES
from lab.runs import journal
from lab.runs.journal import Test
from lab.source.git import Git
from tests.support import Recorder

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
    return [
        (Side(BASE, "", outcomes(a=one)), Side(SERIES, "", outcomes(a=two))) for one, two in pairs
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


RUNNER = Suite("bpf", files=(ProgFile("one"), ProgFile("many", ("many_b",)), ProgFile("gone")))

PRINTED = """\
WARNING! Selftests relying on bpf_testmod.ko will be skipped.
#7/1     token/map: with a colon:OK
test_setup:FAIL:create unexpected error: -1
#7/2     token/prog:FAIL
#7/3     token/prog:SKIP
#7       token:FAIL
Summary: 0/1 PASSED, 1 SKIPPED, 1 FAILED
"""


def test_what_the_runner_of_bpf_prints() -> None:
    found = test_progs.parse(PRINTED.splitlines())
    assert [(result.name, result.outcome) for result in found.results] == [
        ("map: with a colon", "passed"),
        ("prog", "failed"),
        ("prog (2)", "skipped"),
    ]
    assert found.results[1].message == "test_setup:FAIL:create unexpected error: -1"
    assert found.own is not None
    assert (found.own.name, found.own.outcome) == ("token", "failed")
    assert sum(map(test_progs.is_result, PRINTED.encode().splitlines())) == 4


@pytest.mark.parametrize(
    ("line", "outcome", "message"),
    [
        ("#12      section_names:OK", "passed", ""),
        ("#12      section_names:SKIP", "skipped", ""),
        ("#12      section_names:SKIP (not built)", "skipped", "not built"),
        ("#12      section_names:OK (SKIP: 1/3)", "passed", "SKIP: 1/3"),
    ],
)
def test_a_test_without_parts(line: str, outcome: str, message: str) -> None:
    found = test_progs.parse([line])
    assert found.own is not None
    assert (found.results, found.own.outcome, found.own.message) == ((), outcome, message)


def test_a_runner_that_prints_no_result_has_failed(tmp_path: Path) -> None:
    script_ = program(tmp_path, "test_progs", 'echo "$PWD $*"; echo Summary')
    one = Program(RUNNER, "one", script_.path, arguments=("-a", "one"), directory=tmp_path)
    assert ran([one]) == {"bpf/one": ("failed", "it bailed out: the runner printed no result")}


def test_a_runner_that_passes_and_fails_has_failed(tmp_path: Path) -> None:
    script_ = program(tmp_path, "test_progs", 'echo "#1 one:OK"; exit 1')
    one = Program(RUNNER, "one", script_.path, arguments=("-a", "one"), directory=tmp_path)
    assert ran([one]) == {"bpf/one": ("failed", "exit status 1 after a result of 'passed'")}


def test_a_runner_is_told_which_test_where_its_files_are(tmp_path: Path) -> None:
    body = '[ "$PWD" = "$(dirname "$0")" ] && echo "#1 $2/part:OK" && echo "#1 $2:OK"'
    script_ = program(tmp_path, "test_progs", body)
    one = Program(RUNNER, "one", script_.path, arguments=("-a", "one"), directory=tmp_path)
    assert ran([one]) == {"bpf/one/part": ("passed", ""), "bpf/one": ("passed", "")}


@pytest.fixture
def bpf_tree(tmp_path: Path) -> Path:
    """A tree with three tests, of which the suite wants two."""
    tree = tmp_path / "tree"
    for name, text in {
        "prog_tests/one.c": '#include "map.skel.h"\nvoid test_one(void)\n{\n}\n',
        "prog_tests/many.c": (
            '#include <x.h>\n#include "./look.lskel.h"\nopen("./opened.bpf.o");\n'
            "void test_many_a(void)\n{\n}\nvoid serial_test_many_b(void)\n{\n}\n"
        ),
        "prog_tests/other.c": '#include "other.skel.h"\n',
        "progs/map.c": '#include "shared.c"\n',
        "progs/shared.c": "",
        "progs/look.c": "",
        "progs/opened.c": "",
        "progs/other.c": "",
        "progs/all.h": "",
        "helpers.c": "",
    }.items():
        path = tree / test_progs.BPF / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git = Git(tree)
    git.run("init", "-q")
    git.run("add", "-f", ".")
    return tree


def test_only_what_the_tests_need_is_copied(bpf_tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    test_progs.mirror(bpf_tree, target, RUNNER.files)
    copied = (target / test_progs.BPF).rglob("*.[ch]")
    assert {str(path.relative_to(target / test_progs.BPF)) for path in copied} == {
        "prog_tests/one.c",
        "prog_tests/many.c",
        "progs/map.c",
        "progs/shared.c",
        "progs/look.c",
        "progs/opened.c",
        "progs/all.h",
        "helpers.c",
    }


def test_a_test_that_is_not_built_is_named_with_the_reason(bpf_tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    test_progs.mirror(bpf_tree, output / test_progs.SOURCE, RUNNER.files)
    (output / test_progs.RUNNER).touch()
    (output / "one.test.o").touch()
    error = "prog_tests/many.c:3:1: fatal error: look.lskel.h: No such file"
    found = list(test_progs.programs(RUNNER, output, f"cc\nprogs/x.c:1:1: error: no\n{error}\n"))
    assert [(program.name, program.path, program.problem) for program in found] == [
        ("one", output / test_progs.RUNNER, ""),
        ("many_b", None, error),
        ("gone", None, "this tree's prog_tests/gone.c has no such test"),
    ]


def test_without_a_runner_nothing_runs(bpf_tree: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    test_progs.mirror(bpf_tree, output / test_progs.SOURCE, RUNNER.files)
    log = "x.c:1:1: error: no\nmake: *** [Makefile:1: all] Error 2"
    found = list(test_progs.programs(RUNNER, output, log))
    assert found[0].problem == "x.c:1:1: error: no"


def test_what_could_not_be_built_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "kselftest" / "seccomp"
    built: list[str] = []
    there = ["one"]

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        if "all" in command:
            built.append(command[0])
            for name in there:
                (output / name).touch()
            options["log"].write_text("two.c:1:10: fatal error: sys/none.h: No such file\n")
        return SimpleNamespace(stdout="one two\n")

    monkeypatch.setattr(build, "proc", SimpleNamespace(run=run))
    monkeypatch.setattr(build, "source_digest", lambda *_: "key")
    monkeypatch.setattr(build, "headers", lambda _: tmp_path)
    request: Any = SimpleNamespace(build_dir=tmp_path, tree=None)
    kernel: Any = SimpleNamespace(
        configured=SimpleNamespace(source=SimpleNamespace(tree=SimpleNamespace(path=tmp_path)))
    )

    def problems() -> list[str]:
        programs = build.build_suites(kernel, request, [SUITE], Recorder().ui)
        return [program.problem for program in programs]

    assert problems() == ["", "two.c:1:10: fatal error: sys/none.h: No such file"]
    there.append("two")
    assert problems() == ["", ""]
    assert problems() == ["", ""]
    assert len(built) == 2
