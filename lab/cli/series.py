# SPDX-License-Identifier: MIT
"""``lab series``: the author's way from a worktree with commits to ``patches/``, and back."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from lab.cli.hygiene import check, variants
from lab.cli.mail import import_command, send
from lab.cli.options import CONTEXT_SETTINGS, common, series_options
from lab.cli.port import port, walk
from lab.core.session import Session
from lab.core.ui import Ui
from lab.errors import ExitCode, UsageError
from lab.source.apply import series_commit
from lab.source.bases import ensure_base
from lab.source.desk import Desk
from lab.source.export import strays
from lab.source.git import Git
from lab.source.room import BaseRequest
from lab.source.series import Series
from lab.source.tree import ensure_tree, is_made_from
from lab.source.worktree import TreeRequest, TreeResult, some

BRANCH = "series"
"""What an author works on in the worktree; the lab itself leaves HEAD detached."""


@click.group(context_settings=CONTEXT_SETTINGS)
def series() -> None:
    """The series as commits, patches and mails: edit, check, walk, port, hand on."""


for command in (check, variants, walk, port, import_command, send):
    series.add_command(command)


@series.command(context_settings=CONTEXT_SETTINGS)
@series_options
@common
def edit(session: Session, base: str, newer: bool, patches: Path) -> None:
    """Make a worktree with the series as commits on a branch; print its path.

    Amend and rebase there with git. `lab test` builds the worktree; `lab series export` writes the
    commits back to patches/.
    """
    desk = Desk.of(session, base, newer, patches)
    tree = ensure_tree(desk.request, session.ui)
    attach(tree)
    session.ui.out(str(tree.path))


def attach(tree: TreeResult) -> None:
    """Put HEAD on the author's branch, unless the author has checked out something else.

    Raises UsageError if that branch has something that is nowhere else.
    """
    git = Git(tree.path)
    if git.ok("symbolic-ref", "-q", "HEAD"):
        return
    if git.resolve(BRANCH) and not _expendable(git):
        raise UsageError(
            f"The branch {BRANCH} in {tree.path} has commits of yours, and HEAD is not on it.",
            hint=f"`git -C {tree.path} checkout {BRANCH}` goes on with them; `git -C {tree.path} "
            f"branch -m {BRANCH} NAME` puts them aside.",
        )
    git.run("checkout", "-q", "-B", BRANCH)


def _expendable(git: Git) -> bool:
    """Whether the branch is where the lab has put it, or has the same content as HEAD."""
    lab_made = git.out("for-each-ref", f"--points-at={BRANCH}", "refs/lab/series")
    return bool(lab_made) or git.ok("diff", "--quiet", BRANCH, "HEAD")


def _warn_of_strays(ui: Ui, git: Git) -> None:
    names = strays(git)
    if names:
        ui.warn(
            f"{git.directory} has files that are in no commit: {some(names)}; for one that a patch "
            "adds: `git add -f`, and amend."
        )


@series.command(context_settings=CONTEXT_SETTINGS)
@series_options
@common
def status(session: Session, base: str, newer: bool, patches: Path) -> int:
    """Show what differs between the worktree and patches/; exit code 1 if anything does."""
    desk = Desk.of(session, base, newer, patches)
    git, ui = desk.git, session.ui
    where = git.run("symbolic-ref", "-q", "--short", "HEAD", check=False).stdout.strip()
    ui.out(f"worktree: {git.directory} ({where or 'no branch'}, base {desk.request.base.name})")
    fresh = is_made_from(desk.request)
    if not fresh:
        ui.out(f"{patches} has changed since the worktree was made from it")
    changes = desk.render().changes(patches)
    _warn_of_strays(session.ui, git)
    for name, change in sorted(changes.items()):
        ui.out(f"{change:8} {name}" + ("" if fresh else " (or changed there)"))
    if not changes:
        ui.out("worktree and patches agree")
    return ExitCode.FAILED if changes else ExitCode.PASSED


@series.command(context_settings=CONTEXT_SETTINGS)
@series_options
@common
def export(session: Session, base: str, newer: bool, patches: Path) -> None:
    """Write the worktree's commits back into patches/.

    A patch that has not changed keeps its file byte for byte. Nothing is written while the worktree
    has changes in no commit, or if patches/ was edited since the worktree was made from it.
    """
    desk = Desk.of(session, base, newer, patches)
    exported = desk.render()
    _warn_of_strays(session.ui, desk.git)
    changes = exported.changes(patches)
    if changes and not is_made_from(desk.request):
        raise UsageError(
            f"{patches} was edited since the worktree was made from it, and differs from it in "
            f"{', '.join(sorted(changes))}. Nothing was written.",
            hint=f"Keep the one or the other: `git stash` in {patches}, or in {desk.request.path} "
            "`git checkout --detach` to the lab's commit, then `lab tree`.",
        )
    exported.write(patches)
    for name, change in sorted(changes.items()):
        session.ui.out(f"{change:8} {name}")
    if not changes:
        session.ui.out("nothing to write: worktree and patches agree")
        return
    branch = desk.git.run("symbolic-ref", "-q", "HEAD", check=False).stdout.strip()
    tree = ensure_tree(
        replace(desk.request, series=Series.read(patches, desk.request.base.name)), session.ui
    )
    if branch:
        attach(tree)


@series.command(context_settings=CONTEXT_SETTINGS)
@click.argument("old")
@click.argument("new", default="")
@series_options
@common
def compare(session: Session, base: str, newer: bool, patches: Path, old: str, new: str) -> int:
    """Show how series OLD became NEW (else patches/), patch by patch: git range-diff.

    A series is a directory like patches/, or a commit of this repository, for its patches/. The
    exit code is 1 if the series differ in more than dates.
    """
    ready = ensure_base(BaseRequest(base, session.cache, newer), session.ui)
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        heads = [
            series_commit(
                TreeRequest(
                    ready,
                    Series.read(find_series(name, patches, Path(scratch, side)), ready.name),
                    session.cache,
                ),
                session.ui,
            )
            for side, name in (("old", old), ("new", new or str(patches)))
        ]
    ranges = [f"{ready.commit}..{head}" for head in heads]
    git = Git(ready.git_dir)
    session.ui.out(git.out("range-diff", "--no-color", *ranges))
    # "1: OLD = 1: NEW TITLE"
    pairs = git.out("range-diff", "--no-color", "--no-patch", *ranges).splitlines()
    same = all(pair.split()[2] == "=" for pair in pairs)
    return ExitCode.PASSED if same else ExitCode.FAILED


def find_series(name: str, patches: Path, scratch: Path) -> Path:
    """The directory of a series: itself, or that of a commit, unpacked into ``scratch``.

    Raises UsageError if there is neither.
    """
    if Path(name).is_dir():
        return Path(name)
    project = Git(patches.parent, index=scratch.with_suffix(".index"))
    commit = project.resolve(name)
    if not commit or not project.ok("read-tree", f"{commit}:./{patches.name}"):
        raise UsageError(
            f"{name!r} is no directory, and no commit with {patches.name}/ in it.",
            hint="Name a directory like patches/, or a commit such as HEAD~1.",
        )
    # In bytes, whatever a mail is written in.
    project.run("checkout-index", "--all", f"--prefix={scratch}/")
    return scratch
