# SPDX-License-Identifier: MIT
"""The benchmark's arithmetic and its memory count; the measurements themselves need a kernel."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.cli import app
from lab.core import proc
from lab.tools.labbench import MIB, Figure, Memory

EAT = "x = bytearray(60 << 20); print(1, flush=True); import time; time.sleep(30)"


def test_a_ratio_is_held_against_its_goal() -> None:
    good, bad = Figure("line", 30, 60, 0.75), Figure("line", 50, 60, 0.75)
    assert (good.reached, bad.reached) == (True, False)
    assert "ratio 0.50" in good.row()
    assert bad.row().endswith("MISSED")


def test_a_figure_without_a_rival_is_held_against_the_goal_itself() -> None:
    assert Figure("memory", 299, None, 300, "MiB").reached
    assert not Figure("memory", 301, None, 300, "MiB").reached


def peak(command: list[str]) -> int:
    memory = Memory()
    with proc.spawn(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with memory.watch(process.pid):
            time.sleep(1)
        proc.end_group(process.pid, process.poll)
    return memory.peak


def test_python_processes_count_also_below_others() -> None:
    shell = f"{sys.executable} -c '{EAT}' & wait"
    assert peak(["sh", "-c", shell]) > 55 * MIB


def test_what_make_starts_does_not_count(tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.symlink_to("/bin/sh")
    assert peak([str(make), "-c", f"{sys.executable} -c '{EAT}' & wait"]) == 0


def test_an_unknown_measurement_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.COMMANDS, "bench-lab", "lab.tools.labbench:bench")
    assert app.run_cli(["bench-lab", "nonsense"]) == 2
