# SPDX-License-Identifier: MIT
"""Which worktree of a base holds what: the request, the result, and the lab's record of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core import records
from lab.core.cache import Cache, atomic_write
from lab.core.stamp import digest_of
from lab.source.room import BaseResult
from lab.source.series import Series

NAMED_FILES = 5
"""Files that a message names before it says "and N more"."""


@dataclass(frozen=True)
class PatchRef:
    """A patch that is in a tree. ``patch_id``: git-patch-id(1), ``--stable``."""

    number: int
    title: str
    file: str
    patch_id: str


BASE, SERIES, PART, PORT = "base", "series", "part", "port"
KINDS = (BASE, SERIES, PART, PORT)
"""The worktrees of a base: without the series, with all of it, with the first few patches, and the
one in which an author resolves what does not fit.
"""


def worktree(cache: Cache, base: str, kind: str) -> Path:
    """Where a base's worktree is, or is going to be. ``kind`` is one of KINDS."""
    return cache.trees / f"{base}-{kind}"


@dataclass(frozen=True)
class TreeRequest:
    """Which tree. ``series`` None: the base alone. ``part``: ``series`` is the beginning of one,
    for which there is a worktree beside the one that an author works in.
    """

    base: BaseResult
    series: Series | None
    cache: Cache
    part: bool = False

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.series is None:
            return BASE
        return PART if self.part else SERIES

    @property
    def path(self) -> Path:
        """Where the worktree is, or is going to be."""
        return worktree(self.cache, self.base.name, self.kind)


@dataclass(frozen=True)
class TreeResult:
    """A tree, ready to be built.

    ``kind`` is one of KINDS. ``local`` names what the author changed on top of it himself
    (files, or commits as ``commit ID TITLE``); empty if the tree is exactly base plus ``patches``.
    """

    path: Path
    head: str
    kind: str
    patches: tuple[PatchRef, ...]
    local: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """What the lab put into a worktree.

    ``moving``: a move to ``head`` was begun and not ended; ``previous`` is where from, "" if the
    worktree was being made.
    """

    key: str
    head: str
    patches: tuple[PatchRef, ...]
    moving: bool = False
    previous: str = ""

    def store(self, path: Path) -> None:
        """Write atomically."""
        atomic_write(path, json.dumps(records.plain(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> State | None:
        """None if there is none or it cannot be read."""
        try:
            return records.read(cls, json.loads(path.read_text()))
        except (OSError, ValueError):
            return None


def made_from(request: TreeRequest) -> str:
    """Names what the tree is made from."""
    series = request.series.digest if request.series else ""
    return digest_of(request.base.commit, series)


def some(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    rest = len(names) - NAMED_FILES
    return ", ".join(names[:NAMED_FILES]) + (f" and {rest} more" if rest > 0 else "")
