# SPDX-License-Identifier: MIT
"""``lab series port`` and ``walk``: the series on other kernels, and patch by patch."""

from __future__ import annotations

from dataclasses import replace

import click

from lab.cli.again import other_command, this_command
from lab.cli.guest import test as test_command
from lab.cli.options import CONTEXT_SETTINGS
from lab.cli.plans import plan_options
from lab.core.session import Session
from lab.errors import ExitCode, UsageError
from lab.jobs.tests import TestOptions, run_tests
from lab.jobs.walk.run import run_walk
from lab.jobs.walk.steps import WalkOptions
from lab.kernel.pipeline import bring_kernel
from lab.kernel.plan import Plan
from lab.source import port as porting
from lab.source.desk import Desk
from lab.source.git import Git
from lab.source.series import Series, parse_range
from lab.source.worktree import TreeRequest


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("--edit", is_flag=True, help="Make a worktree in which to resolve conflicts.")
@click.option("--save", is_flag=True, help="Write the resolved patches to patches/ports/.")
@click.option("--build", is_flag=True, help="Then build the kernel.")
@click.option("--test", is_flag=True, help="Then build, boot and run the selftests.")
@plan_options
def port(session: Session, plan: Plan, edit: bool, save: bool, build: bool, test: bool) -> int:
    """Try the series on another base and report how each patch fits.

    The exit code is 1 if a patch does not fit. After a conflict the trial goes on without the files
    in conflict. A patch that has to differ on a base is kept as ports/BASE/NAME beside the patches;
    every command with that --base uses it instead of the patch NAME. --edit makes a worktree in
    which git am stops at each conflict; --save writes the ports.
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
        return run_tests(session, plan, TestOptions(), other_command(test_command, "test"))
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
            hint="`lab series port --edit` with this --base makes it.",
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


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--range",
    "numbers",
    default="0..",
    metavar="FIRST..LAST",
    help="Walk only these patches; 0 is the base.",
)
@click.option("--build-only", is_flag=True, help="Boot no guests.")
@click.option("--again", is_flag=True, help="Repeat steps that passed in an earlier walk.")
@plan_options
def walk(session: Session, plan: Plan, numbers: str, build_only: bool, again: bool) -> int:
    """Check, build, boot and test the base and each patch, and name the first bad patch.

    Each step is a kernel with the patches up to one. It has to pass the selftests that prove these
    patches. A bad patch does not stop the walk. An interrupted walk resumes where it stopped; after
    an edit, the walk starts at the edited patch.
    """
    if plan.control or plan.applied is not None:
        raise UsageError("A walk has all patches: leave out --control and --applied, see --range.")
    first, last = parse_range(numbers, "--range")
    options = WalkOptions(first, last, build_only, again)
    # The same command goes on; with --again it would begin anew.
    walk_again = this_command(again=False)
    return run_walk(session, plan, options, walk_again, other_command(test_command, "test"))
