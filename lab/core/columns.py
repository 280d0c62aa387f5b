# SPDX-License-Identifier: MIT
"""A table in plain text."""

from __future__ import annotations

from collections.abc import Sequence

NONE = slice(0, 0)


def aligned(rows: Sequence[Sequence[str]], right: slice = NONE) -> list[str]:
    """Rows of as many cells each as lines of columns; those of ``right`` stand to the right."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = set(range(len(columns))[right])
    return [
        "  ".join(
            cell.rjust(width) if number in to_right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
