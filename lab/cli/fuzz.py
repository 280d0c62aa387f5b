# SPDX-License-Identifier: MIT
"""``lab fuzz``."""

from __future__ import annotations

import secrets

import click

from lab.cli.again import this_command
from lab.cli.options import CONTEXT_SETTINGS
from lab.cli.plans import limit_option, parse_limits, plan_options
from lab.core.session import Session
from lab.errors import UsageError
from lab.jobs.fuzz.campaign import FuzzOptions, run_fuzz
from lab.kernel.plan import SERIES, Plan

SEEDS = 1 << 32


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--minutes",
    type=float,
    default=10.0,
    show_default=True,
    help="Run programs for so long after the guest has signed on.",
)
@click.option(
    "--programs", type=int, metavar="N", help="Stop after N programs if the time is not up before."
)
@click.option("--seed", type=int, metavar="S", help="Seed of the generator (default: random).")
@click.option("--only", type=int, metavar="INDEX", help="Run only the program with this index.")
@click.option("--first", type=int, default=0, metavar="INDEX", help="Start at this index.")
@click.option("--no-minimise", is_flag=True, help="Do not reduce findings.")
@click.option("--sabotage", is_flag=True, hidden=True)
@limit_option
@plan_options
def fuzz(
    session: Session,
    plan: Plan,
    minutes: float,
    programs: int | None,
    seed: int | None,
    only: int | None,
    first: int,
    no_minimise: bool,
    sabotage: bool,
    limits: tuple[str, ...],
) -> int:
    """Load and run random filters in a guest, valid and invalid, by loaders of every tier.

    A filter that both languages can express is run in both, and both have to give the same answers.
    A finding is reduced and saved as a case that the suite can replay. Seed and index alone
    determine a program.
    """
    if plan.kernel != SERIES:
        raise UsageError(
            "There is nothing to fuzz on a kernel without the series.",
            hint="Leave out --control, and take a profile of the patched kernel.",
        )
    for name, value, least in (
        ("--minutes", minutes, 0.01),
        ("--programs", programs, 1),
        ("--seed", seed, 0),
        ("--only", only, 0),
        ("--first", first, 0),
    ):
        # NaN is not less than anything, and not more either.
        if value is not None and not least <= value < 1 << 63:
            raise UsageError(f"{name} has to be {least:g} at least, not {value:g}.")
    if only is not None and (programs is not None or first):
        raise UsageError("--only is one program: --programs and --first make no sense with it.")
    options = FuzzOptions(
        minutes=minutes,
        programs=programs,
        seed=secrets.randbelow(SEEDS) if seed is None else seed,
        only=only,
        first=first,
        minimise=not no_minimise,
        sabotage=sabotage,
        limits=parse_limits(limits),
    )
    return run_fuzz(session, plan, options, this_command(seed=options.seed))
