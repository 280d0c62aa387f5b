# SPDX-License-Identifier: MIT
"""Tables in plain text."""

from __future__ import annotations

from lab.core.columns import aligned

ROWS = [("", "n", "why"), ("one", "1000", ""), ("eleven", "1", "late")]


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_where_they_end() -> None:
    assert aligned(ROWS) == ["        n     why", "one     1000", "eleven  1     late"]


def test_columns_of_figures_stand_to_the_right() -> None:
    assert aligned(ROWS, right=slice(1, -1)) == [
        "           n  why", "one     1000", "eleven     1  late",
    ]  # fmt: skip
    assert aligned([row[:2] for row in ROWS], right=slice(1, None))[0] == "           n"


def test_no_rows_are_no_lines() -> None:
    assert aligned([]) == []
