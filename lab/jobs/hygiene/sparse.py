# SPDX-License-Identifier: MIT
"""A sparse that the tree accepts, or why there is none.

The tree's Makefile leaves sparse out, with a mere line on stderr, where scripts/checker-valid.sh
says no. Sparse 0.6.4 and older lack ``__typeof_unqual__``, for which that script asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.core import proc

SUBSTITUTE = "-D__typeof_unqual__=__typeof__"
"""For an older sparse. What it loses is that a copy of a qualified object is unqualified, which the
base's warnings show as well.
"""

UNLIMITED = "-fmax-warnings=unlimited"
"""It would stop at a hundred, and the new ones are not the first."""

VALID = "scripts/checker-valid.sh"


@dataclass(frozen=True)
class Sparse:
    """``flags`` are make's. ``why`` says why there is no sparse to use, ``note`` what is to be
    known about it.
    """

    version: str = ""
    flags: tuple[str, ...] = ()
    note: str = ""
    why: str = ""


def find_sparse(tree: Path) -> Sparse:
    """Ask the tree whether the host's sparse will do."""
    if not proc.have("sparse"):
        return Sparse(why="there is no sparse; `lab doctor --install` brings it")
    version = proc.run(["sparse", "--version"], check=False).stdout.strip()
    for options, note in (
        ((UNLIMITED,), ""),
        (
            (UNLIMITED, SUBSTITUTE),
            f"sparse {version} does not know __typeof_unqual__, and was told to read __typeof__",
        ),
    ):
        if not (tree / VALID).exists() or _valid(tree, options):
            return Sparse(version, ("C=2", f"CF={' '.join(options)}"), note)
    return Sparse(version, why=f"sparse {version} is too old for this tree, says {VALID}")


def _valid(tree: Path, options: tuple[str, ...]) -> bool:
    """As the tree's Makefile asks."""
    command = ["sh", str(tree / VALID), "sparse", *options]
    return proc.run(command, check=False).stdout.strip() == "1"
