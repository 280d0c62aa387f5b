# SPDX-License-Identifier: MIT
"""What counts as noticed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode
from lab.guest.splats import PATTERNS
from lab.jobs import splatgate
from lab.jobs.splatgate import MODULE, TRIGGERS, examine, table
from lab.runs import manifest, rundir
from lab.runs.journal import Journal
from lab.runs.run import Run

WARNING = TRIGGERS[0]


def ran(cache: Cache, kind: str = "WARNING", test: str | None = WARNING.test) -> Run:
    """A run with one splat."""
    path = rundir.create(cache, "off")
    manifest.write(path, kind="off")
    journal = Journal(path)
    journal.write("splat", kind=kind, headline="WARNING: at x", line=3, test=test, excerpt=[])
    reasons = [f"{kind}: WARNING: at x (console.log:3, during or after {test})"]
    journal.write("verdict", code=4, headline="kernel splat: WARNING: at x", reasons=reasons)
    journal.close()
    return Run.load(path)


def test_a_splat_of_the_kind_that_names_the_test_is_noticed(cache: Cache) -> None:
    result = examine(WARNING, ran(cache), 4)
    assert result.missing == ()
    assert "noticed" in table([result])[0]


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({}, 0, "exit code 0"),
        ({}, 3, "exit code 3"),
        ({"kind": "kasan"}, 4, "no splat of kind WARNING (kinds seen: kasan)"),
        ({"test": None}, 4, "names None as the test in flight"),
        ({"test": "selftests/x.py::test_y"}, 4, "the verdict does not name the test"),
    ],
)
def test_anything_less_is_not(cache: Cache, fields: dict[str, Any], code: int, said: str) -> None:
    result = examine(WARNING, ran(cache, **fields), code)
    assert said in "; ".join(result.missing)
    assert "NOT NOTICED" in table([result])[0]


def test_triggers_are_tests_that_exist_and_kinds_that_are_known() -> None:
    tree = ast.parse(Path(PROJECT_ROOT, MODULE).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    tests = {name for name in functions if name.startswith("test_")}
    assert tests == {f"test_{trigger.name}" for trigger in TRIGGERS}
    assert {trigger.kind for trigger in TRIGGERS} <= {pattern.kind for pattern in PATTERNS}


def test_a_trigger_that_nothing_notices_fails_the_command(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quiet(session: object, plan: object, options: object, again: object, hooks: Any) -> int:  # noqa: ARG001
        path = rundir.create(cache, "off")
        manifest.write(path, kind="off")
        Journal(path).close()
        hooks.begun(path)
        return 0

    monkeypatch.setattr(splatgate, "run_tests", quiet)
    arguments = ["splat-gate", "--trigger", "panic", "--cache", str(cache.root)]
    assert run_cli(arguments) == ExitCode.FAILED


def test_an_unknown_trigger_is_a_usage_error(cache: Cache) -> None:
    arguments = ["splat-gate", "--trigger", "nonsense", "--cache", str(cache.root)]
    assert run_cli(arguments) == ExitCode.USAGE
