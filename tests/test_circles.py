"""What the guest runs has no circles: of modules that import, and of headers that include."""

from __future__ import annotations

import ast
import graphlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import selftests

SELFTESTS = Path(selftests.__file__).resolve().parent

Graph = dict[str, set[str]]


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A way from something to itself; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def modules(root: Path) -> dict[str, Path]:
    """All modules below a package's directory, by their full names."""
    return {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"): (
            path
        )
        for path in root.rglob("*.py")
    }


def imports(root: Path) -> Graph:
    """Which modules of a package each imports, in its functions too."""
    known = modules(root)
    return {name: set(_imported(path, known)) for name, path in known.items()}


def _imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in whole]
        else:
            continue
        yield from (name for name in names if name in known)


def includes(root: Path) -> Graph:
    """Which headers each file below a directory includes, by their paths from there."""
    graph: Graph = {}
    for path in root.rglob("*.[ch]"):
        names = re.findall(r'^#\s*include "(.*)"', path.read_text(encoding="utf-8"), re.M)
        targets = [(path.parent / name).resolve() for name in names]
        graph[str(path.relative_to(root))] = {str(file.relative_to(root)) for file in targets}
    return graph


NATIVE = SELFTESTS / "native"
HEADERS = sorted(NATIVE.glob("*/*.h"))


def test_headers_include_one_way() -> None:
    graph = includes(NATIVE)
    assert "fuzz/gen.h" in graph["fuzz/statements.h"]
    assert "fuzz/kernel.h" in graph["bench/common.h"]
    assert circle(graph) == []


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


def test_no_module_of_the_selftests_imports_itself_by_way_of_others() -> None:
    graph = imports(SELFTESTS)
    assert "selftests.harness.child" in graph["selftests.harness.features"]
    assert circle(graph) == []


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / f"{name}.py").write_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "from package import a\n",
        "from package.a import thing\n",
        "import package.a\n",
        "def function():\n    from package import a\n",
    ],
)
def test_a_circle_is_seen(tmp_path: Path, text: str) -> None:
    root = tmp_path / "package"
    root.mkdir()
    write(root, __init__="", a="from package.b import other\n", b=text, c="import package.a\n")
    assert set(circle(imports(root))) == {"package.a", "package.b"}
