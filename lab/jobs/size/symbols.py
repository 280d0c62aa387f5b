# SPDX-License-Identifier: MIT
"""Growth by symbol, from the kernel's own scripts/bloat-o-meter."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lab.core import proc
from lab.errors import LabError
from lab.runs.size_figures import Growth, Symbol

SCRIPT = "scripts/bloat-o-meter"
ROW = re.compile(r"(?P<name>\S+) +(?P<old>\d+|-) +(?P<new>\d+|-) +(?P<delta>[+-]\d+)$")
TOTAL = re.compile(r"Total: Before=(?P<old>\d+), After=(?P<new>\d+), chg ")


def growth(tree: Path, directory: Path, old: str, new: str, prefix: str = "") -> Growth:
    """Compare two files below ``directory`` with the script of a kernel tree. ``prefix`` is that
    of the toolchain.

    The script gives names to a shell: ``old`` and ``new`` are relative, and plain. Raises LabError
    if it fails.
    """
    script = tree / SCRIPT
    command = [sys.executable, str(script), *(("-p", prefix) if prefix else ()), old, new]
    return parse(proc.run(command, cwd=directory).stdout)


def parse(text: str) -> Growth:
    """What the script has printed. Raises LabError if it is something else."""
    found = []
    for line in text.splitlines():
        row = ROW.match(line)
        if row:
            before, after = (None if row[key] == "-" else int(row[key]) for key in ("old", "new"))
            found.append(Symbol(row["name"], before, after))
    total = TOTAL.search(text)
    if total is None:
        raise LabError(f"{SCRIPT} has not counted:\n{text.strip() or '(it said nothing)'}")
    return Growth(int(total["old"]), int(total["new"]), tuple(found))
