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
    help=f"Measure only this table; can be repeated: {', '.join(TABLES)}.",
)
@click.option("--ab", "both", is_flag=True, help="Compare base and series by classic filters.")
@click.option("--rounds", type=int, metavar="N", help=f"Samples of each row (default: {ROUNDS}).")
@click.option(
    "--calls",
    type=int,
    metavar="N",
    help=f"System calls in a sample (default: {CALLS}); slow rows make fewer.",
)
@click.option("--quick", is_flag=True, help="Make only few calls, as a trial.")
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
    """Measure in a guest what filters cost.

    The tables are that of the 2021 RFC and more. In each round every row of a table is measured
    once. The figures go to bench.json in the run directory and are printed as a table. A missed
    goal is reported and does not fail the run. A row that cannot be measured fails it, and so does,
    with --ab, a series that is slower than the base.
    """
    if plan.kernel != SERIES or plan.applied is not None:
        raise UsageError(
            "The benchmarks need a kernel with the whole series.",
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
