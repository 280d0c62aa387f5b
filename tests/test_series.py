# SPDX-License-Identifier: MIT
"""Reading patches/: order, agreement with the directory, what is no patch."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import PROJECT_ROOT
from lab.errors import UsageError
from lab.source.series import Hunk, Series, parse_range
from tests.support import make_patches, make_repository


@pytest.fixture
def patches(kernel: Path, tmp_path: Path) -> Path:
    make_repository(kernel)
    return make_patches(kernel, tmp_path / "patches")


def test_titles_in_order_without_prefix_and_cover_letter(patches: Path) -> None:
    series = Series.read(patches)
    assert [(patch.number, patch.title) for patch in series.patches] == [
        (1, "seccomp: Change the third line"),
        (2, "seccomp: Add after line 30 \u00fc"),
    ]
    assert series.patches[0].hunks() == (Hunk("kernel/seccomp.c", 1, 1),)


def test_digest_depends_on_bytes_and_order_alone(patches: Path) -> None:
    digest = Series.read(patches).digest
    order = patches / "series"
    names = [line for line in order.read_text().splitlines() if not line.startswith("#")]
    order.write_text("\n\n".join(names) + "  # comment\n")
    assert Series.read(patches).digest == digest
    order.write_text("\n".join(reversed(names)))
    assert Series.read(patches).digest != digest


def refusal(patches: Path) -> str:
    with pytest.raises(UsageError) as caught:
        Series.read(patches)
    return caught.value.message


def test_missing_patch(patches: Path) -> None:
    first = next(iter(sorted(patches.glob("0001-*"))))
    first.unlink()
    assert f"names {first.name}, not found" in refusal(patches)


def test_extra_patch(patches: Path) -> None:
    (patches / "0003-more.patch").write_text("x")
    assert "0003-more.patch, which series does not name" in refusal(patches)


def test_patch_named_twice(patches: Path) -> None:
    order = patches / "series"
    order.write_text(order.read_text() * 2)
    assert "more than once" in refusal(patches)


def test_no_series_file_and_empty_series(patches: Path, tmp_path: Path) -> None:
    assert "There is no" in refusal(tmp_path / "absent")
    (patches / "series").write_text("# nothing\n")
    assert "names no patch" in refusal(patches)


def test_patch_outside_of_the_directory(patches: Path) -> None:
    (patches / "series").write_text("../evil.patch\n")
    assert "which is not in" in refusal(patches)


@pytest.mark.parametrize(("content", "words"), [
    ("diff --git a/x b/x\n", "no From, Date, Subject header"),
    ("From: a <a@b>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: x\n\nno patch\n", "no patch"),
])  # fmt: skip
def test_file_that_is_no_mail_with_a_patch(patches: Path, content: str, words: str) -> None:
    next(iter(patches.glob("0002-*"))).write_text(content)
    assert words in refusal(patches)


def test_the_projects_own_series_is_whole() -> None:
    series = Series.read(PROJECT_ROOT / "patches")
    assert [patch.file[:4] for patch in series.patches] == [
        f"{number:04d}" for number in range(1, len(series.patches) + 1)
    ]
    assert list((PROJECT_ROOT / "patches").glob("0000-*"))


@pytest.mark.parametrize("text", ["x", "3..1", "-1..2", "1..y"])
def test_a_range_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"--range .*not FIRST\.\.LAST"):
        parse_range(text, "--range")


@pytest.mark.parametrize("text", ["0", "0.."])
def test_a_range_that_begins_too_early(text: str) -> None:
    with pytest.raises(UsageError, match=r"--patch .*not FIRST\.\.LAST"):
        parse_range(text, "--patch", 1)


@pytest.mark.parametrize(
    ("text", "lowest", "numbers"),
    [("3..7", 0, (3, 7)), ("..7", 0, (0, 7)), ("..7", 1, (1, 7)), ("3..", 0, (3, None)),
     ("0", 0, (0, 0))],
)  # fmt: skip
def test_ranges(text: str, lowest: int, numbers: tuple[int, int | None]) -> None:
    assert parse_range(text, "--range", lowest) == numbers
