# SPDX-License-Identifier: MIT
"""`lab size`: its file, its text, its verdict, whole runs, and two of them compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs.engine import Again
from lab.jobs.size import run, told
from lab.jobs.size.measure import Kept
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Source
from lab.kernel.plan import Plan
from lab.report.compare import comparison
from lab.report.compare.changes import BETTER, OTHER, WORSE
from lab.report.compare.text import text
from lab.runs import rundir, size_figures
from lab.runs.run import Run
from lab.runs.rundir import HTML
from lab.runs.size_figures import (
    ON,
    FrameChange,
    Growth,
    ObjectChange,
    Pair,
    Sizes,
    Symbol,
    Totals,
)
from lab.runs.writing import OpenRun
from lab.source.git import Git
from lab.source.room import BaseResult
from lab.source.series import Series
from lab.source.worktree import TreeResult
from tests.runs import make_run
from tests.sizes import CLEAN, DIRTY, GROWN, SIZES, of, write
from tests.support import CHANGES, Recorder, make_patches, make_repository
from tests.worlds import again, with_tools

# --- the file, the text, the verdict ---------------------------------------------------------


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert of(tmp_path) is None
    write(tmp_path, SIZES)
    assert of(tmp_path) == SIZES


@pytest.mark.parametrize("change", [{"version": 2}, {"pairs": [{}]}, {"frame_warn": None}])
def test_a_file_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path, SIZES)
    data = json.loads((tmp_path / size_figures.NAME).read_text())
    (tmp_path / size_figures.NAME).write_text(json.dumps({**data, **change}))
    with pytest.raises(LabError, match=r"size\.json is no file of sizes"):
        of(tmp_path)


def test_off_has_to_leave_nothing() -> None:
    passed = told.decide(SIZES)
    assert passed.code == ExitCode.PASSED
    assert "on: text +500  data +0  bss +0" in passed.headline
    failed = told.decide(Sizes("CONFIG_X", 0, (GROWN, DIRTY)))
    assert failed.code == ExitCode.FAILED
    assert failed.reasons == ("off: section .text: +8 bytes",)
    symbol = replace(CLEAN, symbols=Growth(9, 10, (Symbol("f", 9, 10),)))
    assert told.decide(Sizes("CONFIG_X", 0, (GROWN, symbol))).reasons == ("off: f: +1 bytes",)
    strings = replace(CLEAN, objects=(ObjectChange("a.o", Totals(1, 2, 3), Totals(9, 2, 3), ()),))
    assert told.decide(Sizes("CONFIG_X", 0, (GROWN, strings))).reasons == (
        "off: a.o: text +8  data +0  bss +0",
    )
    assert told.decide(Sizes("CONFIG_X", 0, (GROWN,))).code == ExitCode.INFRA


def test_the_text_has_all_of_it() -> None:
    lines = told.text(SIZES)
    for line in (
        "CONFIG_X on, against the base: text +500  data +0  bss +0",
        "  section .text: 1000 -> 1500 (+500)",
        "  section .notes: 3 -> 4 (+1): the build id",
        "  symbol f<1>: - -> 500 (+500)",
        "  kernel/new.o: text +1  data +2  bss +3 (not built in both)",
        "  stack f (kernel/a.o): - -> 40 and more, dynamic",
        "  largest frame in these objects: 24 -> 48 bytes",
        "the compiler warns of frames above 2048 bytes",
    ):
        assert line in lines


# --- the run ---------------------------------------------------------------------------------


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> run.SizeRequest:
    monkeypatch.setattr(run, "bring_source", lambda *_: None)
    monkeypatch.setattr(run, "touched", lambda _: ("kernel/a.o",))
    with_tools(monkeypatch)
    return run.SizeRequest("linux-7.3", False, tmp_path, ARCHES[0])


def play(monkeypatch: pytest.MonkeyPatch, off: Pair) -> list[str]:
    """Have the kernels measured as it is said; what was measured."""
    done: list[str] = []

    def kernel(open_run: OpenRun, plan: Plan, name: str, _: Sequence[str]) -> Kept:
        done.append(f"{name}: {plan.kernel} {plan.profile.name}")
        kept = Kept(open_run.path / run.SCRATCH, name)
        kept.path.mkdir(parents=True)
        (kept.path / ".config").write_text("CONFIG_FRAME_WARN=2048\n")
        return kept

    def measured(name: str, old: Kept, new: Kept, *_: Any) -> Pair:
        done.append(f"{old.name} {new.name}")
        return GROWN if name == ON else off

    source = type("Source", (), {"tree": type("Tree", (), {"path": Path("/tree")})})
    monkeypatch.setattr(run, "bring_source", lambda *_: source)
    monkeypatch.setattr(run, "_kernel", kernel)
    monkeypatch.setattr(run, "measure", measured)
    return done


def test_a_run_leaves_figures_text_and_a_page(
    cache: Cache, request_: run.SizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = play(monkeypatch, CLEAN)
    recorder = Recorder()
    assert run.run_size(Session(cache, recorder.ui), request_, again) == ExitCode.PASSED
    assert done == [
        "base: base default",
        "on: series default",
        "off: off no-extended",
        "base on",
        "base off",
    ]
    directory = rundir.find(cache, "last")
    assert size_figures.of(Run.load(directory)) == replace(
        SIZES, option="CONFIG_SECCOMP_FILTER_EXTENDED"
    )
    assert not (directory / run.SCRATCH).exists()
    page = (directory / HTML).read_text()
    assert "f&lt;1&gt;" in page
    assert "no growth: the build id" in page
    assert 'href="size.txt"' in page
    assert "largest frame" in recorder.results.getvalue()


def test_a_run_whose_option_leaves_something_is_1(
    cache: Cache, request_: run.SizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, DIRTY)
    assert run.run_size(Session(cache, Recorder().ui), request_, again) == ExitCode.FAILED
    loaded = Run.load(rundir.find(cache, "last"))
    assert loaded.reasons == ["off: section .text: +8 bytes"]


@pytest.mark.parametrize("error", [LabError("It does not build.", "Mend it."), KeyboardInterrupt()])
def test_a_run_that_does_not_end_can_be_read(
    cache: Cache, request_: run.SizeRequest, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(run, "bring_source", broken)
    with pytest.raises(type(error)):
        run.run_size(Session(cache, Recorder().ui), request_, again)
    directory = rundir.find(cache, "last")
    assert Run.load(directory).headline.startswith("infrastructure: ")
    assert (directory / HTML).is_file()


def test_the_objects_are_those_of_the_sources_that_the_series_touches(
    kernel: Path, tmp_path: Path
) -> None:
    git = make_repository(kernel)
    base = git.out("rev-parse", "HEAD")
    patches = make_patches(kernel, tmp_path / "patches", CHANGES)
    for name in ("tools/x.c", "include/linux/new.h", "kernel/bpf/new.c"):
        (kernel / name).parent.mkdir(parents=True, exist_ok=True)
        (kernel / name).write_text("new\n")
    (kernel / "kernel/seccomp.c").write_text("changed\n")
    Git(kernel).run("add", "--force", "--all")
    result = BaseResult(
        name="linux-7.3",
        git_dir=kernel / ".git",
        commit=base,
        version="7.3.4",
        origin="",
        digest="",
    )
    tree = TreeResult(kernel, base, "series", ())
    source = Source(result, tree, Series.read(patches, "linux-7.3"))
    assert run.touched(source) == ("kernel/bpf/new.o", "kernel/seccomp.o")


def test_the_command_says_how_to_do_it_again(
    monkeypatch: pytest.MonkeyPatch, cache: Cache, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def fake(_: Session, request: run.SizeRequest, again: Again) -> int:
        seen.append(list(again(request.plan(ON))))
        return 0

    monkeypatch.setattr("lab.cli.size.run_size", fake)
    arguments = ["size", "--base", "bpf-next", "--newer", "--patches", str(tmp_path)]
    assert run_cli([*arguments, "--cache", str(cache.root)]) == 0
    assert seen == [["scripts/lab", *arguments]]
    assert run_cli(["size", "--arch", "pdp11", "--cache", str(cache.root)]) == ExitCode.USAGE


# --- two runs --------------------------------------------------------------------------------


def sized(cache: Cache, *pairs: Pair, **fields: Any) -> Path:
    directory = make_run(cache, {}, kind="size", **fields)
    write(directory, Sizes("CONFIG_X", 0, pairs))
    return directory


def test_sizes_are_compared(cache: Cache) -> None:
    bigger = replace(GROWN, after=Totals(2000, 201, 29))
    frames = (FrameChange("kernel/a.o", "f", None, 80),)
    old, new = sized(cache, GROWN, CLEAN), sized(cache, bigger, replace(DIRTY, frames=frames))

    def changes(one: Path, other: Path) -> dict[str, str]:
        found = comparison.compare(Run.load(one), Run.load(other))
        return {c.what: c.worth for g in found.groups if g.title == "Sizes" for c in g.changes}

    assert changes(old, new) == {
        "on: text": WORSE,
        "on: data": OTHER,
        "on: bss": BETTER,
        "off: text": OTHER,
        "off": WORSE,
        "off: f (kernel/a.o)": OTHER,
    }
    assert changes(new, old)["off"] == BETTER
    alone = comparison.compare(Run.load(make_run(cache, {})), Run.load(new))
    assert "Sizes: not compared" in text(alone)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base": {"version": "7.3.5"}}, "base version differs (7.3.4, 7.3.5)"),
        ({"toolchain": {"gcc": "gcc 14"}}, "gcc differs (gcc 12, gcc 14)"),
        ({"config": {"digest": "c2"}}, "config digest differs (c1, c2)"),
    ],
)
def test_sizes_of_what_was_built_otherwise_are_not_judged(
    cache: Cache, fields: dict[str, Any], said: str
) -> None:
    bigger = replace(GROWN, after=Totals(2000, 201, 29))
    runs = (sized(cache, GROWN, CLEAN), sized(cache, bigger, DIRTY, **fields))
    found = comparison.compare(*map(Run.load, runs))
    (group,) = (group for group in found.groups if group.title == "Sizes")
    assert {change.worth for change in group.changes} == {OTHER}
    assert group.notes == (f"Nothing is judged: {said}.",)
