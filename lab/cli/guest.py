# SPDX-License-Identifier: MIT
"""``lab config``, ``build``, ``boot``, ``test``, ``report``, ``runs``."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from lab.cli.options import (
    CONTEXT_SETTINGS,
    applied_option,
    base_option,
    common,
    control_option,
    newer_option,
    patches_option,
)
from lab.core.deadline import Limits
from lab.core.session import Session
from lab.errors import ExitCode, UsageError
from lab.guest.boot import run_shell
from lab.guest.script import GuestCommand
from lab.jobs import splatgate
from lab.jobs.matrix import run_matrix
from lab.jobs.onecommand import patient, perform, prepared
from lab.jobs.tests import TestOptions, run_tests
from lab.kernel.arches import DEFAULT_ARCH, find_arch
from lab.kernel.pipeline import (
    Plan,
    bring_build,
    bring_config,
    bring_source,
    held,
)
from lab.kernel.profiles import Profile, find_profile, find_profiles
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import review_check, rundir
from lab.runs.run import Run
from lab.runs.rundir import HTML

F = TypeVar("F", bound=Callable[..., Any])


def plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that make a :class:`Plan`, and pass it after the session."""

    @base_option
    @newer_option
    @patches_option
    @control_option
    @applied_option
    @profile_option("Guest profile.")
    @click.option("--arch", default=DEFAULT_ARCH, show_default=True, help="Guest architecture.")
    @common
    @functools.wraps(function)
    def wrapper(session: Session, /, **options: Any) -> Any:
        (plan,) = make_plans((find_profile(options.pop("profile")),), options)
        return function(session, plan, **options)

    return wrapper


def plans_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Likewise for several plans, one for each profile named."""

    @base_option
    @newer_option
    @patches_option
    @control_option
    @applied_option
    @profile_option('Guest profile, several with commas between, or "all".')
    @click.option("--arch", default=DEFAULT_ARCH, show_default=True, help="Guest architecture.")
    @common
    @functools.wraps(function)
    def wrapper(session: Session, /, **options: Any) -> Any:
        plans = make_plans(find_profiles(options.pop("profile")), options)
        return function(session, plans, **options)

    return wrapper


def profile_option(text: str) -> Callable[[F], F]:
    """Add ``--profile``."""
    return click.option("--profile", default="default", show_default=True, help=text)


def make_plans(profiles: Sequence[Profile], options: dict[str, Any]) -> tuple[Plan, ...]:
    """A plan for each profile, from options, which are taken out.

    Raises UsageError if they contradict each other.
    """
    base, newer, patches, control, applied, arch = (
        options.pop(name) for name in ("base", "newer", "patches", "control", "applied", "arch")
    )
    row = find_arch(arch)
    if applied is not None and (control or any(profile.control for profile in profiles)):
        raise UsageError(
            "The base without the series is --applied 0: leave out the one or the other."
        )
    return tuple(
        Plan(
            base, newer, patches, control or profile.control or applied == 0, profile, row, applied
        )
        for profile in profiles
    )


def limit_option(function: F) -> F:
    """Add ``--limit``."""
    return click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=SECONDS",
        help="Replace the limit silence, boot or total of the guest.",
    )(function)


def parse_limits(settings: tuple[str, ...]) -> dict[str, float]:
    """``NAME=SECONDS`` texts. Raises UsageError if one is malformed or names no limit."""
    limits = {}
    for setting in settings:
        name, _, seconds = setting.partition("=")
        try:
            limits[name] = float(seconds)
        except ValueError:
            raise UsageError(
                f"--limit {setting}: not NAME=SECONDS.", hint="For example --limit silence=30."
            ) from None
    # Found out now, and not after a build.
    Limits().override(limits)
    return limits


@click.command(context_settings=CONTEXT_SETTINGS)
@plan_options
def config(session: Session, plan: Plan) -> None:
    """Merge the profile's fragments and check every requested line; print the .config's path."""
    source = bring_source(session, plan)
    with held(session, plan, source) as build_dir:
        result = bring_config(session, plan, source, build_dir).config
    session.ui.say(f"{result.requested} requested lines hold; digest {result.digest[:16]}")
    session.ui.out(str(result.path))


@click.command(context_settings=CONTEXT_SETTINGS)
@plan_options
def build(session: Session, plan: Plan) -> None:
    """Build the kernel; print the path of the image that guests boot."""
    source = bring_source(session, plan)
    with held(session, plan, source) as build_dir:
        configured = bring_config(session, plan, source, build_dir)
        result = bring_build(session, plan, configured)
    verb = "built" if result.fresh else "up to date"
    session.ui.say(
        f"{result.release}: {verb}, {result.objects} steps in {result.seconds:.0f} s, "
        f"{len(result.warnings)} warnings, log {result.log}"
    )
    session.ui.out(str(result.image))


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@limit_option
@plan_options
def boot(session: Session, plan: Plan, command: tuple[str, ...], limits: tuple[str, ...]) -> int:
    """Boot the kernel: a shell, or one COMMAND (after --) whose exit status becomes the lab's.

    The guest sees the host's files under a writable overlay of its own.
    """
    overrides = parse_limits(limits)
    if not command and not sys.stdin.isatty():
        raise UsageError(
            "A shell in the guest needs a terminal.", hint="Or a command: lab boot -- COMMAND."
        )
    reproduce = ["scripts/lab", "boot", *plan.options(), *(("--", *command) if command else ())]
    bounds = patient(overrides) if command else {**patient({}), **overrides}
    with prepared(session, plan, "boot", reproduce, bounds) as ready:
        if not command:
            session.ui.say("a root shell in the guest; `exit` powers it off")
            run_shell(ready.request)
            return ExitCode.PASSED
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        in_guest = GuestCommand(command, Path.cwd(), environment, plan.profile.sysctls)
        return perform(session, ready.request, in_guest)


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("-k", "expression", metavar="EXPR", help="Run the tests that pytest's -k selects.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@limit_option
@plans_options
def test(
    session: Session,
    plans: tuple[Plan, ...],
    expression: str | None,
    arguments: tuple[str, ...],
    limits: tuple[str, ...],
) -> int:
    """Boot the kernel and run selftests/ in it; ARGUMENTS (after --) go to pytest.

    Several profiles are run one after another, those of one kernel together, and shown as a table.

    With --control the same suite runs on the base without the series, where each test has to report
    its feature absent.
    """
    options = TestOptions(expression, arguments, parse_limits(limits))
    if len(plans) == 1:
        return run_tests(session, plans[0], options)
    return run_matrix(session, plans, options)


@click.command("splat-gate", context_settings=CONTEXT_SETTINGS)
@click.option("--trigger", "names", multiple=True, help="Only this one; can be repeated.")
@base_option
@newer_option
@patches_option
@common
def splat_gate(
    session: Session, base: str, newer: bool, patches: Path, names: tuple[str, ...]
) -> int:
    """Prove that nothing the kernel complains about goes unnoticed.

    A guest for each kind of complaint, provoked on the debug kernel: WARN, KASAN, lockdep, hung
    task, panic, ...; each has to end with exit code 4 and name the test in flight.
    """
    known = {trigger.name: trigger for trigger in splatgate.TRIGGERS}
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no trigger {name!r}.", hint=f"The lab knows: {', '.join(known)}."
            )
    plan = Plan(base, newer, patches, False, find_profile("triggers"), find_arch(DEFAULT_ARCH))
    chosen = tuple(known[name] for name in names) or splatgate.TRIGGERS
    return splatgate.run_gate(session, plan, chosen)


@click.command("report", context_settings=CONTEXT_SETTINGS)
@click.argument("run", default=rundir.LAST)
@common
def report_command(session: Session, run: str) -> None:
    """Tell what RUN did (a directory, an id or part of one, or "last") and renew its report."""
    directory = rundir.find(session.cache, run)
    loaded = Run.load(directory)
    write_all(loaded)
    for line in summary(loaded):
        session.ui.out(line)
    session.ui.out(f"  report: {directory / HTML}")


@click.command(context_settings=CONTEXT_SETTINGS)
@common
def runs(session: Session) -> None:
    """List the runs, the oldest first."""
    for directory in rundir.known(session.cache):
        try:
            run = Run.load(directory)
        except UsageError as error:
            session.ui.warn(error.message)
            continue
        counts = ", ".join(f"{count} {state}" for state, count in run.view.counts().items())
        session.ui.out(
            f"{run.id}  {run.headline.splitlines()[0]}" + (f"  ({counts})" if counts else "")
        )


@click.command("review-check", context_settings=CONTEXT_SETTINGS)
@common
def review_check_command(session: Session) -> None:
    """Say of the patch on standard input what the last run with it said: a JSON array, for b4.

    git config --add b4.review-perpatch-check-cmd "/path/to/scripts/lab review-check --quiet"
    """
    rows = review_check.check(session.cache, sys.stdin.buffer.read())
    session.ui.out(json.dumps(rows))
