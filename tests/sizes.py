# SPDX-License-Identifier: MIT
"""Measured kernels for the tests of what reads sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.runs import size_figures
from lab.runs.journal import View
from lab.runs.manifest import Manifest
from lab.runs.run import Run
from lab.runs.size_figures import (
    OFF,
    ON,
    FrameChange,
    Growth,
    ObjectChange,
    Pair,
    SectionChange,
    Sizes,
    Symbol,
    Totals,
)


def pair(name: str, growth: int = 0, **fields: Any) -> Pair:
    plain = Pair(
        name,
        Totals(1000, 200, 30),
        Totals(1000 + growth, 200, 30),
        (f"+CONFIG_X={name}",),
        (SectionChange(".notes", 3, 4, "the build id"),),
        Growth(900, 900, ()),
        (ObjectChange("kernel/new.o", None, Totals(1, 2, 3), ()),),
        (FrameChange("kernel/a.o", "f", None, 40, True),),
        (24, 48),
    )
    return replace(plain, **fields)


GROWN = pair(
    ON,
    500,
    sections=(SectionChange(".text", 1000, 1500),),
    symbols=Growth(900, 1400, (Symbol("f<1>", None, 500),)),
)
CLEAN = pair(OFF, objects=(ObjectChange("kernel/a.o", Totals(1, 2, 3), Totals(1, 2, 3), ()),))
DIRTY = replace(CLEAN, after=Totals(1008, 200, 30), sections=(SectionChange(".text", 1000, 1008),))
SIZES = Sizes("CONFIG_X", 2048, (GROWN, CLEAN))


def write(directory: Path, sizes: Sizes) -> None:
    """The file, as a run of an older lab left it."""
    (directory / size_figures.NAME).write_text(json.dumps(size_figures.document(sizes)))


def of(directory: Path) -> Sizes | None:
    """What a run directory without a word about it in the journal has."""
    return size_figures.of(Run(directory, Manifest(), View()))
