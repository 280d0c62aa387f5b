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
from typing import TYPE_CHECKING, Any

from lab.core import records
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.runs.run import Run

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

    def __post_init__(self) -> None:
        if self.op not in REACHED:
            raise ValueError(f"a goal {self.op!r}")

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

    def __post_init__(self) -> None:
        for row in self.rows:
            if self.x is not None and row.median is not None and row.x is None:
                raise ValueError(f"the point {row.label!r} has no x")


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


def of(run: Run) -> Bench | None:
    """The figures of a run, None if it has none: from its journal, else, of an older run, from its
    file.

    Raises LabError if they are there and are not what the module says.
    """
    try:
        for data in run.view.of("figures")[-1:]:
            return read(data) if data.get("kind") == KIND else None
        path = run.path / NAME
        return read(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{run.path / NAME} is no file of figures: {error}.") from error


def read(data: Mapping[str, Any]) -> Bench:
    """The figures in a parsed file. Raises ValueError, KeyError or TypeError if it is none."""
    if data.get("version") != VERSION:
        raise ValueError(f"version {data.get('version')!r}, not {VERSION}")
    accelerator = data["accelerator"]
    return records.read(
        Bench, {**data, "accelerator": accelerator["name"], "reason": accelerator["reason"]}
    )


def short(value: float | None, signs: int = 3, gap: str = "\N{NARROW NO-BREAK SPACE}") -> str:
    """A figure with as many significant digits as it deserves, and no exponent; "-" for None.
    ``gap`` is between thousands.
    """
    if value is None:
        return "-"
    if abs(value) >= 10 ** (signs - 1):
        return f"{value:,.0f}".replace(",", gap)
    return f"{value:.{signs}g}"
