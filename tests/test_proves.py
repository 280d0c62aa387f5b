# SPDX-License-Identifier: MIT
"""Selftests mark their patches by name; the series gives the order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import PROJECT_ROOT
from lab.source.series import Series
from selftests.harness import features, patches
from selftests.harness.patches import PATCHES, proves

CODE = """
import json
from selftests.harness import patches
print(json.dumps([patches.NUMBERS, [name for name in patches.NAMES if patches.chosen((name,))]]))
"""


def asked(**environment: str) -> tuple[dict[str, int], list[str]]:
    """Numbers by name, and the names whose tests run, as the lab's environment has it."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    numbers, chosen = json.loads(done.stdout)
    return numbers, chosen


def test_every_patch_has_a_row_and_a_probe_and_every_row_a_patch() -> None:
    series = Series.read(PROJECT_ROOT / "patches")
    files = [patch.file.removesuffix(".patch").partition("-")[2] for patch in series.patches]
    assert sorted(row.file for row in PATCHES) == sorted(files)
    assert set(features.PROBES) == set(patches.NAMES)
    assert [patches.NUMBERS[row.name] for row in PATCHES] == [
        files.index(row.file) + 1 for row in PATCHES
    ]


def test_a_name_that_no_row_has_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match=r"no patch is called user-memroy: .*user-memory"):
        proves("user-memroy")
    with pytest.raises(ValueError, match="no name"):
        proves()


def test_a_patch_that_is_inserted_moves_the_numbers_and_touches_no_mark() -> None:
    files = (PROJECT_ROOT / "patches" / "series").read_text().split()
    inserted = [files[0], "0002-bpf-A-new-one.patch", *files[1:]]
    numbers, chosen = asked(SECCOMP_LAB_SERIES=",".join(inserted))
    assert numbers["error-order"] == 1
    assert numbers["program-type"] == 3
    assert chosen == list(patches.NAMES)


def test_a_part_of_the_series_is_asked_for_its_own() -> None:
    _, chosen = asked(SECCOMP_LAB_APPLIED="3")
    assert chosen == ["error-order", "program-type", "retrieval"]
    _, chosen = asked(SECCOMP_LAB_APPLIED="5", SECCOMP_LAB_SINCE="3")
    assert chosen == ["libbpf", "sample"]


def test_a_series_with_other_files_is_asked_for_all_when_it_is_whole() -> None:
    """Somebody else's series: nothing is left out because a file has another name."""
    others = "0001-seccomp-Something-else.patch,0002-libbpf-recognize-section-seccomp.patch"
    numbers, chosen = asked(SECCOMP_LAB_SERIES=others)
    assert numbers == {"libbpf": 2}
    assert chosen == list(patches.NAMES)
    _, chosen = asked(SECCOMP_LAB_SERIES=others, SECCOMP_LAB_APPLIED="2")
    assert chosen == ["libbpf"]


def collected(tmp_path: Path, **environment: str) -> dict[str, int]:
    """The suite's own tests, as its conftest.py chooses them: the last patch that each proves."""
    events = tmp_path / "events"
    events.unlink(missing_ok=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--collect-only",
            "-q",
            "selftests",
        ],
        cwd=PROJECT_ROOT,
        env={**os.environ, "SECCOMP_LAB_EVENTS": str(events), **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (event,) = map(json.loads, events.read_text().splitlines()[:1])
    return {test["id"]: max(test["patches"]) for test in event["tests"]}


def test_what_a_kernel_is_asked_depends_on_its_patches(tmp_path: Path) -> None:
    """Those that prove a patch that it has, and one that is later than SINCE."""
    whole = collected(tmp_path)
    new = collected(tmp_path, SECCOMP_LAB_SINCE="4", SECCOMP_LAB_APPLIED="5")
    assert new == {test: patch for test, patch in whole.items() if patch == 5}
    assert new
