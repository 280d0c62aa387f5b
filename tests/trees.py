# SPDX-License-Identifier: MIT
"""What the tests of trees share: a toy base and its series, and what was touched."""

from __future__ import annotations

import os
from pathlib import Path

from lab.core.cache import Cache
from lab.source.git import Git
from lab.source.room import BaseResult
from lab.source.series import Series
from lab.source.tree import ensure_tree
from lab.source.worktree import TreeRequest, TreeResult
from tests.support import (
    CHANGES,
    Change,
    Recorder,
    make_patches,
)

NEW_FILE = Change("kernel/new.c", "", "new\n", "kernel: Add a file")
THIRD = Change("init/empty.c", "", "not empty\n", "init: Fill")


class World:
    """A base, patch directories made from it, and what was said."""

    def __init__(self, base: BaseResult, cache: Cache, kernel: Path, tmp_path: Path) -> None:
        self.base = base
        self.cache = cache
        self.kernel = kernel
        self.tmp_path = tmp_path
        self.recorder = Recorder()
        self.made = 0

    def series(self, *changes: Change) -> Series:
        self.made += 1
        return Series.read(
            make_patches(self.kernel, self.tmp_path / f"patches{self.made}", changes or CHANGES)
        )

    def tree(self, series: Series | None) -> TreeResult:
        return ensure_tree(TreeRequest(self.base, series, self.cache), self.recorder.ui)


def inodes(path: Path) -> dict[str, tuple[int, int]]:
    """Times of all files: what make looks at."""
    return {
        str(file.relative_to(path)): (file.lstat().st_mtime_ns, file.lstat().st_ino)
        for file in path.rglob("*")
        if file.is_file() and file.name != ".git"
    }


def age(path: Path) -> dict[str, tuple[int, int]]:
    """Give all files an old time, then make git look at them anew."""
    for file in path.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.name != ".git":
            os.utime(file, (1_000_000, 1_000_000))
    Git(path).run("update-index", "-q", "--refresh")
    return inodes(path)


def touched(path: Path, before: dict[str, tuple[int, int]]) -> set[str]:
    after = inodes(path)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
