# SPDX-License-Identifier: MIT
"""The suite's tests name the patches that they prove; the series says in which order those are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from selftests.harness import patches, series

ROOT = series.ORDER_FILE.parents[1]
ORDER = [line for line in series.ORDER_FILE.read_text().splitlines() if line.endswith(".patch")]
RETRIEVAL, MEMORY = (
    next(line for line in ORDER if patches.BY_NAME[name].file in line)
    for name in ("retrieval", "user-memory")
)

Order = Callable[[Sequence[str]], None]


def _forget() -> None:
    series.files.cache_clear()
    patches.in_order.cache_clear()


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[Order]:
    """Gives the series another order for one test."""

    def give(names: Sequence[str]) -> None:
        monkeypatch.setenv(series.ENVIRONMENT, ",".join(names))
        _forget()

    yield give
    monkeypatch.undo()
    _forget()


def numbers() -> dict[str, int | None]:
    return {patch.name: patch.number for patch in patches.PATCHES}


def test_every_patch_has_a_row_and_every_row_a_patch() -> None:
    rows = [patch.file for patch in patches.PATCHES]
    assert sorted(rows) == sorted(series.files())
    assert [name for name in ORDER if not (series.ORDER_FILE.parent / name).is_file()] == []
    assert len(patches.BY_NAME) == len(patches.PATCHES)


def test_every_row_has_a_probe() -> None:
    assert [patch.name for patch in patches.PATCHES if not callable(patch.probe)] == []


def test_an_inserted_patch_shifts_those_after_it(order: Order) -> None:
    before = numbers()
    place = ORDER.index(RETRIEVAL)
    order([*ORDER[:place], "0003-something-new.patch", *ORDER[place:]])
    assert numbers() == {
        name: number + (number > place) for name, number in before.items() if number is not None
    }
    assert numbers() != before


def test_a_patch_is_known_by_its_file_whatever_its_number(order: Order) -> None:
    before = numbers()
    order([f"{number + 100:05}-{name.partition('-')[2]}" for number, name in enumerate(ORDER)])
    assert numbers() == before


def test_comments_and_blank_lines_are_no_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Order
) -> None:
    file = tmp_path / "series"
    file.write_text("# the order\n\n0001-b.patch # first\n  0002-a.patch\n")
    monkeypatch.setattr(series, "ORDER_FILE", file)
    order([])
    assert series.files() == ("b", "a")


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no patch is called nonsense; there are .*user-memory"):
        patches.proves("yama", "nonsense")


def test_a_row_that_is_not_in_the_series_has_no_number_and_comes_last(order: Order) -> None:
    order([name for name in ORDER if name != RETRIEVAL])
    assert numbers()["retrieval"] is None
    assert patches.in_order()[-1].name == "retrieval"


def test_a_kernel_has_the_patches_up_to_the_last_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [*series.files(), "another-series-own"]
    assert all(series.has(file) for file in files)
    monkeypatch.setattr(series, "APPLIED", 3)
    assert [file for file in files if series.has(file)] == files[:3]


def collect(tmp_path: Path, **environment: str) -> tuple[list[dict[str, Any]], str]:
    """What the suite collects of the tests of retrieval and user memory, and what it says."""
    events = tmp_path / "events"
    events.unlink(missing_ok=True)
    files = ["selftests/test_retrieve.py", "selftests/test_user_memory.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q", *files],
        cwd=ROOT,
        env={**os.environ, "SECCOMP_LAB_EVENTS": str(events), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    event = json.loads(events.read_text().splitlines()[0])
    assert event["event"] == "collected"
    return event["tests"], done.stdout


def proved(tests: list[dict[str, Any]]) -> dict[str, list[int]]:
    """By what the tests prove, the numbers that the lab is told."""
    return {",".join(test["proves"]): test["patches"] for test in tests}


def test_the_lab_is_told_numbers_and_names(tmp_path: Path) -> None:
    named = numbers()
    tests, said = collect(tmp_path)
    assert proved(tests) == {
        "retrieval": [named["retrieval"]],
        "user-memory": [named["user-memory"]],
    }
    rows = [line for line in said.splitlines() if line.startswith("patch ")]
    assert [line.split()[2] for line in rows] == [patch.name for patch in patches.in_order()]
    assert [int(line.split()[1]) for line in rows] == list(range(1, len(ORDER) + 1))


def test_what_another_series_does_not_have_is_asked_of_the_whole_only(tmp_path: Path) -> None:
    other = [name for name in ORDER if name != RETRIEVAL]
    environment = {series.ENVIRONMENT: ",".join(other)}
    memory = [other.index(MEMORY) + 1]
    whole, said = collect(tmp_path, **environment)
    assert proved(whole) == {"retrieval": [], "user-memory": memory}
    assert "not in this series  retrieval" in said
    for part in ({"SECCOMP_LAB_APPLIED": str(len(other))}, {"SECCOMP_LAB_SINCE": "1"}):
        tests, _ = collect(tmp_path, **environment, **part)
        assert proved(tests) == {"user-memory": memory}
