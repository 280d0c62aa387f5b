# SPDX-License-Identifier: MIT
"""Remove from the cache what has not been used lately.

Entries are whole directories: a run, a build, a tree, a base, downloads. One that a live run holds
the lock of is left alone. A base's trees go before it does, since they are its worktrees.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.core.cache import DOWNLOADS_LOCK, Cache
from lab.core.ui import Ui, amount
from lab.errors import LabError
from lab.runs import journal, rundir
from lab.source.git import Git
from lab.source.worktree import KINDS as TREE_KINDS

DAY = 86400.0


@dataclass(frozen=True)
class Kind:
    """What of one directory of the cache is kept: the ``keep`` entries used last (None: the
    caller's ``--keep``), and any that was used in the last ``days``.
    """

    name: str
    keep: int | None
    days: float
    lock: str = ""
    """The lock that covers all entries; "" where each has its own."""


KINDS = (
    Kind("runs", None, 0),
    Kind("builds", None, 14),
    Kind("trees", None, 14),
    Kind("bases", None, 30),
    Kind("downloads", 0, 7, lock=DOWNLOADS_LOCK),
    Kind("tools", 0, 30),
)
"""The kinds in the order of removal: trees are worktrees of bases and go first."""


@dataclass(frozen=True)
class Removed:
    """An entry that went, or would. ``size`` in bytes on disk; ``locked``: in use, left alone."""

    path: Path
    size: int
    locked: bool = False


def candidates(cache: Cache, keep: int, everything: bool, now: float) -> Iterator[tuple[Path, str]]:
    """Entries that may go, each with the name of its lock."""
    for kind in KINDS:
        directory = cache.root / kind.name
        if not directory.is_dir():
            continue
        entries = sorted(directory.iterdir(), key=cache.last_used, reverse=True)
        kept = keep if kind.keep is None else kind.keep
        for number, entry in enumerate(entries):
            old = now - cache.last_used(entry) > kind.days * DAY
            if everything or (number >= kept and old):
                yield entry, kind.lock or cache.entry_name(entry)


def prune(
    cache: Cache, ui: Ui, *, keep: int = 5, everything: bool = False, dry_run: bool = False
) -> tuple[Removed, ...]:
    """Remove what may go; says what and how many bytes."""
    done: list[Removed] = []
    parts = _parts_in_use(cache)
    for entry, lock in list(candidates(cache, keep, everything, time.time())):
        with cache.try_lock(lock) as free:
            free = free and entry not in parts
            if free and _has_trees(cache, entry, dry_run, done):
                continue
            size = disk_usage(entry)
            name = entry.relative_to(cache.root)
            if not free:
                ui.say(f"in use, left alone: {name}")
            elif dry_run:
                ui.say(f"would remove {name}: {amount(size, 'bytes')}")
            else:
                _remove(cache, entry)
                ui.say(f"removed {name}: {amount(size, 'bytes')}")
            done.append(Removed(entry, size, locked=not free))
    return tuple(done)


def _parts_in_use(cache: Cache) -> set[Path]:
    """The runs that a run is made of which goes on: their own locks are free by now."""
    found: set[Path] = set()
    for directory in rundir.known(cache):
        with cache.try_lock(cache.entry_name(directory)) as free:
            if free:
                continue
        with suppress(LabError):
            found |= {Path(str(event["run"])) for event in journal.load(directory).of("part")}
    return found


def _has_trees(cache: Cache, entry: Path, dry_run: bool, done: list[Removed]) -> bool:
    """Whether a base still has a worktree, which would lose its repository."""
    if entry.parent != cache.bases:
        return False
    gone = {item.path for item in done if dry_run and not item.locked}
    return any(
        tree.exists() and tree not in gone
        for tree in (cache.trees / f"{entry.name}-{kind}" for kind in TREE_KINDS)
    )


def _remove(cache: Cache, entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
    cache.forget(entry)
    if entry.parent == cache.trees:
        for repository in cache.bases.glob("*/repo.git"):
            Git(repository).run("worktree", "prune", check=False)


def disk_usage(path: Path) -> int:
    """Bytes that a file or a directory takes on disk."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_blocks * 512
    return sum(item.lstat().st_blocks * 512 for item in path.rglob("*"))
