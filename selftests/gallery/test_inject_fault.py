# SPDX-License-Identifier: MIT
"""Faults for one tree of processes."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.gallery import inject_fault
from selftests.harness import child
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, error_of
from selftests.harness.uapi import NR

pytestmark = [proves("libbpf", "user-memory"), pytest.mark.usefixtures("state_allowed")]


def opening(path: Path) -> Callable[[], int]:
    """Open and close."""

    def action() -> int:
        return error_of(lambda: os.close(os.open(path, os.O_RDONLY)))

    return action


def test_the_third_open_fails_and_no_other(tmp_path: Path) -> None:
    """For the tree of processes under the filter; the rest of the machine sees nothing."""
    path = tmp_path / "file"
    path.touch()

    def case() -> tuple[list[int], int]:
        filter_ = inject_fault.load("openat", errno.ENOSPC, nth=3, path=str(path))
        filter_.install()
        here = [opening(path)() for _ in range(2)]
        there = child.run(opening(path))
        return [*here, there, opening(path)()], filter_.counters()[1]

    assert child.run(case) == ([0, 0, errno.ENOSPC, 0], 1)
    assert opening(path)() == 0


def test_one_path_fails_and_no_other(tmp_path: Path) -> None:
    """A path is what the caller wrote."""
    for name in ("one", "other"):
        (tmp_path / name).touch()

    def case() -> list[int]:
        inject_fault.load("openat", errno.EIO, path=str(tmp_path / "one")).install()
        spelled = tmp_path / "." / "one"
        return [
            opening(tmp_path / "one")(),
            opening(tmp_path / "other")(),
            opening(tmp_path / "one")(),
            error_of(lambda: os.close(os.open(f"{tmp_path}/./one", os.O_RDONLY))),
            opening(spelled)(),
        ]

    assert child.run(case) == [errno.EIO, 0, errno.EIO, 0, errno.EIO]


def test_a_command_meets_the_fault(tmp_path: Path) -> None:
    """A program that knows nothing of it reports the error as its own."""
    (tmp_path / "file").touch()

    def case() -> str:
        inject_fault.load("openat", errno.EIO, path="file").install()
        return subprocess.run(
            ["cat", "file"], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "LC_ALL": "C"},
        ).stderr  # fmt: skip

    assert "Input/output error" in child.run(case)


@pytest.mark.parametrize(
    ("probability", "least", "most"), [(0.5, 140, 260), (1.0, 400, 400)], ids=["half", "always"]
)
def test_calls_fail_now_and_then(probability: float, least: int, most: int) -> None:
    """Of 400 calls; half of them is 200, and 140 is six standard deviations less."""

    def case() -> int:
        inject_fault.load("getppid", errno.EAGAIN, probability=probability).install()
        return sum(errno_of(NR.getppid) == errno.EAGAIN for _ in range(400))

    assert least <= child.run(case) <= most


def test_settings_out_of_range_are_refused() -> None:
    """Before anything is loaded."""
    for settings in ({"nth": -1}, {"probability": 1.5}, {"nth": 1, "probability": 0.5}):
        with pytest.raises(ValueError, match="one or the other"):
            inject_fault.load("openat", errno.EIO, **settings)
    with pytest.raises(ValueError, match="255 is the limit"):
        inject_fault.load("openat", errno.EIO, path="x" * 256)
    with pytest.raises(KeyError):
        inject_fault.load("nonsense", errno.EIO)
