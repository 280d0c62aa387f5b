# SPDX-License-Identifier: MIT
"""Exec only once, and a filter that begins with an execution."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from selftests.gallery import after_exec, exec_once
from selftests.harness import child
from selftests.harness.patches import proves

pytestmark = [proves("program-type", "libbpf"), pytest.mark.usefixtures("state_allowed")]

NESTED = ["/bin/sh", "-c", "/bin/true; echo $?"]
"""An execution that makes another, and says what became of it; 126: it could not be executed."""


def nested() -> str:
    """What NESTED said."""
    return subprocess.run(NESTED, capture_output=True, text=True, check=True).stdout.strip()


def test_a_command_runs_and_starts_nothing() -> None:
    """One execution is allowed to all tasks under the filter together."""

    def case() -> tuple[str, bool]:
        exec_once.load().install()
        said = nested()
        with pytest.raises(PermissionError):
            subprocess.run(["/bin/true"], check=True)
        return said, True

    assert nested() == "0"
    assert child.run(case) == ("126", True)


def test_execution_by_descriptor_is_one_too() -> None:
    """execveat(2) is counted as execve(2) is."""

    def case() -> bool:
        exec_once.load(budget=0).install()
        with Path("/bin/true").open("rb") as file, pytest.raises(PermissionError):
            os.execve(file.fileno(), ["true"], {})
        return True

    assert child.run(case)


def test_a_budget_of_two_is_two() -> None:
    """The count is exact: two executions, not a third."""

    def case() -> str:
        exec_once.load(budget=2).install()
        said = nested()
        with pytest.raises(PermissionError):
            nested()
        return said

    assert child.run(case) == "0"


def test_a_set_is_refused_from_the_first_execution_on(tmp_path: Path) -> None:
    """What the launcher still does, the command and its children do not."""
    command = ["/bin/sh", "-c", f"mkdir {tmp_path}/two 2>&1; echo $?"]

    def case() -> str:
        after_exec.load(("mkdir", "mkdirat")).install()
        (tmp_path / "one").mkdir()
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        with pytest.raises(PermissionError):
            (tmp_path / "three").mkdir()
        return said

    said = child.run(case)
    assert "not permitted" in said
    assert said.endswith("1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
