"""``lab series``: the author's way from a worktree with commits to ``patches/``, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from lab import port as porting
from lab.base import BaseRequest, ensure_base, resolve
from lab.commands_guest import plan_options
from lab.commands_hygiene import check, variants
from lab.errors import ExitCode, UsageError
from lab.export import Exported, render
from lab.gitrepo import Git
from lab.mail_import import import_series, place
from lab.mail_send import write_mails
from lab.options import (
    CONTEXT_SETTINGS,
    Session,
    base_option,
    common,
    newer_option,
    patches_option,
)
from lab.pipeline import Plan, bring_kernel
from lab.series import Series, parse_range
from lab.testrun import TestOptions, run_tests
from lab.tree import (
    TreeRequest,
    TreeResult,
    ensure_tree,
    is_made_from,
    local_changes,
    series_commit,
    some,
)
from lab.walk import WalkOptions, run_walk

F = TypeVar("F", bound=Callable[..., Any])

BRANCH = "series"
"""What an author works on in the worktree; the lab itself leaves HEAD detached."""


@click.group(context_settings=CONTEXT_SETTINGS)
def series() -> None:
    """Edit the series as commits, and write it back as patches."""


series.add_command(check)
series.add_command(variants)


def series_options(function: F) -> F:
    """Which series, on which base."""
    return base_option(newer_option(patches_option(function)))


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
                hint=f"`lab series port --base {self.request.base.name} --save` writes ports.",
            )
        return render(self.git, self.request.base, self.series)


@series.command(context_settings=CONTEXT_SETTINGS)
@series_options
@common
def edit(session: Session, base: str, newer: bool, patches: Path) -> None:
    """Have the series as commits on a branch of a worktree, and print where.

    Amend and rebase there with git; `lab test` builds what is there; `lab series export` writes it
    back.
    """
    desk = Desk.of(session, base, newer, patches)
    tree = ensure_tree(desk.request, session.ui)
    attach(tree)
    session.ui.out(str(tree.path))


def attach(tree: TreeResult) -> None:
    """Put HEAD on the author's branch, unless he has put it somewhere himself.

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


@series.command(context_settings=CONTEXT_SETTINGS)
@series_options
@common
def status(session: Session, base: str, newer: bool, patches: Path) -> int:
    """Say what differs between the worktree and patches/; 1 if anything does."""
    desk = Desk.of(session, base, newer, patches)
    git, ui = desk.git, session.ui
    where = git.run("symbolic-ref", "-q", "--short", "HEAD", check=False).stdout.strip()
    ui.out(f"worktree: {git.directory} ({where or 'no branch'}, base {desk.request.base.name})")
    fresh = is_made_from(desk.request)
    if not fresh:
        ui.out(f"{patches} has changed since the worktree was made from it")
    changes = desk.render().changes(patches)
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
@base_option
@newer_option
@patches_option
@common
def compare(session: Session, base: str, newer: bool, patches: Path, old: str, new: str) -> int:
    """Show how series OLD became NEW (else patches/), patch by patch: git range-diff.

    A series is a directory like patches/, or a commit of this repository, whose patches/ is meant.
    1 if they differ in more than dates.
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


@series.command("import", context_settings=CONTEXT_SETTINGS)
@click.argument("source")
@click.option(
    "--patches",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    show_default="a new directory here, named as by `b4 am -Q`",
    help="Where to write the patches and their `series` file.",
)
@click.option("--replace", is_flag=True, help="Overwrite what is committed there.")
@click.option(
    "-v",
    "--use-version",
    "revision",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="the newest",
    help="Which version of the series.",
)
@common
def import_command(
    session: Session, source: str, patches: Path | None, replace: bool, revision: int | None
) -> None:
    """Make a patches directory of a series that came by mail, with b4, and print where.

    SOURCE is a mailbox, a maildir, a directory of .patch or .eml files, or a message id, which is
    looked up. Trailers from replies are put under the patches.
    """
    imported = import_series(source, revision, session.ui)
    directory = patches or Path(imported.name)
    changes = place(imported, directory, replace)
    for line in imported.said:
        session.ui.say(line)
    if not changes:
        session.ui.say(f"{directory} has this series already")
    session.ui.say(f"next: lab test --patches {directory}")
    session.ui.out(str(directory))


@series.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--to-dir",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="New directory for the mails.",
)
@series_options
@common
def send(session: Session, base: str, newer: bool, patches: Path, to_dir: Path) -> None:
    """Write the mails that sending the series would send: b4 send -o. Nothing is ever sent.

    To and Cc are what the tree's scripts/get_maintainer.pl names; From is the cover letter's.
    """
    desk = Desk.of(session, base, newer, patches)
    check_exported(desk, session)
    head = series_commit(desk.request, session.ui)
    mails = write_mails(desk.request.base, head, desk.series, to_dir, session.ui)
    for mail in mails:
        session.ui.say(mail)
    session.ui.say(f"{len(mails)} mails written, none sent")
    session.ui.out(str(to_dir))


def check_exported(desk: Desk, session: Session) -> None:
    """Raises UsageError if the worktree of these patches has work that they do not have."""
    local = local_changes(desk.request)
    where, patches = desk.request.path, desk.series.directory
    if local and is_made_from(desk.request):
        raise UsageError(
            f"{where} has work of yours that is not in {patches}: {some(local)}. "
            "Nothing was written.",
            hint="`lab series export` writes commits into patches/; what is in no commit, commit "
            "or `git stash` first.",
        )
    if local:
        session.ui.warn(f"{where} has work of yours on other patches; {patches} is what counts")


@series.command(context_settings=CONTEXT_SETTINGS)
@click.option("--edit", is_flag=True, help="Have a worktree in which to resolve what does not fit.")
@click.option("--save", is_flag=True, help="Write what was resolved there into patches/ports/.")
@click.option("--build", is_flag=True, help="Then build the kernel.")
@click.option("--test", is_flag=True, help="Then build, boot and run the selftests.")
@plan_options
def port(session: Session, plan: Plan, edit: bool, save: bool, build: bool, test: bool) -> int:
    """Try the series on another base and say of each patch how it fits; 1 if one does not.

    After a conflict it goes on without the files in conflict. What a base needs otherwise is kept
    as ports/BASE/NAME beside the patches, which every command with that --base uses instead of the
    patch NAME: --edit has git am stop at what does not fit, --save writes the ports.
    """
    if plan.control or plan.applied is not None:
        raise UsageError("All patches are tried: leave out --control and --applied.")
    if edit and (save or build or test):
        raise UsageError("--edit is the first step: leave out --save, --build and --test.")
    desk = Desk.of(session, plan.base, plan.newer, plan.patches)
    if save:
        desk = replace(desk, request=save_ports(session, desk.request))
    trial = porting.try_series(desk.request, session.ui)
    for outcome in trial.outcomes:
        for line in outcome.lines():
            session.ui.out(line)
    if edit:
        begin_port(session, desk.request, trial)
        return ExitCode.PASSED
    if not trial.fits:
        session.ui.say(f"`lab series port --base {plan.base} --edit` is the way to resolve it")
        return ExitCode.FAILED
    if test:
        return run_tests(session, plan, TestOptions(None, (), {}))
    if build:
        session.ui.out(str(bring_kernel(session, plan).build.image))
    return ExitCode.PASSED


def begin_port(session: Session, request: TreeRequest, trial: porting.Trial) -> None:
    """Have the worktree for a port, and say how to go on. Raises UsageError."""
    path = porting.worktree(request)
    with session.cache.lock_entry(path, f"preparing tree {path.name}", session.ui.say):
        stopped = porting.begin(request, trial)
    session.ui.say(
        "resolve the conflict, say in the commit's message what differs, `git am --continue`; at "
        "the end the same command with --save"
        if stopped
        else "all patches could be applied: the same command with --save keeps that"
    )
    session.ui.out(str(path))


def save_ports(session: Session, request: TreeRequest) -> TreeRequest:
    """Write the ports of what is in the worktree for them, else in the one of the series.

    Returns the request with what was written. Raises UsageError.
    """
    assert request.series is not None
    made = porting.worktree(request)
    path = made if made.exists() else request.path
    if not (path / ".git").exists():
        raise UsageError(
            f"There is no worktree {made} to save.",
            hint=f"`lab series port --base {request.base.name} --edit` makes it.",
        )
    with session.cache.lock_entry(path, f"saving {path.name}", session.ui.say):
        saved = porting.render(request, Git(path), session.ui)
        changes = saved.write()
        for name, change in changes.items():
            session.ui.say(f"{change:8} {saved.directory / name}")
        if path == made and not porting.end(request):
            session.ui.warn(f"{path} has files that git does not know: it was left")
    directory = request.series.directory
    return replace(request, series=Series.read(directory, request.base.name))


@series.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--range",
    "numbers",
    default="0..",
    metavar="FIRST..LAST",
    help="Only these patches; 0 is the base.",
)
@click.option("--build-only", is_flag=True, help="Boot no guests.")
@click.option("--again", is_flag=True, help="Also what has passed in an earlier walk.")
@plan_options
def walk(session: Session, plan: Plan, numbers: str, build_only: bool, again: bool) -> int:
    """Build, boot and test base and series patch by patch, and name the first bad patch.

    Each patch is built as the last of the series, in a worktree of the walk's own, and has to pass
    the selftests that prove it and the patches before it. A walk that was interrupted goes on where
    it was; after an edit it begins at the patch that was edited.
    """
    if plan.control or plan.applied is not None:
        raise UsageError("A walk has all patches: leave out --control and --applied, see --range.")
    first, last = parse_range(numbers, "--range")
    command = ["scripts/lab", "series", "walk", *plan.options()]
    command += [f"--range={numbers}"] if numbers != "0.." else []
    command += ["--build-only"] if build_only else []
    return run_walk(session, plan, WalkOptions(first, last, build_only, again), command)
