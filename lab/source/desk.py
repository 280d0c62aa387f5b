# SPDX-License-Identifier: MIT
"""What the ``lab series`` commands work on: a series, its base, and the worktree of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.core.session import Session
from lab.errors import UsageError
from lab.source.bases import ensure_base, resolve
from lab.source.export import Exported, render
from lab.source.git import Git
from lab.source.room import BaseRequest
from lab.source.series import Series
from lab.source.worktree import TreeRequest


@dataclass(frozen=True)
class Desk:
    """An author's things: the patches, and the base and worktree they belong to."""

    series: Series
    request: TreeRequest

    @classmethod
    def of(cls, session: Session, base: str, newer: bool, patches: Path) -> Desk:
        """Raises what Series.read and ensure_base raise."""
        series = Series.read(patches, resolve(base)[0])
        ready = ensure_base(BaseRequest(base, session.cache, newer), session.ui)
        return cls(series, TreeRequest(ready, series, session.cache))

    @property
    def git(self) -> Git:
        """The worktree. Raises UsageError if it was never made."""
        path = self.request.path
        if not (path / ".git").exists():
            raise UsageError(
                f"There is no worktree {path} yet.", hint="`lab series edit` makes it."
            )
        return Git(path)

    def render(self) -> Exported:
        """What the worktree's commits are as patches. Raises UsageError."""
        if self.series.ported:
            raise UsageError(
                f"The worktree {self.request.path} has ports of {len(self.series.ported)} patches "
                f"to {self.request.base.name}: its commits are not what {self.series.directory} "
                "is to hold.",
                hint="`lab series port --save` with this --base writes ports.",
            )
        return render(self.git, self.request.base, self.series)
