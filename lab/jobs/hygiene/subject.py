# SPDX-License-Identifier: MIT
"""What the checks of a series share: patches as commits, a tree with the kernel's scripts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core.session import Session
from lab.kernel.pipeline import describe_base, describe_patches
from lab.kernel.plan import Plan
from lab.source.apply import patch_id, series_commit
from lab.source.bases import ensure_base, resolve
from lab.source.git import ISOLATION, Git
from lab.source.room import BaseRequest, BaseResult
from lab.source.series import Patch, Series
from lab.source.tree import ensure_tree
from lab.source.worktree import TreeRequest


@dataclass(frozen=True)
class Subject:
    """``scripts`` is the base's worktree. ``commits`` are the base and, by number, the patches."""

    session: Session
    plan: Plan
    series: Series
    base: BaseResult
    scripts: Path
    commits: tuple[str, ...]

    @classmethod
    def open(cls, session: Session, plan: Plan) -> Subject:
        """Raises UsageError if patches/ and ``series`` disagree or a patch does not apply; what
        ensure_base and ensure_tree raise.
        """
        series = Series.read(plan.patches, resolve(plan.base)[0])
        base = ensure_base(BaseRequest(plan.base, session.cache, plan.newer), session.ui)
        tree = ensure_tree(TreeRequest(base, None, session.cache), session.ui)
        head = series_commit(TreeRequest(base, series, session.cache), session.ui)
        made = Git(base.git_dir).out("rev-list", "--reverse", f"{base.commit}..{head}")
        return cls(session, plan, series, base, tree.path, (base.commit, *made.split()))

    @property
    def git(self) -> Git:
        """The base's repository, which has the commits."""
        return Git(self.base.git_dir)

    def describe(self) -> dict[str, Any]:
        """For the manifest: base and patches, all of which apply."""
        ids = {patch.number: patch_id(self.git, patch.content) for patch in self.series.patches}
        return {**describe_base(self.base), "patches": describe_patches(self.series, ids)}

    def patch(self, number: int) -> Patch:
        """A patch by its number, from 1."""
        return self.series.patches[number - 1]

    def shown(self, number: int) -> str:
        """A patch's file as a message names it."""
        return shown(self.patch(number).path)

    def touched(self, number: int) -> tuple[str, ...]:
        """The files that a patch changes or adds, in git's order."""
        args = ("diff-tree", "-r", "--no-commit-id", "--no-renames", "--diff-filter=d")
        return tuple(self.git.out(*args, "--name-only", self.commits[number]).splitlines())

    def everything(self) -> tuple[str, ...]:
        """The files of all patches, each once."""
        numbers = range(1, len(self.commits))
        return tuple(dict.fromkeys(name for number in numbers for name in self.touched(number)))

    def numbers(self, first: int, last: int | None) -> range:
        """Patches from ``first`` on, None being the last. Raises UsageError if they are not all
        there.
        """
        end = len(self.series.patches) if last is None else last
        for number in (first, end):
            self.series.first(number)
        return range(first, end + 1)

    def plan_at(self, number: int, suffix: str) -> Plan:
        """The plan with the first patches (0: the base), in a build directory for ``suffix``."""
        profile = self.plan.profile
        configuration = profile.configuration
        own = replace(configuration, name=f"{configuration.name}-{suffix}")
        return replace(
            self.plan,
            profile=replace(profile, configuration=own),
            control=number == 0,
            applied=number,
        )

    def unpack(self, number: int, files: tuple[str, ...], into: Path) -> Path:
        """Files of the tree after a patch (0: of the base), those that are there; ``into``."""
        commit = self.commits[number]
        for name in self.git.out("ls-tree", "-r", "--name-only", commit, "--", *files).splitlines():
            path = into / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.git.run("show", f"{commit}:{name}").stdout, encoding="utf-8")
        return into


def shown(path: Path) -> str:
    """A file as a message names it: from the project's root, if it lies there."""
    full = path.resolve()
    return str(full.relative_to(PROJECT_ROOT) if full.is_relative_to(PROJECT_ROOT) else full)


SETTINGS = {
    # The tree may belong to somebody else (lab/source/git.py); checkpatch.pl calls git.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    # Nothing is left in the tree, and get_maintainer.pl's order is the same each time.
    "PYTHONDONTWRITEBYTECODE": "1",
    "PERL_HASH_SEED": "0",
    "PERL_PERTURB_KEYS": "0",
}


def environment(home: Path) -> dict[str, str | None]:
    """For the kernel's scripts: no settings of the caller's (.checkpatch.conf, .get_maintainer.conf
    in ``home``), this Python with its packages.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**ISOLATION, "HOME": str(home), "PATH": path, **SETTINGS}
