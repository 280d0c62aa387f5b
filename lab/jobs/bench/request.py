# SPDX-License-Identifier: MIT
"""What a run of the benchmarks is asked, and the guests that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.jobs.bench import compare
from lab.jobs.bench.tables import Table, make_tables
from lab.kernel.plan import BASE, Plan
from lab.runs import rundir


@dataclass(frozen=True)
class BenchOptions:
    """``tables`` are names of TABLES. ``both``: the base against the series instead. ``limits``
    replace others, by name.
    """

    tables: tuple[str, ...]
    rounds: int
    calls: int
    both: bool
    limits: Mapping[str, float]


@dataclass(frozen=True)
class Boot:
    """A guest to be measured: its plan and tables, and where its streams go."""

    plan: Plan
    tables: tuple[Table, ...]
    directory: Path

    def document(self, rounds: int, calls: int) -> dict[str, Any]:
        """What the guest is told: see selftests/bench/__main__.py."""
        return {
            "rounds": rounds,
            "tables": [
                {
                    "name": table.name,
                    "rows": [row.plan(table.identity(row), calls) for row in table.rows],
                }
                for table in self.tables
            ],
        }


def boots_of(plan: Plan, options: BenchOptions, directory: Path) -> tuple[Boot, ...]:
    """The guests of a run, in their order."""
    if not options.both:
        tables = make_tables(plan.profile.cpus)
        return (Boot(plan, tuple(tables[name] for name in options.tables), directory),)
    return tuple(
        Boot(
            replace(plan, control=kernel == BASE),
            (compare.boot_table(number, kernel),),
            directory / rundir.GUESTS / f"{number}-{kernel}",
        )
        for number, kernel in enumerate(compare.ORDER, 1)
    )
