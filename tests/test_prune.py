# SPDX-License-Identifier: MIT
"""Pruning: what is old goes, what is in use stays, and it says how much."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.runs.prune import prune
from lab.source.bases import ensure_base
from lab.source.room import BaseRequest
from lab.source.tree import ensure_tree
from lab.source.worktree import TreeRequest
from tests.support import Recorder, make_repository
from tests.test_cache import holder


def entry(cache: Cache, name: str, days: float, size: int = 5000) -> Path:
    """An entry that was last used so many days ago."""
    path = cache.root / name
    path.mkdir(parents=True)
    (path / "data").write_bytes(b"x" * size)
    cache.mark_used(path)
    stamp = cache.root / "used" / name.replace("/", "--")
    then = time.time() - days * 86400
    os.utime(stamp, (then, then))
    return path


def names(cache: Cache, kind: str) -> set[str]:
    return {path.name for path in (cache.root / kind).iterdir()}


def test_runs_beyond_the_last_ones_go(cache: Cache) -> None:
    for number in range(5):
        entry(cache, f"runs/{number}", days=number)
    prune(cache, Recorder().ui, keep=2)
    assert names(cache, "runs") == {"0", "1"}


def test_builds_go_only_when_old_as_well(cache: Cache) -> None:
    for number, days in enumerate((1, 10, 20, 30)):
        entry(cache, f"builds/{number}", days)
    prune(cache, Recorder().ui, keep=1)
    assert names(cache, "builds") == {"0", "1"}


def test_downloads_of_last_week_stay(cache: Cache) -> None:
    entry(cache, "downloads/new", days=1)
    entry(cache, "downloads/old", days=8)
    prune(cache, Recorder().ui)
    assert names(cache, "downloads") == {"new"}


def test_what_a_live_run_holds_stays_even_with_all(cache: Cache) -> None:
    held, free = entry(cache, "builds/held", 100), entry(cache, "builds/free", 100)
    recorder = Recorder()
    with holder(cache, "builds/held", 60) as process:
        removed = prune(cache, recorder.ui, everything=True)
        process.kill()
    assert held.exists()
    assert not free.exists()
    assert "in use, left alone: builds/held" in recorder.said
    assert [item.locked for item in removed] == [True, False] or [
        item.locked for item in removed
    ] == [False, True]


def test_downloads_stay_while_somebody_fetches(cache: Cache) -> None:
    part = entry(cache, "downloads/some.part", 100)
    with holder(cache, "downloads", 60) as process:
        prune(cache, Recorder().ui, everything=True)
        process.kill()
    assert part.exists()


def test_dry_run_removes_nothing_and_tells_the_same(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    path = entry(cache, "builds/x", 100, size=1 << 20)
    assert run_cli(["prune", "--all", "--dry-run", "--cache", str(cache.root)]) == 0
    captured = capsys.readouterr()
    assert path.exists()
    assert "would remove builds/x: 1.0 MiB" in captured.err
    assert captured.out == "would free 1.0 MiB\n"
    assert run_cli(["prune", "--all", "--cache", str(cache.root)]) == 0
    assert not path.exists()
    assert capsys.readouterr().out == "freed 1.0 MiB\n"


def test_size_is_what_the_disk_gives_back(cache: Cache) -> None:
    path = entry(cache, "builds/x", 100, size=300_000)
    told = prune(cache, Recorder().ui, everything=True, dry_run=True)[0].size
    du = subprocess.run(
        ["du", "-s", "--block-size=1", path / "data"], capture_output=True, text=True, check=True
    )
    assert told == int(du.stdout.split()[0])


def test_base_stays_as_long_as_it_has_a_tree(cache: Cache, kernel: Path) -> None:
    make_repository(kernel)
    base = ensure_base(BaseRequest(f"path:{kernel}", cache), Recorder().ui)
    tree = ensure_tree(TreeRequest(base, None, cache), Recorder().ui)
    old = time.time() - 40 * 86400
    os.utime(cache.root / "used" / f"bases--{base.name}", (old, old))
    prune(cache, Recorder().ui, keep=0)
    assert base.git_dir.exists()
    prune(cache, Recorder().ui, everything=True)
    assert not tree.path.exists()
    assert not base.git_dir.exists()


def test_tree_that_was_pruned_is_made_again(cache: Cache, kernel: Path) -> None:
    make_repository(kernel)
    base = ensure_base(BaseRequest(f"path:{kernel}", cache), Recorder().ui)
    tree = ensure_tree(TreeRequest(base, None, cache), Recorder().ui)
    os.utime(cache.root / "used" / f"trees--{tree.path.name}", (1000, 1000))
    prune(cache, Recorder().ui, keep=0)
    assert not tree.path.exists()
    assert ensure_tree(TreeRequest(base, None, cache), Recorder().ui) == tree
