# SPDX-License-Identifier: MIT
"""From what guests have told to the figures of ``bench.json``, and those as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.core import records
from lab.core.columns import aligned
from lab.jobs.bench.figures import Figure, Samples, ratio, summarize
from lab.jobs.bench.tables import Row, Table
from lab.runs import bench_figures
from lab.runs.bench_figures import (
    Bench,
    Goal,
    MeasuredRatio,
    MeasuredRow,
    MeasuredTable,
    short,
)

EMULATED = (
    "The guest is emulated (tcg): absolute figures mean nothing, only ratios within this run do."
)


@dataclass
class Collected:
    """What guests have told: samples by row's identity and round, and why rows have none.

    ``failed`` could not be measured, ``absent`` lack something that nobody has to have. ``guest``
    is what selftests/bench says about it.
    """

    samples: dict[str, dict[int, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    guest: dict[str, Any] = field(default_factory=dict)
    table: str = ""
    ended: bool = False

    def take(self, event: Mapping[str, Any]) -> None:
        """An event of the guest's; what is none of its own is passed over."""
        name, kind = str(event.get("row")), event.get("event")
        if kind == "sample":
            self.samples.setdefault(name, {})[int(event["round"])] = float(event["value"])
        elif kind == "unmeasured":
            self.failed[name] = str(event.get("reason"))
        elif kind == "not there":
            self.absent[name] = str(event.get("reason"))
        elif kind == "guest":
            self.guest = {key: value for key, value in event.items() if key != "event"}
        elif kind == "table":
            self.table = str(event.get("name"))
        elif kind == "end":
            self.ended = True

    def of(self, identity: str) -> Samples:
        """The samples of a row that has no reason to have none."""
        if identity in self.failed or identity in self.absent:
            return {}
        return self.samples.get(identity, {})

    def note(self, identity: str) -> str:
        """Why a row has no figure; "" if it has one."""
        reason = self.failed.get(identity) or self.absent.get(identity)
        if reason is not None:
            return reason
        return "" if self.of(identity) else "not measured: the guest did not come as far"


def measured_row(row: Row, figure: Figure | None, calls: int, note: str) -> MeasuredRow:
    """A row with its figure, if it has one."""
    if figure is None:
        return MeasuredRow(row.label, row.group, row.x, None, None, None, 0, calls, note)
    spread = (figure.median, figure.low, figure.high)
    return MeasuredRow(row.label, row.group, row.x, *spread, figure.samples, calls, note)


def measured_ratio(
    label: str, figure: Figure | None, goal: Goal | None = None, rfc: float | None = None
) -> MeasuredRatio:
    """A ratio with its figure, if it has one."""
    if figure is None:
        return MeasuredRatio(label, None, None, None, goal, rfc)
    return MeasuredRatio(label, figure.median, figure.low, figure.high, goal, rfc)


def table_document(table: Table, collected: Collected, calls: int) -> dict[str, Any]:
    """A table of bench.json."""
    samples = {row.key: collected.of(table.identity(row)) for row in table.rows}
    rows = (
        measured_row(
            row,
            summarize(samples[row.key].values()),
            row.calls(calls),
            collected.note(table.identity(row)),
        )
        for row in table.rows
    )
    ratios = (
        measured_ratio(one.label, ratio(one, samples), one.goal, one.rfc) for one in table.ratios
    )
    measured = MeasuredTable(
        table.name, table.title, table.unit, table.x, tuple(rows), tuple(ratios)
    )
    return asdict(measured)


def document(
    accelerator: Mapping[str, Any],
    guest: Mapping[str, Any],
    notes: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """bench.json."""
    emulated = (EMULATED,) if accelerator.get("name") == "tcg" else ()
    bench = Bench(
        str(accelerator.get("name", "")),
        str(accelerator.get("reason", "")),
        str(guest.get("cpu", "")),
        str(guest.get("kernel", "")),
        str(guest.get("jit", "")),
        (*emulated, *notes),
        tuple(records.read(MeasuredTable, table) for table in tables),
    )
    return bench_figures.document(bench)


# --- as text ---------------------------------------------------------------------------------


def text(result: Mapping[str, Any], references: Mapping[str, str] | None = None) -> list[str]:
    """bench.json for people. ``references``: by table, the label that others are put beside."""
    bench = bench_figures.read(result)
    lines = [f"{bench.kernel}, {bench.accelerator}, {bench.cpu}", *bench.notes]
    for table in bench.tables:
        reference = (references or {}).get(table.name, "")
        lines += ["", f"{table.name}: {table.title} ({table.unit})"]
        lines += _columns(_rows(table, reference))
        if table.ratios:
            lines += _columns(_ratios(table.ratios))
    return lines


def _columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"  {line}" for line in aligned(list(rows), right=slice(1, -1))]


def _rows(table: MeasuredTable, reference: str) -> Iterator[tuple[str, ...]]:
    of = next((row.median for row in table.rows if row.label == reference), None)
    axis = (table.x,) if table.x else ()
    beside = (f"/ {reference}",) if of else ()
    yield ("", *axis, "median", "low", "high", *beside, "calls", "n", "")
    for row in table.rows:
        place = ("" if row.x is None else f"{row.x:g}",) if axis else ()
        share = (_number(None if row.median is None else row.median / of),) if of else ()
        figures = map(_number, (row.median, row.low, row.high))
        yield (row.label, *place, *figures, *share, str(row.calls), str(row.samples), row.note)


def _ratios(ratios: Sequence[MeasuredRatio]) -> Iterator[tuple[str, ...]]:
    yield ("ratio", "median", "low", "high", "goal", "RFC", "")
    for row in ratios:
        figures = map(_number, (row.value, row.low, row.high))
        rfc = f"{row.rfc:g}" if row.rfc is not None else ""
        yield (row.label, *figures, str(row.goal or ""), rfc, _reached(row))


def _reached(row: MeasuredRatio) -> str:
    if row.goal is None:
        return ""
    if row.reached is None:
        return "not measured"
    return "reached" if row.reached else "MISSED"


def _number(value: float | None) -> str:
    """A figure, in digits that other programs read; four, so that 1.05 is told from 1.051."""
    return short(value, 4, gap="")
