# SPDX-License-Identifier: MIT
"""Every kind of run is asked the same: what a run directory has to have, however the job ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import click
import pytest

from lab.cli import again as again_module
from lab.cli.app import cli, run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, LabError
from lab.runs import matrix_table, walk_table
from lab.runs.journal import read
from lab.runs.kinds import COMMANDS, KINDS
from lab.runs.prune import prune
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT, KTAP
from lab.runs.writing import OpenRun
from tests.jobs import CASES, PRUNE, Case, World, elsewhere, of_each_kind
from tests.support import Recorder


@pytest.fixture
def world(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, cache, monkeypatch)


def test_every_kind_is_asked() -> None:
    assert {case.kind for case in CASES} == set(KINDS) - set(COMMANDS)


@of_each_kind
def test_a_run_is_whole(world: World, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run(case) == ExitCode.PASSED, capsys.readouterr().err
    run = world.of(case)
    assert set(world.held) == {True}, "its lock is held while it works"
    events = [json.loads(line) for line in (run.path / "journal.ndjson").read_text().splitlines()]
    names = [row["event"] for row in events]
    assert (names[0], names[-1]) == ("run", "verdict")
    assert "stage" in names, "stages are told"
    kind = KINDS[case.kind]
    assert ("seed" in names) is bool(kind.suite), "seeded where it has tests"
    assert {events[0]["kind"], run.manifest.kind, run.kind.name} == {case.kind}
    assert run.path.name.endswith(f"-{case.kind}")
    for name in (kind.table, kind.figures, HTML, KTAP if kind.suite else ""):
        assert not name or (run.path / name).is_file(), name
    assert (run.path / JUNIT).is_file() is bool(kind.suite or kind.parts)
    assert kind.what in unescape((run.path / HTML).read_text())
    made = run.manifest
    assert (made.base.name, made.config.digest) == ("linux-7.3", "c1")
    assert made.patches
    assert made.toolchain
    _comes_back_from_journal_and_manifest(world, run)
    line = made.reproduce.split()
    assert line[0] == again_module.PROGRAM
    assert _parsed(tuple(line[1:])) == _parsed(case.command), "the same parameters"


def _comes_back_from_journal_and_manifest(world: World, run: Run) -> None:
    """Everything else is deleted, and `lab report` called."""
    before = _derived(run)
    for path in run.path.iterdir():
        if path.name not in ("journal.ndjson", "manifest.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run_cli(["report", run.id, "--cache", str(world.cache.root)]) == ExitCode.PASSED
    assert _derived(run) == before
    assert before.keys() >= {HTML} | ({run.kind.table} - {""})


def _derived(run: Run) -> dict[str, bytes]:
    kind = run.kind
    names = {kind.table, kind.figures, HTML, KTAP, JUNIT} - {""}
    return {name: (run.path / name).read_bytes() for name in names if (run.path / name).is_file()}


@of_each_kind
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LabError("No kernel.", hint="Build one."), ExitCode.INFRA, "No kernel."),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (ZeroDivisionError("a bug"), ExitCode.INFRA, "a bug"),
    ],
    ids=["LabError", "Ctrl-C", "bug"],
)
def test_a_run_that_is_broken_off_has_a_verdict(
    world: World, case: Case, error: BaseException, code: ExitCode, said: str
) -> None:
    world.error = error
    if isinstance(error, ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            world.run(case)
    else:
        assert world.run(case) == code
    run = world.of(case)
    assert run.code == code
    assert any(said in text for text in (run.headline, *run.reasons))
    assert said in (run.path / HTML).read_text()
    if run.kind.suite or run.kind.parts:
        assert (run.path / JUNIT).is_file()


def _parsed(words: tuple[str, ...]) -> tuple[str, Mapping[str, Any]]:
    """The command that click finds, and the parameters that it would call it with."""
    command: click.Command = cli
    context = click.Context(cli)
    names = []
    rest = list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None
        command = found
        names.append(name)
        context = click.Context(command, parent=context, info_name=name)
    command.parse_args(context, rest)
    return " ".join(names), context.params


@pytest.mark.parametrize(
    "words",
    [
        ("test", "-k", "a and b", "--limit", "boot=5", "--control", "--", "-x", "--tb=no"),
        ("test", "--base", "bpf-next", "--newer", "--patches", "/elsewhere", "--applied", "3"),
        ("test", "--profile", "yama,bpf-lsm"),
        ("bench", "--ab", "--rounds", "3", "--calls", "500"),
        ("fuzz", "--seed", "9", "--minutes", "2.5", "--only", "4", "--no-minimise"),
        ("fuzz", "--seed", "9", "--programs", "3", "--first", "7", "--sabotage"),
        ("kselftest", "seccomp", "bpf", "--newer"),
        ("series", "walk", "--range", "1..2", "--build-only"),
        ("run", "--filter", "inject_fault", "--set", "call=openat", "--", "cat", "--", "-n"),
        ("trace", "--format", "json", "--output", "/tmp/x", "--", "ls"),
        ("boot", "--limit", "silence=9", "--", "true"),
    ],
)
def test_any_option_comes_back(words: tuple[str, ...]) -> None:
    name, parsed = _parsed(words)
    command: click.Command = cli
    for part in name.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), part)
        assert found is not None
        command = found
    line = again_module.command_line(command, name.split(), parsed)
    assert _parsed(tuple(line[1:])) == (name, parsed)


def test_a_new_column_of_a_table_leaves_old_rows_readable() -> None:
    """Rows of another lab, with a field and a column that this one does not know."""
    cells = {"build": {"state": "ok", "mood": "good"}, "size": {"state": "ok", "text": "+1"}}
    view = read(
        [
            {"event": "profile", "profile": "default", "code": 0, "weather": "fine"},
            {"event": "patch", "key": "k", "number": 1, "title": "A", "code": 0, "cells": cells},
            {"event": "patch", "key": "k", "number": 2, "title": "B", "code": 0, "cells": {}},
        ]
    )
    assert matrix_table.lines(view)[1].split()[0] == "default"
    first, second = walk_table.lines(view)[1:3]
    assert "ok +1" in first
    assert second.split()[:2] == ["2", "B"]


@pytest.mark.parametrize("case", [CASES[3], CASES[4]], ids=lambda case: case.kind)
def test_a_run_that_is_going_on_is_not_pruned(
    world: World, case: Case, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    """Neither a walk nor a matrix, nor the runs that they are made of."""
    kept: list[tuple[int, int]] = []
    publish = OpenRun.publish

    def pruned(run: OpenRun) -> None:
        publish(run)
        if run.kind.name == case.kind and run.view.of("part"):
            before = len(list(world.cache.runs.iterdir()))
            elsewhere(PRUNE, world.cache.root)
            kept.append((before, len(list(world.cache.runs.iterdir()))))

    monkeypatch.setattr(OpenRun, "publish", pruned)
    assert world.run(case) == ExitCode.PASSED
    assert kept
    assert all(before == after for before, after in kept), kept
    prune(world.cache, recorder.ui, everything=True)
    assert list(world.cache.runs.iterdir()) == [], "when it has ended it goes"
