# SPDX-License-Identifier: MIT
"""Two runs: what was run, results, times, matrices, and the command."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, UsageError
from lab.report.compare import comparison
from lab.report.compare.changes import BETTER, OTHER, WORSE, Change
from lab.report.compare.text import text
from lab.runs.matrix_table import Row
from lab.runs.run import Run
from tests.runs import MANIFEST, PATCHES, changes, make_run, notes, result, row, table, write_bench

A, B = "selftests/test_a.py::test_a", "selftests/test_a.py::test_b"


def states(cache: Cache, before: str, after: str, **fields: Any) -> list[tuple[str, str]]:
    """What becomes of a test that changes its state."""
    old = make_run(cache, {A: result(before), B: result("passed")}, **fields)
    new = make_run(cache, {A: result(after), B: result("passed")}, **fields)
    return [(change.kind, change.worth) for change in changes(old, new, "Tests")]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("passed", "passed", []),
        ("passed", "failed", [("newly failing", WORSE)]),
        ("passed", "absent", [("newly failing", WORSE)]),
        ("skipped", "failed", [("newly failing", WORSE)]),
        ("failed", "passed", [("newly passing", BETTER)]),
        ("passed", "skipped", [("now skipped", WORSE)]),
        ("skipped", "passed", [("no longer skipped", BETTER)]),
        ("failed", "skipped", [("skipped instead of failing", OTHER)]),
        ("failed", "absent", [("changed", OTHER)]),
    ],
)
def test_states(cache: Cache, before: str, after: str, expected: list[tuple[str, str]]) -> None:
    assert states(cache, before, after) == expected


def test_a_control_that_has_a_feature_is_worse(cache: Cache) -> None:
    found = states(cache, "absent", "passed", kind="control")
    assert found == [("newly failing", WORSE)]


def test_tests_that_came_and_went(cache: Cache) -> None:
    old = make_run(cache, {A: result("passed")})
    good, bad = make_run(cache, {B: result("passed")}), make_run(cache, {B: result("failed")})
    assert [(c.kind, c.worth) for c in changes(old, good, "Tests")] == [
        ("gone", WORSE),
        ("added", OTHER),
    ]
    assert ("added, and failing", WORSE) in [(c.kind, c.worth) for c in changes(old, bad, "Tests")]


def test_what_was_not_chosen_is_not_worse(cache: Cache) -> None:
    old = make_run(cache, {A: result("passed"), B: result("passed")})
    new = make_run(cache, {A: result("passed")}, guest={"whole": False})
    assert [(c.kind, c.worth) for c in changes(old, new, "Tests")] == [
        ("only in the old run", OTHER)
    ]
    assert [(c.kind, c.worth) for c in changes(new, old, "Tests")] == [
        ("only in the new run", OTHER)
    ]


def test_a_test_that_no_longer_ends_is_worse(cache: Cache) -> None:
    old = make_run(cache, {A: result("passed")})
    events: list[dict[str, Any]] = [
        {"event": "seed", "tests": [{"id": A}]},
        {"event": "start", "id": A},
    ]
    new = make_run(cache, {}, code=3, events=events)
    assert [c.kind for c in changes(old, new, "Tests")] == ["newly failing"]
    assert [c.kind for c in changes(old, new, "Verdict")] == ["worse verdict"]


def test_new_complaints_of_the_kernel_are_worse_and_numbers_do_not_make_one_new(
    cache: Cache,
) -> None:
    def splat(headline: str, allowed: str | None = None) -> dict[str, Any]:
        return {"kind": "WARNING", "headline": headline, "allowed": allowed}

    old = make_run(cache, {}, splats=[splat("WARNING: at 12 0xff")])
    new = make_run(
        cache, {}, splats=[splat("WARNING: at 7 0xa"), splat("other"), splat("fine", "known")]
    )
    assert [(c.what, c.worth) for c in changes(old, new, "Verdict")] == [("WARNING: other", WORSE)]
    assert [c.worth for c in changes(new, old, "Verdict")] == [BETTER]


# --- what was run ----------------------------------------------------------------------------


def test_patches_are_known_by_their_ids(cache: Cache) -> None:
    old = make_run(cache, {})
    edited = {**PATCHES[1], "patch_id": "d" * 40}
    third = {"number": 3, "title": "New", "patch_id": "e" * 40, "applied": True}
    new = make_run(cache, {}, patches=[edited, third], config={"digest": "c2"})
    found = [(c.kind, c.what) for c in changes(old, new, "What was run")]
    assert ("changed", "patch 2: The second") in found
    assert ("added", "patch 3: New") in found
    assert ("gone", "patch 1: The first") in found
    assert ("differs", "config digest") in found
    assert {c.worth for c in changes(old, new, "What was run")} == {OTHER}


def test_tools_and_accelerators_are_named(cache: Cache) -> None:
    old = make_run(cache, {})
    new = make_run(cache, {}, tools={"qemu": "9.0"}, accelerator={"name": "kvm"})
    found = {c.what: (c.before, c.after) for c in changes(old, new, "What was run")}
    assert found == {"tools: qemu": ("7.2", "9.0"), "accelerator": ("tcg", "kvm")}


def test_a_run_beside_itself_has_no_change(cache: Cache) -> None:
    run = make_run(cache, {A: result("passed"), B: result("failed")}, code=1)
    write_bench(run, table([row("a", 1.0)]))
    found = comparison.compare(Run.load(run), Run.load(run))
    assert [change for group in found.groups for change in group.changes] == []
    assert found.headline == "nothing got worse"


# --- times -----------------------------------------------------------------------------------


def test_times_are_told_by_the_rule_and_never_worse(cache: Cache) -> None:
    old = make_run(cache, {A: result("passed", 1.0), B: result("passed", 10.0)})
    new = make_run(cache, {A: result("passed", 2.5), B: result("passed", 12.0)})
    assert changes(old, new, "Times") == [Change("slower", A, "1.0 s", "2.5 s", OTHER)]
    assert [c.kind for c in changes(new, old, "Times")] == ["faster"]


def test_stages_are_compared(cache: Cache) -> None:
    def run(seconds: float) -> Path:
        end = {"event": "guest", "boot_seconds": 9.0, "seconds": seconds}
        return make_run(cache, {}, events=[end])

    old, new = run(20.0), run(90.0)
    assert [(c.kind, c.what) for c in changes(old, new, "Times")] == [("slower", "stage tests")]


# --- matrices --------------------------------------------------------------------------------


def matrix(cache: Cache, profiles: Sequence[str] = (), code: int = 0, **parts: Path) -> Path:
    rows = [Row(name, "", 0, "", str(path), {}, {}, 0, 1.0) for name, path in parts.items()]
    events = [{"event": "profile", **asdict(row)} for row in rows]
    fields: dict[str, Any] = {"events": events, "patches": [], "profiles": profiles or list(parts)}
    return make_run(cache, {}, kind="matrix", code=code, **fields)


def test_matrices_are_compared_profile_by_profile(cache: Cache) -> None:
    good, bad = (
        make_run(cache, {A: result("passed")}),
        make_run(cache, {A: result("failed")}, code=1),
    )
    old, new = matrix(cache, default=good, yama=good), matrix(cache, default=good, yama=bad)
    assert [c.what for c in changes(old, new, "Tests")] == [f"yama: {A}"]
    assert [c.what for c in changes(old, new, "Verdict")] == ["profile yama"]


def test_profiles_that_one_matrix_alone_ran_are_named_once_and_not_worse(cache: Cache) -> None:
    good = make_run(cache, {A: result("passed"), B: result("passed")})
    bad = make_run(cache, {A: result("failed")}, code=1)
    old = matrix(cache, ["default", "yama"], default=good, yama=good)
    new = matrix(cache, ["default", "debug"], 1, default=good, debug=bad)
    assert sorted((c.kind, c.what, c.worth) for c in changes(old, new, "Tests")) == [
        ("only in the new run", "profile debug", OTHER),
        ("only in the old run", "profile yama", OTHER),
    ]
    assert [(c.kind, c.worth) for c in changes(old, new, "Verdict")] == [("other verdict", OTHER)]


def test_a_profile_whose_run_was_removed_is_said(cache: Cache) -> None:
    good, gone = make_run(cache, {A: result("passed")}), make_run(cache, {A: result("passed")})
    old = matrix(cache, default=good, yama=gone)
    new = matrix(cache, default=good, yama=good)
    shutil.rmtree(gone)
    assert changes(old, new, "Tests") == []
    assert f"of {old.name} the runs of yama were removed" in notes(old, new)
    with pytest.raises(UsageError) as caught:
        changes(old, make_run(cache, {}, profile={"name": "yama"}), "Tests")
    assert "The runs of yama are no longer there" in caught.value.hint


def test_a_matrix_that_has_lost_all_runs_is_still_one(cache: Cache) -> None:
    gone = make_run(cache, {A: result("passed")})
    old, new = matrix(cache, yama=gone), matrix(cache, yama=make_run(cache, {A: result("failed")}))
    shutil.rmtree(gone)
    assert changes(old, new, "Tests") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"guest": {"whole": True, "command": "python -m pytest -m extended"}},
        {"patches": PATCHES[:1]},
    ],
)
def test_what_another_selection_or_fewer_patches_leave_out_is_not_gone(
    cache: Cache, fields: dict[str, Any]
) -> None:
    old = make_run(cache, {A: result("passed"), B: result("passed")})
    new = make_run(cache, {A: result("passed")}, **fields)
    assert [(c.kind, c.worth) for c in changes(old, new, "Tests")] == [
        ("only in the old run", OTHER)
    ]


def test_a_run_is_compared_with_its_profile_of_a_matrix(cache: Cache) -> None:
    profile = {"name": "yama", "what": ""}
    good = make_run(cache, {A: result("passed")}, profile=profile)
    bad = make_run(cache, {A: result("failed")}, profile=profile, code=1)
    assert [c.what for c in changes(matrix(cache, yama=good), bad, "Tests")] == [A]
    with pytest.raises(UsageError, match="no profile 'yama'"):
        changes(bad, matrix(cache, default=good), "Tests")


# --- the command -----------------------------------------------------------------------------


def test_the_command_ends_with_1_if_something_got_worse(
    cache: Cache, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = make_run(cache, {A: result("passed")})
    new = make_run(cache, {A: result("failed")}, code=1)
    where = ["--cache", str(cache.root)]
    assert run_cli(["compare", old.name, new.name, *where]) == ExitCode.FAILED
    out = capsys.readouterr().out
    assert f"! newly failing: {A} (passed -> failed)" in out
    assert "worse: 1 worse verdict, 1 newly failing" in out
    page = (new / "compare.html").read_text()
    assert "newly failing" in page
    assert "://" not in page
    target = tmp_path / "out" / "page.html"
    assert run_cli(["compare", str(new), str(old), "--html", str(target), *where]) == 0
    assert "nothing got worse" in target.read_text()


def test_runs_that_are_none_are_2(cache: Cache, tmp_path: Path) -> None:
    old = make_run(cache, {A: result("passed")})
    where = ["--cache", str(cache.root)]
    assert run_cli(["compare", old.name, "nonsense", *where]) == ExitCode.USAGE
    assert run_cli(["compare", *where]) == ExitCode.USAGE
    (tmp_path / "file").write_text("")
    page = str(tmp_path / "file" / "page.html")
    assert run_cli(["compare", old.name, old.name, "--html", page, *where]) == ExitCode.USAGE


def test_many_changes_are_counted_on_the_console(cache: Cache) -> None:
    names = [f"{A}[{number}]" for number in range(50)]
    old = make_run(cache, {name: result("passed") for name in names})
    new = make_run(cache, {name: result("failed") for name in names}, **MANIFEST)
    lines = text(comparison.compare(Run.load(old), Run.load(new)))
    assert "  newly failing: and 30 more" in lines
