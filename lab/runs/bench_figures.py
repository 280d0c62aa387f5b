# SPDX-License-Identifier: MIT
"""Figures of a run, as ``bench.json`` has them: written and read here.

    {"version": 1, "kind": "bench", "accelerator": {"name", "reason"}, "cpu", "kernel", "jit",
     "notes": [...], "tables": [{"name", "title", "unit", "x", "rows": [...], "ratios": [...]}]}

Rows, ratios and goals have the fields of their classes. Where ``x`` is a text the rows are points
of lines, and what was measured has an x of its own; where it is null they stand alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError

NAME = "bench.json"
VERSION, KIND = 1, "bench"

REACHED: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, goal: value >= goal,
    ">": lambda value, goal: value > goal,
    "<=": lambda value, goal: value <= goal,
    "<": lambda value, goal: value < goal,
}
"""What a goal's ``op`` means."""


@dataclass(frozen=True)
class Goal:
    """What a ratio is to be: ``op`` is a key of REACHED."""

    op: str
    value: float

    def __str__(self) -> str:
        return f"{self.op} {self.value:g}"

    def reached(self, figure: float) -> bool:
        """Whether a ratio meets it."""
        return REACHED[self.op](figure, self.value)


@dataclass(frozen=True)
class MeasuredRow:
    """``median`` of ``samples`` in the table's unit, with the spread from ``low`` to ``high``.
    ``median`` None: it was not measured, and ``note`` says why. A sample is ``calls`` calls.
    """

    label: str
    group: str
    x: float | None
    median: float | None
    low: float | None
    high: float | None
    samples: int
    calls: int
    note: str


@dataclass(frozen=True)
class MeasuredRatio:
    """Two rows' ratio with its spread, its goal, and the figure that the RFC of 2021 gives."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    goal: Goal | None = None
    rfc: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None without a goal or a value."""
        if self.goal is None or self.value is None:
            return None
        return self.goal.reached(self.value)


@dataclass(frozen=True)
class MeasuredTable:
    """A benchmark. ``x`` names what the rows' ``x`` counts; None: they have none."""

    name: str
    title: str
    unit: str
    x: str | None
    rows: tuple[MeasuredRow, ...]
    ratios: tuple[MeasuredRatio, ...]


@dataclass(frozen=True)
class Bench:
    """A run of the benchmarks; ``reason`` is that of the accelerator."""

    accelerator: str
    reason: str
    cpu: str
    kernel: str
    jit: str
    notes: tuple[str, ...]
    tables: tuple[MeasuredTable, ...]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where it was measured, as name and value, as far as that is known."""
        known = {name: getattr(self, name) for name in ("accelerator", "cpu", "kernel", "jit")}
        return tuple((name, value) for name, value in known.items() if value)


def document(bench: Bench) -> dict[str, Any]:
    """The file's content."""
    data = asdict(bench)
    accelerator = {"name": data.pop("accelerator"), "reason": data.pop("reason")}
    return {
        "version": VERSION,
        "kind": KIND,
        "accelerator": accelerator,
        **data,
        "notes": list(bench.notes),
    }


def load(directory: Path) -> Bench | None:
    """The figures of a run directory, None if it has none.

    Raises LabError if the file is there and is not what the module says.
    """
    path = directory / NAME
    if not path.is_file():
        return None
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{path} is no file of figures: {error!r}.") from error


def read(data: Mapping[str, Any]) -> Bench:
    """The figures in a parsed file. Raises ValueError, KeyError or TypeError if it is none."""
    if data.get("version") != VERSION:
        raise ValueError(f"version {data.get('version')!r}, not {VERSION}")
    accelerator = data["accelerator"]
    return Bench(
        str(accelerator["name"]),
        str(accelerator["reason"]),
        str(data["cpu"]),
        str(data["kernel"]),
        str(data["jit"]),
        tuple(map(str, data["notes"])),
        tuple(map(read_table, data["tables"])),
    )


def read_table(data: Mapping[str, Any]) -> MeasuredTable:
    """A table of a parsed file. Raises as read() does."""
    x, rows = data["x"], tuple(map(_row, data["rows"]))
    for row in rows:
        if x is not None and row.median is not None and row.x is None:
            raise ValueError(f"the point {row.label!r} has no x")
    return MeasuredTable(
        str(data["name"]),
        str(data["title"]),
        str(data["unit"]),
        None if x is None else str(x),
        rows,
        tuple(map(_ratio, data["ratios"])),
    )


def _row(data: Mapping[str, Any]) -> MeasuredRow:
    x, median, low, high = (_number(data[key]) for key in ("x", "median", "low", "high"))
    return MeasuredRow(
        str(data["label"]),
        str(data["group"]),
        x,
        median,
        low,
        high,
        int(data["samples"]),
        int(data["calls"]),
        str(data["note"]),
    )


def _ratio(data: Mapping[str, Any]) -> MeasuredRatio:
    goal = data["goal"]
    if goal is not None and goal["op"] not in REACHED:
        raise ValueError(f"a goal {goal['op']!r}")
    value, low, high, rfc = (_number(data[key]) for key in ("value", "low", "high", "rfc"))
    wanted = None if goal is None else Goal(str(goal["op"]), float(goal["value"]))
    return MeasuredRatio(str(data["label"]), value, low, high, wanted, rfc)


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value


def short(value: float | None, signs: int = 3, gap: str = "\N{NARROW NO-BREAK SPACE}") -> str:
    """A figure with as many significant digits as it deserves, and no exponent; "-" for None.
    ``gap`` is between thousands.
    """
    if value is None:
        return "-"
    if abs(value) >= 10 ** (signs - 1):
        return f"{value:,.0f}".replace(",", gap)
    return f"{value:.{signs}g}"
