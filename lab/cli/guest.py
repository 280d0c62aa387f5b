# SPDX-License-Identifier: MIT
"""``lab config``, ``build``, ``boot``, ``test``, ``splat-gate``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from lab.cli.again import as_given, other_command, this_command
from lab.cli.options import (
    CONTEXT_SETTINGS,
    base_option,
    common,
    newer_option,
    patches_option,
)
from lab.cli.plans import limit_option, parse_limits, plan_options, plans_options
from lab.core.session import Session
from lab.errors import ExitCode, UsageError
from lab.guest.script import GuestCommand
from lab.jobs import splatgate
from lab.jobs.matrix import run_matrix
from lab.jobs.onecommand import patient, run_command, run_in_shell
from lab.jobs.tests import TestOptions, run_tests
from lab.kernel.arches import DEFAULT_ARCH, find_arch
from lab.kernel.pipeline import bring_build, bring_config, bring_source, held
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile


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
    """Boot the kernel and run a shell, or one COMMAND (after --).

    The exit status is COMMAND's. The guest sees the host's files below a writable overlay of its
    own.
    """
    overrides = parse_limits(limits)
    if not command:
        if not sys.stdin.isatty():
            raise UsageError(
                "A shell in the guest needs a terminal.", hint="Or a command: lab boot -- COMMAND."
            )
        run_in_shell(session, plan, this_command(), patient(overrides))
        return ExitCode.PASSED
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    in_guest = GuestCommand(command, Path.cwd(), environment, plan.profile.sysctls)
    bounds = {**patient({}), **overrides}
    return run_command(session, "boot", plan, this_command(), lambda _: in_guest, bounds)


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

    Several profiles run one after another, grouped by kernel, and end in one table.

    With --control the suite runs on the base without the series, and every test has to report that
    its feature is absent.
    """
    options = TestOptions(expression, arguments, parse_limits(limits))
    if len(plans) == 1:
        return run_tests(session, plans[0], options, this_command())
    return run_matrix(session, plans, options, this_command(), as_given())


@click.command("splat-gate", context_settings=CONTEXT_SETTINGS)
@click.option("--trigger", "names", multiple=True, help="Provoke only this splat; can be repeated.")
@base_option
@newer_option
@patches_option
@common
def splat_gate(
    session: Session, base: str, newer: bool, patches: Path, names: tuple[str, ...]
) -> int:
    """Prove that the lab notices every kind of splat.

    For each kind (WARN, KASAN, lockdep, hung task, panic, ...) a guest with the debug kernel
    provokes one. Each run has to end with exit code 4 and name the test in flight.
    """
    known = {trigger.name: trigger for trigger in splatgate.TRIGGERS}
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no trigger {name!r}.", hint=f"The lab knows: {', '.join(known)}."
            )
    plan = Plan(base, newer, patches, False, find_profile("triggers"), find_arch(DEFAULT_ARCH))
    chosen = tuple(known[name] for name in names) or splatgate.TRIGGERS
    gate = [
        (trigger, other_command(test, "test", expression=trigger.expression)) for trigger in chosen
    ]
    return splatgate.run_gate(session, plan, gate)
