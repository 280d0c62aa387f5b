# SPDX-License-Identifier: MIT
"""Benchmark tables as inline SVG: black on white, told apart by hatching and markers, not colour.

matplotlib is imported when a plot is drawn, and by nobody else: it takes most of a second.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lab.runs.bench_figures import MeasuredRow, MeasuredTable, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.6
"""Inches. Narrow, so that the text is still legible where a telephone scales it down."""

BAR_HEIGHT, FRAME_HEIGHT, LINES_HEIGHT = 0.36, 0.9, 3.4
"""Inches: of a bar with its gap, of what is around the bars, of a plot of lines."""

LOG_RANGE = 20.0
"""Largest by smallest from which an axis is logarithmic: on a linear one the small bar is gone."""

ROOM = 1.35
"""What the axis has beyond the longest bar, for the figure at its end (logarithmic: its square)."""

LABEL_WIDTH = 22
"""Characters of a row's label before it is wrapped."""

FILLS = ("#888888", "#ffffff", "#cccccc", "#444444", "#eeeeee")
HATCHES = ("", "///", "...", "", "xxx")
LEGEND_WIDTH, LEGEND_MARK = 48, 8
"""Characters that a legend above a plot has room for, and what a mark takes of them."""

FAR = 100.0
"""Largest x by smallest from which that axis is logarithmic."""

TICKS = 8
"""Points up to which each has its number on the axis."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", ":")

JOINS = 'style="stroke-linejoin: round; stroke-linecap: butt"'

STYLE = {
    "font.size": 11,
    # Outlines of the letters: the same on every screen and printer, whatever fonts are there.
    "svg.fonttype": "path",
    "svg.hashsalt": "lab",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}


def plot(table: MeasuredTable) -> Markup | None:
    """A table as SVG to put into a page; None if nothing in it was measured."""
    if not any(row.median is not None for row in table.rows):
        return None
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH, _height(table)), layout="constrained")
        axes = figure.add_subplot()
        if table.x is None:
            _bars(axes, table)
        else:
            _lines(axes, table)
        return _inline(figure, table)


def _height(table: MeasuredTable) -> float:
    if table.x is not None:
        return LINES_HEIGHT
    groups = {row.group for row in table.rows}
    legend = math.ceil(len(groups) / legend_columns(groups)) if len(groups) > 1 else 0
    return FRAME_HEIGHT + BAR_HEIGHT * (len(table.rows) + legend)


def logarithmic(rows: tuple[MeasuredRow, ...]) -> bool:
    """Whether the measurements need a logarithmic axis."""
    values = [row.median for row in rows if row.median is not None]
    return min(values) > 0 and max(values) / min(values) >= LOG_RANGE


def _spread(row: MeasuredRow) -> tuple[float, float]:
    """Below and above the median, never negative."""
    assert row.median is not None
    low = row.median if row.low is None else row.low
    high = row.median if row.high is None else row.high
    return max(0.0, row.median - low), max(0.0, high - row.median)


def _bars(axes: Axes, table: MeasuredTable) -> None:
    """A bar for each row, the first one on top, and its figure at the end."""
    rows = table.rows
    groups = list(dict.fromkeys(row.group for row in rows))
    if logarithmic(rows):
        axes.set_xscale("log")
    reach = max(row.median + _spread(row)[1] for row in rows if row.median is not None)
    for place, row in enumerate(rows):
        if row.median is None:
            continue
        look = groups.index(row.group) % len(FILLS)
        below, above = _spread(row)
        told = {bar.get_label() for bar in axes.containers}
        axes.barh(
            place,
            row.median,
            height=0.62,
            color=FILLS[look],
            hatch=HATCHES[look],
            edgecolor="black",
            linewidth=0.8,
            label=row.group if row.group not in told else None,
            xerr=[[below], [above]],
            capsize=3,
            error_kw={"elinewidth": 1.0},
        )
        axes.annotate(
            short(row.median),
            (row.median + above, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
        )
    _not_measured(axes, rows)
    axes.set_xlabel(table.unit)
    labels = [textwrap.fill(row.label, LABEL_WIDTH) for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    left, _ = axes.get_xlim()
    if logarithmic(rows):
        least = min(row.median for row in rows if row.median is not None)
        axes.set_xlim(min(left, least / 2), reach * ROOM**2 * (reach / least) ** 0.1)
    else:
        axes.set_xlim(0, reach * ROOM)
    _plain_numbers(axes.xaxis)
    if len(groups) > 1:
        # Above the bars, where there is nothing to hide.
        columns = legend_columns(groups)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=10)


def _not_measured(axes: Axes, rows: tuple[MeasuredRow, ...]) -> None:
    for place, row in enumerate(rows):
        if row.median is None:
            axes.annotate(
                "not measured",
                (0, place),
                xycoords=("axes fraction", "data"),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                style="italic",
            )


def _lines(axes: Axes, table: MeasuredTable) -> None:
    """A line for each label that has several points, else for each group."""
    rows = [row for row in table.rows if row.median is not None and row.x is not None]
    lines = by_line(rows)
    for number, (name, points) in enumerate(lines.items()):
        spreads = [_spread(row) for row in points]
        axes.errorbar(
            [row.x or 0.0 for row in points],
            [row.median or 0.0 for row in points],
            yerr=[[below for below, _ in spreads], [above for _, above in spreads]],
            label=name or table.title,
            color="black",
            linestyle=STYLES[number % len(STYLES)],
            linewidth=1.2,
            marker=MARKERS[number % len(MARKERS)],
            markersize=6,
            markerfacecolor="white" if number % 2 else "black",
            capsize=3,
        )
    if logarithmic(tuple(rows)):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _plain_numbers(axes.yaxis)
    places = sorted({row.x for row in rows if row.x is not None})
    if places[0] > 0 and places[-1] / places[0] >= FAR:
        axes.set_xscale("log")
        _plain_numbers(axes.xaxis)
    elif len(places) <= TICKS:
        axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.set_xlabel(table.x or "")
    axes.set_ylabel(table.unit)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=10)


def legend_columns(names: Collection[str]) -> int:
    """As many names as have room beside each other."""
    return max(1, LEGEND_WIDTH // (max(map(len, names)) + LEGEND_MARK))


def by_line(rows: list[MeasuredRow]) -> dict[str, list[MeasuredRow]]:
    """The points of each line, from left to right. A label that has several points is a line; where
    each point has a label of its own, a group is.
    """
    labels = {(row.label, row.x) for row in rows}
    own = len({label for label, _ in labels}) == len(labels)
    lines: dict[str, list[MeasuredRow]] = {}
    for row in sorted(rows, key=lambda row: row.x or 0.0):
        lines.setdefault(row.group if own else row.label, []).append(row)
    return lines


def _plain_numbers(axis: Any) -> None:
    """1000 and not 10 to the third."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(numticks=3 if axis.axis_name == "x" else 6))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.get_major_locator().set_params(nbins=5)


def _inline(figure: Figure, table: MeasuredTable) -> Markup:
    """The figure as an element of an HTML page: no prologue, no name spaces, ids of its own."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = re.sub(r"\s+xmlns(?::\w+)?=\"[^\"]*\"", "", text[text.index("<svg") :])
    text = text.replace("xlink:href", "href")
    # Its style sheet would be the whole page's.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    # Several plots in one page must not share ids.
    mark = re.sub(r"\W", "-", table.name)
    text = re.sub(r"((?:id|href)=\"#?|url\(#)", rf"\g<1>{mark}-", text)
    label = Markup.escape(f"{table.title}, {table.unit}")
    look = f'class="plot" role="img" aria-label="{label}" {JOINS}'
    return Markup(text.replace("<svg", f"<svg {look}", 1))
