# SPDX-License-Identifier: MIT
"""After the whole suite kmemleak finds nothing that was allocated and forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftests.harness.mounts import debugfs
from selftests.harness.patches import proves

pytestmark = proves("program-type")

MIN_AGE = 5.0
"""Seconds for which kmemleak leaves an object alone (MSECS_MIN_AGE, mm/kmemleak.c)."""


@pytest.fixture
def kmemleak() -> Iterator[Path]:
    """Its file."""
    with debugfs() as directory:
        yield directory / "kmemleak"


@pytest.mark.irrevocable(2000)
def test_nothing_has_leaked(kmemleak: Path) -> None:
    """Two scans: what the first only suspects, the second has made up its mind about."""
    for _ in range(2):
        time.sleep(MIN_AGE + 1)
        kmemleak.write_text("scan")
    assert kmemleak.read_text() == ""
