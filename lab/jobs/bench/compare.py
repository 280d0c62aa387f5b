# SPDX-License-Identifier: MIT
"""The base against the series, boot by boot: is classic filtering as fast as before?

A guest's figures depend on how its kernel came to lie in memory, which a boot decides, so each
kernel is booted twice, by turns: base, series, base, series. A kernel's figure is the mean of its
boots' medians, and a ratio is that of two such figures. The noise of a row is the largest of
these: the distance between the medians of the two boots, of either kernel, and between the
quartiles of the rounds, of any boot. A row is within noise if the figures of base and series differ
by no more than that.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lab.jobs.bench.figures import Figure, Samples, quartile_distance
from lab.jobs.bench.result import measured_ratio, measured_row
from lab.jobs.bench.tables import BASE_SERIES, BOTH_KERNELS, Row, Table
from lab.kernel.plan import BASE, SERIES
from lab.runs.bench_figures import MeasuredTable, short

ORDER = (BASE, SERIES, BASE, SERIES)

FIGURES = (
    "base-series: a kernel's figure is the mean of its boots' medians; low and high are the lowest"
    " and the highest of those. A ratio is that of the kernels' figures; its low and high are the"
    " smallest and the largest that those medians make."
)

RULE = (
    "base-series: within noise means that base and series differ by no more than the largest of:"
    " the distance between the two boots' medians of either kernel, and between the quartiles of"
    " the rounds of any boot."
)

WITHIN, SLOWER, FASTER, UNKNOWN = "within noise", "slower", "faster", "not measured"


@dataclass(frozen=True)
class Side:
    """A row on one kernel: the samples of its boots, of those that have any."""

    boots: tuple[Samples, ...]
    wanted: int

    @property
    def whole(self) -> bool:
        """Whether each boot has samples: else there is a figure, and nothing to compare."""
        return len(self.boots) == self.wanted

    @property
    def note(self) -> str:
        """Beside the figure."""
        if not self.whole:
            return f"{len(self.boots)} of {self.wanted} boots"
        return f"noise {short(self.noise)}"

    @property
    def medians(self) -> list[float]:
        """The median of each boot."""
        return [statistics.median(boot.values()) for boot in self.boots]

    @property
    def figure(self) -> Figure:
        """Mean of the medians; low and high are the lowest and the highest of them."""
        medians = self.medians
        count = sum(len(boot) for boot in self.boots)
        return Figure(statistics.fmean(medians), min(medians), max(medians), count)

    @property
    def noise(self) -> float:
        """The largest of the distances, in ns."""
        medians = self.medians
        quartiles = [quartile_distance(boot.values()) for boot in self.boots]
        return max(max(medians) - min(medians), *quartiles)


@dataclass(frozen=True)
class Comparison:
    """A row on both kernels; ``base`` and ``series`` are None where no boot has a sample of it."""

    row: Row
    base: Side | None
    series: Side | None

    @property
    def ratio(self) -> Figure | None:
        """Series / base, and the smallest and the largest that the boots make; None if a boot of
        them is missing.
        """
        if self.base is None or self.series is None:
            return None
        if not (self.base.whole and self.series.whole):
            return None
        base, series = self.base.figure, self.series.figure
        return Figure(
            series.median / base.median,
            series.low / base.high,
            series.high / base.low,
            len(self.base.boots),
        )

    @property
    def noise(self) -> float:
        """The noise of the noisier kernel, relative to the base; 0 where nothing was measured."""
        if self.base is None or self.series is None:
            return 0.0
        return max(self.base.noise, self.series.noise) / self.base.figure.median

    @property
    def verdict(self) -> str:
        """The verdict by RULE."""
        ratio = self.ratio
        if ratio is None:
            return UNKNOWN
        if abs(ratio.median - 1) <= self.noise:
            return WITHIN
        return SLOWER if ratio.median > 1 else FASTER

    def line(self) -> str:
        """The verdict in words."""
        if self.ratio is None:
            return f"{BASE_SERIES}: {self.row.label}: {UNKNOWN}"
        change = f"{100 * (self.ratio.median - 1):+.1f} %, noise {100 * self.noise:.1f} %"
        return f"{BASE_SERIES}: {self.row.label}: {change}: {self.verdict}"


def boot_table(number: int, kernel: str) -> Table:
    """What one boot measures, from 1."""
    return Table(
        f"{BASE_SERIES}, boot {number}, {kernel}",
        f"classic filters on the {kernel} kernel",
        "ns per call",
        BOTH_KERNELS,
    )


def comparisons(boots: Sequence[tuple[str, Mapping[str, Samples]]]) -> list[Comparison]:
    """Each row, from the boots' kernels and samples by row's key."""
    return [
        Comparison(row, _side(row, boots, BASE), _side(row, boots, SERIES)) for row in BOTH_KERNELS
    ]


def _side(row: Row, boots: Sequence[tuple[str, Mapping[str, Samples]]], kernel: str) -> Side | None:
    samples = tuple(rows.get(row.key, {}) for name, rows in boots if name == kernel)
    there = tuple(filter(None, samples))
    return Side(there, ORDER.count(kernel)) if there else None


def table_document(found: Sequence[Comparison], calls: int) -> dict[str, Any]:
    """The table of bench.json: both kernels' rows, grouped by kernel."""
    rows = []
    for comparison in found:
        for group, side in ((BASE, comparison.base), (SERIES, comparison.series)):
            row = measured_row(
                comparison.row,
                side.figure if side else None,
                comparison.row.calls(calls),
                side.note if side else UNKNOWN,
            )
            rows.append(replace(row, group=group, label=f"{comparison.row.label}, {group}"))
    ratios = (
        measured_ratio(f"{comparison.row.label}: series / base", comparison.ratio)
        for comparison in found
    )
    title = "classic filters on both kernels, two boots each"
    return asdict(
        MeasuredTable(BASE_SERIES, title, "ns per call", None, tuple(rows), tuple(ratios))
    )
