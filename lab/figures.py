"""Benchmark figures of a run, as ``bench.json`` has them.

The file: ``accelerator`` (an object with ``name``), ``cpu``, ``kernel``, ``jit``, ``notes``, and
``tables``. A table has ``rows`` (measurements, in its ``unit``) and ``ratios`` of them. Where ``x``
is a text the rows are points of one line for each ``group``; where it is null they stand alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError

NAME = "bench.json"
VERSION = 1

REACHED: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, goal: value >= goal,
    ">": lambda value, goal: value > goal,
    "<=": lambda value, goal: value <= goal,
    "<": lambda value, goal: value < goal,
}
"""What a goal's ``op`` means."""


@dataclass(frozen=True)
class Measured:
    """A row: ``median`` of ``samples`` in the table's unit, with the spread from ``low`` to
    ``high``. ``median`` None: it was not measured, and ``note`` says why. A sample is ``calls``
    calls.
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
class Goal:
    """What a ratio is to be: ``op`` is a key of REACHED."""

    op: str
    value: float

    def __str__(self) -> str:
        return f"{self.op} {self.value:g}"


@dataclass(frozen=True)
class Ratio:
    """Two rows' ratio with its spread, its goal, and the figure that the RFC of 2021 gives."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    goal: Goal | None
    rfc: float | None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None without a goal or a value."""
        if self.goal is None or self.value is None:
            return None
        return REACHED[self.goal.op](self.value, self.goal.value)


@dataclass(frozen=True)
class Table:
    """A benchmark. ``x`` names what the rows' ``x`` counts; None: they have none."""

    name: str
    title: str
    unit: str
    x: str | None
    rows: tuple[Measured, ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True)
class Bench:
    """A run of the benchmarks. ``facts`` are name and value."""

    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    tables: tuple[Table, ...]


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


def read(data: dict[str, Any]) -> Bench:
    """The figures in a parsed file. Raises ValueError, KeyError or TypeError if it is none."""
    if data.get("version") != VERSION:
        raise ValueError(f"version {data.get('version')!r}, not {VERSION}")
    accelerator = data.get("accelerator")
    name = accelerator.get("name") if isinstance(accelerator, dict) else accelerator
    known = {"accelerator": name, **{key: data.get(key) for key in ("cpu", "kernel", "jit")}}
    return Bench(
        tuple((key, _text(value)) for key, value in known.items() if value is not None),
        tuple(str(note) for note in data.get("notes") or ()),
        tuple(_table(row) for row in data["tables"]),
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _table(data: dict[str, Any]) -> Table:
    x = data.get("x")
    return Table(
        str(data["name"]),
        str(data.get("title") or data["name"]),
        str(data["unit"]),
        None if x is None else str(x),
        tuple(_row(row) for row in data["rows"]),
        tuple(_ratio(row) for row in data.get("ratios") or ()),
    )


def _row(data: dict[str, Any]) -> Measured:
    x, median, low, high = (_number(data.get(key)) for key in ("x", "median", "low", "high"))
    return Measured(
        str(data["label"]),
        str(data.get("group") or ""),
        x,
        median,
        low,
        high,
        int(data.get("samples") or 0),
        int(data.get("calls") or 0),
        str(data.get("note") or ""),
    )


def _ratio(data: dict[str, Any]) -> Ratio:
    goal = data.get("goal")
    if goal is not None and goal["op"] not in REACHED:
        raise ValueError(f"a goal {goal['op']!r}")
    value, low, high = (_number(data.get(key)) for key in ("value", "low", "high"))
    return Ratio(
        str(data["label"]),
        value,
        low,
        high,
        Goal(str(goal["op"]), float(goal["value"])) if goal else None,
        _number(data.get("rfc")),
    )


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def short(value: float | None, signs: int = 3) -> str:
    """A figure with as many significant digits as it deserves, and no exponent; "-" for None."""
    if value is None:
        return "-"
    if abs(value) >= 10 ** (signs - 1):
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.{signs}g}"
