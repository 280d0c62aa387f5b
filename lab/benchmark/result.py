"""``bench.json`` and the same as text.

    {"version": 1, "kind": "bench", "accelerator": {"name", "reason"}, "cpu", "kernel", "jit",
     "notes": [...], "tables": [{"name", "title", "unit", "x", "rows": [...], "ratios": [...]}]}

A row: label, group, x, median, low, high, samples, calls, note. A ratio: label, value, low, high,
goal ({"op", "value"} or null), rfc. The figures of what could not be measured are null, and the
note says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.benchmark.figures import Figure, Samples, ratio, summarize
from lab.benchmark.tables import Goal, Ratio, Row, Table

NAME = "bench.json"
TEXT = "bench.txt"
VERSION, KIND = 1, "bench"

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


def row_document(row: Row, figure: Figure | None, calls: int, note: str) -> dict[str, Any]:
    """A row of bench.json."""
    return {
        "label": row.label,
        "group": row.group,
        "x": row.x,
        "median": figure and figure.median,
        "low": figure and figure.low,
        "high": figure and figure.high,
        "samples": figure.samples if figure else 0,
        "calls": calls,
        "note": note,
    }


def ratio_document(
    label: str, figure: Figure | None, goal: Goal | None = None, rfc: float | None = None
) -> dict[str, Any]:
    """A ratio of bench.json."""
    return {
        "label": label,
        "value": figure and figure.median,
        "low": figure and figure.low,
        "high": figure and figure.high,
        "goal": {"op": goal.op, "value": goal.value} if goal else None,
        "rfc": rfc,
    }


def table_document(table: Table, collected: Collected, calls: int) -> dict[str, Any]:
    """A table of bench.json."""
    samples = {row.key: collected.of(table.identity(row)) for row in table.rows}
    return {
        "name": table.name,
        "title": table.title,
        "unit": table.unit,
        "x": table.x,
        "rows": [
            row_document(
                row,
                summarize(samples[row.key].values()),
                row.calls(calls),
                collected.note(table.identity(row)),
            )
            for row in table.rows
        ],
        "ratios": [_ratio(definition, samples) for definition in table.ratios],
    }


def _ratio(definition: Ratio, samples: Mapping[str, Samples]) -> dict[str, Any]:
    figure = ratio(definition, samples)
    return ratio_document(definition.label, figure, definition.goal, definition.rfc)


def document(
    accelerator: Mapping[str, Any],
    guest: Mapping[str, Any],
    notes: Sequence[str],
    tables: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """bench.json."""
    emulated = (EMULATED,) if accelerator.get("name") == "tcg" else ()
    return {
        "version": VERSION,
        "kind": KIND,
        "accelerator": dict(accelerator),
        "cpu": str(guest.get("cpu", "")),
        "kernel": str(guest.get("kernel", "")),
        "jit": str(guest.get("jit", "")),
        "notes": [*emulated, *notes],
        "tables": list(tables),
    }


# --- as text ---------------------------------------------------------------------------------


def text(result: Mapping[str, Any], references: Mapping[str, str] | None = None) -> list[str]:
    """bench.json for people. ``references``: by table, the label that others are put beside."""
    accelerator = result["accelerator"]["name"]
    lines = [f"{result['kernel']}, {accelerator}, {result['cpu']}"]
    lines += result["notes"]
    for table in result["tables"]:
        reference = (references or {}).get(table["name"], "")
        lines += ["", f"{table['name']}: {table['title']} ({table['unit']})"]
        lines += aligned(list(_rows(table, reference)))
        if table["ratios"]:
            lines += aligned(list(_ratios(table["ratios"])))
    return lines


def _rows(table: Mapping[str, Any], reference: str) -> Iterator[tuple[str, ...]]:
    of = next((row["median"] for row in table["rows"] if row["label"] == reference), None)
    axis = (table["x"],) if table["x"] else ()
    beside = (f"/ {reference}",) if of else ()
    yield ("", *axis, "median", "low", "high", *beside, "calls", "n", "")
    for row in table["rows"]:
        place = (str(row["x"]),) * bool(axis)
        share = (f"{row['median'] / of:.2f}" if row["median"] is not None else "-",) if of else ()
        figures = (number(row[name]) for name in ("median", "low", "high"))
        calls, count = str(row["calls"]), str(row["samples"])
        yield (row["label"], *place, *figures, *share, calls, count, row["note"])


def _ratios(ratios: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    yield ("ratio", "median", "low", "high", "goal", "RFC", "")
    for row in ratios:
        figures = (share(row[name]) for name in ("value", "low", "high"))
        goal = row["goal"]
        wanted = f"{goal['op']} {goal['value']:g}" if goal else ""
        rfc = f"{row['rfc']:g}" if row["rfc"] is not None else ""
        yield (row["label"], *figures, wanted, rfc, _reached(row))


def _reached(row: Mapping[str, Any]) -> str:
    if not row["goal"]:
        return ""
    if row["value"] is None:
        return "not measured"
    return "reached" if Goal(**row["goal"]).reached(row["value"]) else "MISSED"


def number(value: float | None) -> str:
    """A figure, with as many digits as it is good for."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def share(value: float | None) -> str:
    """A ratio likewise."""
    if value is None:
        return "-"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns: the first and the last to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *cells, last in rows:
        middle = (cell.rjust(width) for cell, width in zip(cells, widths[1:-1], strict=True))
        lines.append("  ".join(["", first.ljust(widths[0]), *middle, last]).rstrip())
    return lines
