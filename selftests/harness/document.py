# SPDX-License-Identifier: MIT
"""The tests that docs/security-model.md names as proofs."""

from __future__ import annotations

import re
from pathlib import Path

SECURITY_MODEL = Path(__file__).parents[2] / "docs" / "security-model.md"

NAMED = re.compile(r"`((?:\w+/)?test_\w+\.py::test_\w+)`")
"""``file::function``, the file as seen from selftests/."""


def named_tests(text: str) -> list[str]:
    """Every test that ``text`` names, each once, sorted."""
    return sorted(set(NAMED.findall(text)))
