# SPDX-License-Identifier: MIT
"""``lab bench``."""

from __future__ import annotations

import click

from lab.cli.again import this_command
from lab.cli.options import CONTEXT_SETTINGS
from lab.cli.plans import limit_option, parse_limits, plan_options
from lab.core.session import Session
from lab.errors import UsageError
from lab.jobs.bench.request import BenchOptions
from lab.jobs.bench.run import run_bench
from lab.jobs.bench.tables import CALLS, TABLES
from lab.kernel.plan import SERIES, Plan

ROUNDS = 7

QUICK_CALLS, QUICK_ROUNDS = 10_000, 2
"""Enough to see that everything can be measured."""


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="TABLE",
    help=f"Only this table, can be repeated: {', '.join(TABLES)}.",
)
@click.option("--ab", "both", is_flag=True, help="Classic filters, base against series, 4 boots.")
@click.option("--rounds", type=int, metavar="N", help=f"How often each row (else {ROUNDS}).")
@click.option(
    "--calls",
    type=int,
    metavar="N",
    help=f"Calls of a sample (else {CALLS}); slow rows make a share of it.",
)
@click.option("--quick", is_flag=True, help="Few calls, to see whether it works.")
@limit_option
@plan_options
def bench(
    session: Session,
    plan: Plan,
    names: tuple[str, ...],
    both: bool,
    rounds: int | None,
    calls: int | None,
    quick: bool,
    limits: tuple[str, ...],
) -> int:
    """Measure what filters cost, in a guest: the RFC's table and some more.

    The rows of a table take turns, for some rounds. The result is bench.json in the run directory
    and a table here. A goal that is missed is told and fails nothing; a row that cannot be measured
    does, and with --ab a series that is slower than the base.
    """
    if plan.kernel != SERIES or plan.applied is not None:
        raise UsageError(
            "What is measured needs the whole series.",
            hint="Leave out --control and --applied; --ab measures the base as well.",
        )
    for name in names:
        if name not in TABLES:
            raise UsageError(
                f"There is no table {name!r}.", hint=f"The lab knows: {', '.join(TABLES)}."
            )
    if both and names:
        raise UsageError("--ab is a table of its own: --only makes no sense with it.")
    options = BenchOptions(
        tables=tuple(name for name in TABLES if not names or name in names),
        rounds=_at_least("--rounds", 1, rounds, QUICK_ROUNDS if quick else ROUNDS),
        calls=_at_least("--calls", 1, calls, QUICK_CALLS if quick else CALLS),
        both=both,
        limits=parse_limits(limits),
    )
    # What --quick stands for may change.
    again = this_command(rounds=options.rounds, calls=options.calls, quick=False)
    return run_bench(session, plan, options, again)


def _at_least(name: str, least: int, given: int | None, default: int) -> int:
    if given is not None and given < least:
        raise UsageError(f"{name} has to be {least} at least, not {given}.")
    return default if given is None else given
