# SPDX-License-Identifier: MIT
"""Plain output and live bars."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from lab.core.ui import Ui, amount


class Clock:
    """time.monotonic, by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    yield clock
    monkeypatch.undo()


def test_results_and_messages_go_to_different_streams(capsys: pytest.CaptureFixture[str]) -> None:
    ui = Ui()
    ui.say("working [1/2]")
    ui.warn("careful")
    ui.out("result")
    assert capsys.readouterr() == ("result\n", "working [1/2]\nlab: warning: careful\n")


@pytest.mark.parametrize(("quiet", "lines"), [
    (False, ["get: 1.0 KiB of 4.0 KiB (25%)", "get: 4.0 KiB in 20 s"]),
    (True, ["get: 4.0 KiB in 20 s"]),
])  # fmt: skip
def test_plain_progress_is_a_line_now_and_then(clock: Clock, quiet: bool, lines: list[str]) -> None:
    stream = io.StringIO()
    with Ui(quiet, stream).progress("get", 4096, "bytes") as progress:
        progress.advance(512)
        clock.now += 10
        progress.advance(512)
        clock.now += 1
        progress.advance(1024)
        clock.now += 8
        progress.update(4096)
        clock.now += 1
    assert stream.getvalue().splitlines() == lines


def test_short_step_leaves_no_line(clock: Clock) -> None:
    stream = io.StringIO()
    with Ui(stream=stream).progress("quick", 3, "files") as progress:
        progress.update(3)
        clock.now += 0.5
    assert stream.getvalue() == ""


@pytest.mark.parametrize("total", [None, 3], ids=["unknown", "passed"])
def test_without_a_total_to_go_by_the_count_is_shown_alone(clock: Clock, total: int | None) -> None:
    stream = io.StringIO()
    with Ui(stream=stream).progress("build", total, "objects") as progress:
        clock.now += 11
        progress.advance(7)
    assert stream.getvalue().splitlines()[0] == "build: 7 objects"


def test_terminal_gets_a_bar_and_lines_above_it() -> None:
    stream = Terminal()
    ui = Ui(stream=stream)
    assert ui.live
    with ui.progress("build [x]", 2, "objects") as progress:
        progress.advance()
        ui.say("a line [not markup]")
        progress.update(2, 2)
    assert "build [x]" in stream.getvalue()
    assert "a line [not markup]" in stream.getvalue()
    assert "2/2" in stream.getvalue()


def test_quiet_terminal_gets_no_bar() -> None:
    assert not Ui(quiet=True, stream=Terminal()).live


@pytest.mark.parametrize(("n", "text"), [
    (5, "5 B"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB"),
    (7000 << 30, "7000.0 GiB"),
])  # fmt: skip
def test_amounts(n: int, text: str) -> None:
    assert amount(n, "bytes") == text
