# SPDX-License-Identifier: MIT
"""What `lab size` has measured, as ``size.json`` has it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.core import records
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.runs.run import Run

NAME = "size.json"
VERSION, KIND = 1, "size"

ON, OFF = "on", "off"
"""The series with its option on and off, each against the base."""


NAMES = re.compile(
    r"__BTF_ID__|kallsyms_(?:names|markers|offsets|seqs_of_names|token_table|token_index)$"
)
"""Symbols that differ when something is called otherwise: those of include/linux/btf_ids.h have a
line's number in their names, the tables of scripts/kallsyms.c have the names of all.
"""


@dataclass(frozen=True)
class Symbol:
    """A symbol's bytes; None where it is not there. Statics of one name are one symbol."""

    name: str
    before: int | None
    after: int | None

    @property
    def growth(self) -> int:
        """Bytes more."""
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True)
class Growth:
    """The symbols that differ, the one that grew most first, and the sum of all symbols."""

    before: int
    after: int
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True)
class Totals:
    """Bytes in memory as size(1) counts them: ``text`` is code and what is only read, ``bss`` is
    what no file holds.
    """

    text: int
    data: int
    bss: int

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.text - other.text, self.data - other.data, self.bss - other.bss)

    def __str__(self) -> str:
        return f"text {self.text:+d}  data {self.data:+d}  bss {self.bss:+d}"


@dataclass(frozen=True)
class SectionChange:
    """A section whose size differs; 0 where it is not there. ``noise`` says why that is no growth
    of code or data, "" if it is.
    """

    name: str
    before: int
    after: int
    noise: str = ""


@dataclass(frozen=True)
class ObjectChange:
    """An object that the series touches; None where it is not built."""

    name: str
    before: Totals | None
    after: Totals | None
    symbols: tuple[Symbol, ...]

    @property
    def growth(self) -> Totals:
        """Bytes more."""
        none = Totals(0, 0, 0)
        return (self.after or none) - (self.before or none)


@dataclass(frozen=True)
class FrameChange:
    """A function whose stack frame differs, in bytes; None where there is no such function.
    ``dynamic``: it may take more than that.
    """

    object: str
    function: str
    before: int | None
    after: int | None
    dynamic: bool = False


@dataclass(frozen=True)
class Pair:
    """Two kernels. ``name`` is ON or OFF; ``config`` are the lines that differ, as "-line" and
    "+line". ``symbols`` are those of the whole kernel. ``largest`` is the largest frame in the
    objects that the series touches, before and after.
    """

    name: str
    before: Totals
    after: Totals
    config: tuple[str, ...]
    sections: tuple[SectionChange, ...]
    symbols: Growth
    objects: tuple[ObjectChange, ...]
    frames: tuple[FrameChange, ...]
    largest: tuple[int, int]

    @property
    def growth(self) -> Totals:
        """Bytes more."""
        return self.after - self.before

    @property
    def differing(self) -> tuple[SectionChange, ...]:
        """Sections that differ by more than noise."""
        return tuple(section for section in self.sections if not section.noise)

    @property
    def same(self) -> bool:
        """Whether nothing differs that is more than noise."""
        return not (self.differing or self.grown or self.strays)

    @property
    def strays(self) -> tuple[Symbol, ...]:
        """Symbols that differ outside of the objects that the series touches, whose functions may
        be called otherwise and compiled to one another.
        """
        told = {symbol.name for touched in self.objects for symbol in touched.symbols}
        return tuple(
            symbol
            for symbol in self.symbols.symbols
            if symbol.name not in told and not NAMES.match(symbol.name)
        )

    @property
    def grown(self) -> tuple[ObjectChange, ...]:
        """Objects that the series touches, and whose size differs."""
        return tuple(o for o in self.objects if o.growth != Totals(0, 0, 0))


@dataclass(frozen=True)
class Sizes:
    """The measurement. ``option`` is the one that is on or off. ``frame_warn`` is the frame size
    from which the compiler warns (CONFIG_FRAME_WARN), 0 if it does not.
    """

    option: str
    frame_warn: int
    pairs: tuple[Pair, ...]

    def pair(self, name: str) -> Pair | None:
        """ON or OFF; None if it was not measured."""
        return next((pair for pair in self.pairs if pair.name == name), None)


def document(sizes: Sizes) -> dict[str, Any]:
    """The file's content."""
    return {"version": VERSION, "kind": KIND, **records.plain(sizes)}


def of(run: Run) -> Sizes | None:
    """The sizes of a run, None if it has none: from its journal, else, of an older run, from its
    file.

    Raises LabError if they are there and are something else.
    """
    try:
        for data in run.view.of("figures")[-1:]:
            return read(data) if data.get("kind") == KIND else None
        path = run.path / NAME
        return read(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        raise LabError(f"{run.path / NAME} is no file of sizes: {error}.") from error


def read(data: Mapping[str, Any]) -> Sizes:
    """The sizes in a parsed file. Raises ValueError or AttributeError if it is none."""
    if data.get("version") != VERSION:
        raise ValueError(f"version {data.get('version')!r}, not {VERSION}")
    return records.read(Sizes, data)
