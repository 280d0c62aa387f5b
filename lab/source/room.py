# SPDX-License-Identifier: MIT
"""A base in the cache: the request, what is ready, and the record of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.core import records
from lab.core.cache import Cache, atomic_write
from lab.errors import UsageError
from lab.source.git import Git


@dataclass(frozen=True)
class BaseResult:
    """A base, ready.

    ``digest`` says what it is made of: ``sha256:`` of the archive, ``git:`` commit, or ``tree:``
    git tree id of a plain directory. ``notes`` are what was said aloud about it.
    """

    name: str
    version: str
    git_dir: Path
    commit: str
    digest: str
    origin: str
    notes: tuple[str, ...] = ()

    @property
    def spare(self) -> Path:
        """A worktree of the base that nobody has taken yet; may not exist."""
        return self.git_dir.parent / "spare"


@dataclass(frozen=True)
class BaseRequest:
    """Which base. ``spec_name``: a key of BASES, ``NAME@COMMIT`` of a git one, or ``path:DIR``."""

    spec_name: str
    cache: Cache
    allow_newer: bool = False


@dataclass(frozen=True)
class Room:
    """The directory of one base in the cache: repository, spare worktree and what is recorded."""

    name: str
    directory: Path

    @classmethod
    def of(cls, cache: Cache, name: str) -> Room:
        return cls(name, cache.bases / name)

    @property
    def git_dir(self) -> Path:
        return self.directory / "repo.git"

    @property
    def records(self) -> Path:
        """What is ready; written after everything else, so what is named there is whole."""
        return self.directory / "base.json"

    def result(self, key: str) -> BaseResult | None:
        """What was recorded under ``key`` (a pin or a digest), if its commit is still there."""
        row = self._rows().get(key)
        if row is None or not Git(self.git_dir).has_commit(str(row.get("commit", ""))):
            return None
        try:
            return records.read(BaseResult, {**row, "git_dir": self.git_dir, "name": self.name})
        except ValueError:
            # Another version of the lab recorded something else.
            return None

    def last(self) -> BaseResult | None:
        """What was recorded last."""
        keys = list(self._rows())
        return self.result(keys[-1]) if keys else None

    def record(self, key: str, result: BaseResult) -> None:
        """Remember a finished base."""
        row = {**records.plain(result), "git_dir": ""}
        atomic_write(self.records, json.dumps({**self._rows(), key: row}, indent=2) + "\n")

    def _rows(self) -> dict[str, dict]:  # type: ignore[type-arg]
        try:
            rows = json.loads(self.records.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return rows if isinstance(rows, dict) else {}


def remove_worktree(git: Git, path: Path) -> None:
    """Remove a worktree, also one that was left half made."""
    if path.exists():
        shutil.rmtree(path)
    git.run("worktree", "prune")


def makefile_version(text: str) -> str:
    """Release from a kernel's top Makefile: VERSION, PATCHLEVEL, SUBLEVEL, EXTRAVERSION."""

    def value(name: str) -> str:
        match = re.search(rf"^{name} *= *(\S*)", text, re.MULTILINE)
        return match[1] if match else ""

    sublevel = value("SUBLEVEL")
    numbers = [value("VERSION"), value("PATCHLEVEL"), "" if sublevel == "0" else sublevel]
    return ".".join(number for number in numbers if number) + value("EXTRAVERSION")


def source_version(git: Git, commit: str) -> str:
    """Release of a commit's source. Raises UsageError if the commit is no kernel tree."""
    shown = git.run("show", f"{commit}:Makefile", check=False)
    version = makefile_version(shown.stdout) if shown.returncode == 0 else ""
    if not version:
        raise UsageError(f"Commit {commit} is no kernel source tree: no version in its Makefile.")
    return version


IMPORT_DATE = "1767225600 +0000"
"""Date of every import commit: the same archive gives the same commit id, always."""


def import_commit(git: Git, tree: str, version: str, digest: str) -> str:
    commit = git.commit_tree(tree, f"Linux {version}\n\nImported from {digest}\n", date=IMPORT_DATE)
    git.run("update-ref", f"refs/lab/base/{commit}", commit)
    return commit
