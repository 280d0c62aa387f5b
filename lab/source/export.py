# SPDX-License-Identifier: MIT
"""The way back: commits in a worktree become the mails of ``patches/``.

Mails are made by git format-patch with everything pinned that a configuration could change, so that
a patch that has not changed is the same file byte for byte.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.core.cache import atomic_write
from lab.errors import UsageError
from lab.source.git import Git
from lab.source.room import BaseResult
from lab.source.series import COVER_LETTER, ORDER_FILE, Series
from lab.source.worktree import some

FORMAT = (
    "--zero-commit",
    "--no-signature",
    # As the kernel wants commits named; shorter ones depend on what else a repository holds.
    "--abbrev=12",
    "--diff-algorithm=myers",
    "--no-ext-diff",
    "--no-color",
)

SHORTLOG = re.compile(r"^(?:---\n)?(?:\S.* \(\d+\):\n(?: {2,}\S.*\n)+\n?)+", re.M)
"""Where the part of a cover letter begins that git, or b4, writes itself: for each author who, how
many, then titles."""

BLURB = "*** BLURB HERE ***\n\n"

UNDER_WAY = {"rebase-merge": "rebase", "rebase-apply": "rebase or am", "CHERRY_PICK_HEAD": "pick"}
"""Files of a worktree's git directory, and which unfinished command leaves them."""


@dataclass(frozen=True)
class Exported:
    """What ``patches/`` has to hold, by file name; the order is that of the series."""

    files: Mapping[str, bytes] = field(repr=False)

    def changes(self, directory: Path) -> dict[str, str]:
        """File name to "new", "changed" or "gone", of what differs from a directory."""
        there = {path.name for path in directory.glob("*.patch")}
        found = dict.fromkeys(sorted(there - self.files.keys()), "gone")
        for name, content in self.files.items():
            path = directory / name
            if not path.is_file():
                found[name] = "new"
            elif path.read_bytes() != content:
                found[name] = "changed"
        return found

    def write(self, directory: Path) -> dict[str, str]:
        """Bring a directory up to date, writing only what differs; what was done."""
        changes = self.changes(directory)
        for name, change in changes.items():
            if change == "gone":
                (directory / name).unlink()
            else:
                atomic_write(directory / name, self.files[name])
        return changes


def check_exportable(git: Git, base: BaseResult) -> None:
    """Whether the worktree's commits are a series on the base.

    Raises UsageError if something is not committed, a rebase is not finished, or the commits are
    no line on top of the base.
    """
    path = git.directory
    for name, command in UNDER_WAY.items():
        if Path(git.out("rev-parse", "--path-format=absolute", "--git-path", name)).exists():
            raise UsageError(
                f"A git {command} is not finished in {path}.",
                hint=f"`git -C {path} status` says how to go on.",
            )
    changed = git.out("status", "--porcelain", "--untracked-files=no", "--no-renames").splitlines()
    if changed:
        raise UsageError(
            f"{path} has changes that are in no commit: {some([line[3:] for line in changed])}. "
            "Nothing was written.",
            hint="Commit them (`git commit --amend`, or --fixup and `git rebase --autosquash`), "
            "or `git stash`.",
        )
    if not git.ok("merge-base", "--is-ancestor", base.commit, "HEAD"):
        raise UsageError(
            f"HEAD of {path} is not on top of the base {base.name} ({base.commit[:12]}).",
            hint="Rebase it onto that commit, or name the base it is on with --base.",
        )
    merges = git.out("rev-list", "--merges", f"{base.commit}..HEAD").split()
    if merges:
        raise UsageError(
            f"{path} has merges on top of the base, such as {merges[0][:12]}.",
            hint="Rebase, so that the commits are one line.",
        )
    if not git.out("rev-list", "-1", f"{base.commit}..HEAD"):
        raise UsageError(f"{path} has no commit on top of the base {base.name}.")


def strays(git: Git) -> list[str]:
    """Files of the worktree that git does not know: a patch's new file that was not added, or what
    an author has lying about. Also ignored ones, as a distribution's .gitignore can ignore
    everything.
    """
    lines = git.out("status", "--porcelain", "--untracked-files=all", "--ignored").splitlines()
    return [line[3:] for line in lines if line[:2] in ("??", "!!")]


def render(git: Git, base: BaseResult, series: Series) -> Exported:
    """The mails of the worktree's commits, the cover letter, and the order file.

    Raises what :func:`check_exportable` raises.
    """
    check_exportable(git, base)
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        git.run(
            *("format-patch", "--quiet", *FORMAT, f"--subject-prefix={_prefix(series)}"),
            *("--cover-letter", f"--base={base.commit}", "--output-directory", scratch),
            f"{base.commit}..HEAD",
        )
        made = {path.name: path.read_bytes() for path in sorted(Path(scratch).glob("*.patch"))}
    cover = next(name for name in made if Path(name).match(COVER_LETTER))
    mails = {name: content for name, content in made.items() if name != cover}
    mails[ORDER_FILE] = _order(series.directory / ORDER_FILE, mails).encode()
    for path in series.directory.glob(COVER_LETTER):
        mails[path.name] = _cover(path.read_text(encoding="utf-8"), made[cover].decode()).encode()
    return Exported(mails)


SUBJECT = re.compile(r"^(Subject: \[)([^\]]*?)( ?)(\d+/\d+)\]", re.M)


def _prefix(series: Series) -> str:
    """What the series calls its patches, such as "PATCH bpf-next v2"."""
    match = SUBJECT.search(series.patches[0].content.decode("utf-8", "replace"))
    return match[2] if match else "PATCH"


def _cover(kept: str, made: str) -> str:
    """The author's words, and below them git's: who wrote what, which files."""
    generated = made.partition(BLURB)[2]
    words = written_words(kept)
    numbered = SUBJECT.search(made)
    if numbered:
        words = SUBJECT.sub(rf"\g<1>\g<2>\g<3>{numbered[4]}]", words, count=1)
    return words + generated


def written_words(cover: str) -> str:
    """A cover letter down to the part that is made anew each time."""
    places = [match.start() for match in SHORTLOG.finditer(cover)]
    return cover[: places[-1]] if places else cover.rstrip("\n") + "\n\n"


def _order(path: Path, mails: Mapping[str, bytes]) -> str:
    """The order file: its comments, then the patches."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in [*(s for s in lines if s.startswith("#")), *mails])
