# SPDX-License-Identifier: MIT
"""Medians, spreads and ratios of samples.

The rows of a table take turns, so a ratio is taken round by round: what slows the machine down for
a while slows both. The median of those is the ratio, the smallest and the largest are its spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.jobs.bench.tables import Ratio

Samples = Mapping[int, float]
"""Round to figure."""


@dataclass(frozen=True)
class Figure:
    """``low`` and ``high`` are the smallest and the largest of ``samples``."""

    median: float
    low: float
    high: float
    samples: int


def summarize(values: Iterable[float]) -> Figure | None:
    """None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Figure(statistics.median(ordered), ordered[0], ordered[-1], len(ordered))


def quartile_distance(values: Iterable[float]) -> float:
    """From the lower to the upper quartile; 0 of fewer than two values."""
    ordered = sorted(values)
    if len(ordered) < 2:
        return 0.0
    lower, _, upper = statistics.quantiles(ordered, n=4, method="inclusive")
    return upper - lower


def ratio(definition: Ratio, rows: Mapping[str, Samples]) -> Figure | None:
    """A ratio from the samples of its table's rows, by key.

    None if a row has none, or if there is nothing left of one of them once ``above`` is taken off
    in any of the rounds: noise is then larger than what was to be measured.
    """
    over, under = rows.get(definition.over, {}), rows.get(definition.under, {})
    above: Samples = dict.fromkeys(under, 0.0)
    if definition.above:
        above = rows.get(definition.above, {})
    values = []
    for number in sorted(set(over) & set(under) & set(above)):
        left, rest = over[number] - above[number], under[number] - above[number]
        if left <= 0 or rest <= 0:
            return None
        values.append(left / rest)
    return summarize(values)
