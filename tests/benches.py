# SPDX-License-Identifier: MIT
"""What the tests of benchmarks share: the tables, and the form of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lab.jobs.bench.tables import (
    make_tables,
)

CPUS = 2
MADE = make_tables(CPUS)
ALL_TABLES = [pytest.param(table, id=name) for name, table in MADE.items()]


ROW_KEYS = {"label", "group", "x", "median", "low", "high", "samples", "calls", "note"}
RATIO_KEYS = {"label", "value", "low", "high", "goal", "rfc"}


def check_schema(document: Mapping[str, Any]) -> None:
    """As the module's text has it."""
    assert list(document) == [
        "version", "kind", "accelerator", "cpu", "kernel", "jit", "notes", "tables",
    ]  # fmt: skip
    assert (document["version"], document["kind"]) == (1, "bench")
    for table in document["tables"]:
        assert set(table) == {"name", "title", "unit", "x", "rows", "ratios"}
        for row in table["rows"]:
            assert set(row) == ROW_KEYS
            assert (row["median"] is None) == (row["samples"] == 0)
            assert row["median"] is not None or row["note"]
        for one in table["ratios"]:
            assert set(one) == RATIO_KEYS
            assert one["goal"] is None or set(one["goal"]) == {"op", "value"}
