# SPDX-License-Identifier: MIT
"""Bases that are branches or commits of a git repository."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lab.core.ui import Ui
from lab.errors import LabError, UsageError
from lab.source.git import Git, fetch_with_progress, init_bare
from lab.source.room import BaseRequest, BaseResult, Room, source_version


@dataclass(frozen=True)
class GitBase:
    """A base that is a branch of a git repository; ``commit`` None means its tip."""

    url: Callable[[], str]
    branch: str
    commit: str | None = None

    def ensure(self, name: str, request: BaseRequest, ui: Ui) -> BaseResult:
        """See :func:`ensure_base`. The tip is looked up the first time and with ``allow_newer``."""
        room = Room.of(request.cache, name)
        git = init_bare(room.git_dir)
        key = self.commit or "tip"
        known = room.result(key) if self.commit or not request.allow_newer else None
        if known is not None:
            return known
        commit = self._fetch(git, ui)
        git.run("update-ref", f"refs/lab/base/{commit}", commit)
        result = BaseResult(
            name=name,
            version=source_version(git, commit),
            git_dir=room.git_dir,
            commit=commit,
            digest=f"git:{commit}",
            origin=f"git {self.url()} {self.commit or self.branch}",
        )
        room.record(key, result)
        return result

    def _fetch(self, git: Git, ui: Ui) -> str:
        what = self.commit or f"refs/heads/{self.branch}"
        if self.commit and not re.fullmatch(r"[0-9a-f]{40}", self.commit):
            raise UsageError(
                f"{self.commit!r} is not a full commit id.",
                hint="Give all 40 hex digits: a server hands out whole names only.",
            )
        ui.say(f"fetching {what} of {self.url()}")
        failure = fetch_with_progress(git, self.url(), what, depth=1, ui=ui)
        if failure and self.commit:
            # A server may refuse to hand out a commit that is no branch's tip: take the branch.
            ui.say("the server does not give single commits: fetching the whole branch")
            whole = fetch_with_progress(git, self.url(), f"refs/heads/{self.branch}", None, ui)
            failure = whole or ("" if git.has_commit(self.commit) else failure)
        if failure:
            raise LabError(f"Cannot fetch {what} of {self.url()}: {failure}")
        commit = git.resolve(self.commit or "FETCH_HEAD")
        if commit is None:
            raise LabError(f"{self.url()} sent no commit for {what}.")
        return commit
