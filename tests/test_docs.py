# SPDX-License-Identifier: MIT
"""The documents name what there is."""

from __future__ import annotations

import ast
from pathlib import Path

from lab import PROJECT_ROOT
from selftests.harness.document import SECURITY_MODEL, named_tests

SELFTESTS = PROJECT_ROOT / "selftests"


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_security_model_names_tests_that_exist() -> None:
    names = named_tests(SECURITY_MODEL.read_text(encoding="utf-8"))
    assert names
    missing = []
    for name in names:
        file, _, function = name.partition("::")
        path = SELFTESTS / file
        if not path.is_file() or function not in _functions(path):
            missing.append(name)
    assert missing == []


def test_every_objection_has_a_proof() -> None:
    text = SECURITY_MODEL.read_text(encoding="utf-8")
    section = text.partition("## Objections")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if not named_tests(row)] == []


def test_names_are_found_in_every_directory() -> None:
    text = "`test_a.py::test_b` `attacks/test_c.py::test_d` `test_e.py` test_f.py::test_g"
    assert named_tests(text) == ["attacks/test_c.py::test_d", "test_a.py::test_b"]
