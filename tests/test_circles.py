# SPDX-License-Identifier: MIT
"""Headers of the guest's programs include one way; of Python's modules import-linter says it."""

from __future__ import annotations

import graphlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.kernel.userspace import NATIVE

HEADERS = sorted(NATIVE.glob("*/*.h"))


def includes(root: Path) -> dict[str, set[str]]:
    """Which headers each file below a directory includes, by their paths from there."""
    graph: dict[str, set[str]] = {}
    for path in root.rglob("*.[ch]"):
        names = re.findall(r'^#\s*include "(.*)"', path.read_text(encoding="utf-8"), re.M)
        targets = [(path.parent / name).resolve() for name in names]
        graph[str(path.relative_to(root))] = {str(file.relative_to(root)) for file in targets}
    return graph


def test_headers_include_one_way() -> None:
    graph = includes(NATIVE.resolve())
    assert "fuzz/gen.h" in graph["fuzz/statements.h"]
    assert "fuzz/kernel.h" in graph["bench/common.h"]
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_header_stands_alone(header: Path, tmp_path: Path) -> None:
    """One that declares what another is to define, to be included by it, does not."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header}"\n')
    flags = ["-D_GNU_SOURCE", "-Wall", "-Werror", "-Wno-unused", "-fsyntax-only"]
    done = subprocess.run(
        [compiler, *flags, str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
