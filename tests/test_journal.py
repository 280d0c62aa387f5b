# SPDX-License-Identifier: MIT
"""The journal: what is written, and what a reader makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.runs import journal, manifest
from lab.runs.journal import Journal

TESTS = [{"id": "a", "patches": [2, 3], "doc": "first"}, {"id": "b", "patches": [], "doc": ""}]


def test_tests_are_seeded_as_not_started(tmp_path: Path) -> None:
    Journal(tmp_path).write("seed", tests=TESTS)
    view = journal.load(tmp_path)
    assert [(test.id, test.state, test.patches) for test in view.tests.values()] == [
        ("a", journal.NOT_STARTED, (2, 3)),
        ("b", journal.NOT_STARTED, ()),
    ]


def test_a_run_that_was_killed_names_the_test_in_flight(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    record.write("seed", tests=TESTS)
    record.relay('{"event": "start", "id": "a", "time": 1}')
    view = journal.load(tmp_path)
    assert view.in_flight == "a"
    assert view.counts() == {"running": 1, "not started": 1}


def test_a_line_cut_short_at_the_end_is_skipped(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    record.write("seed", tests=TESTS)
    with (tmp_path / journal.NAME).open("a") as file:
        file.write('{"event": "resu')
    assert len(journal.load(tmp_path).tests) == 2


def test_rubbish_elsewhere_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    (tmp_path / journal.NAME).write_text('rubbish\n{"event": "end", "exit": 0}\n')
    with pytest.raises(UsageError, match="line 1"):
        journal.load(tmp_path)


def test_the_guests_word_about_what_is_collected_counts(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    record.write("seed", tests=TESTS)
    record.relay(json.dumps({"event": "collected", "tests": [TESTS[1]]}))
    assert list(journal.load(tmp_path).tests) == ["b"]


def test_results_end_the_flight(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    record.write("seed", tests=TESTS)
    record.relay('{"event": "start", "id": "a"}')
    record.relay('{"event": "result", "id": "a", "outcome": "passed", "seconds": 0.5}')
    record.relay('{"event": "end", "exit": 0}')
    view = journal.load(tmp_path)
    assert (view.in_flight, view.tests["a"].state, view.tests["a"].seconds) == (None, "passed", 0.5)
    assert view.pytest_exit == 0


def test_an_outcome_that_nobody_knows_is_a_failure(tmp_path: Path) -> None:
    record = Journal(tmp_path)
    record.relay('{"event": "result", "id": "a", "outcome": "splendid"}')
    test = journal.load(tmp_path).tests["a"]
    assert test.state == journal.FAILED
    assert "splendid" in test.message


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "7",
        "{}",
        '{"event": "verdict", "code": 0, "headline": "passed"}',
        '{"event": "guest", "outcome": "exited", "status": 0}',
        '{"event": "result", "outcome": "passed"}',
        '{"event": "result", "id": "a", "seconds": "long"}',
        '{"event": "collected", "tests": [{"id": 3}]}',
        '{"event": "collected", "tests": [{"id": "a", "patches": ["x"]}]}',
        '{"event": "end", "exit": "fine"}',
    ],
)
def test_a_guest_cannot_write_what_is_not_its_to_say(tmp_path: Path, line: str) -> None:
    record = Journal(tmp_path)
    assert record.relay(line)["event"] == "noise"
    view = journal.load(tmp_path)
    assert (view.noise, view.verdict, view.guest, view.tests) == (1, {}, {}, {})


def test_a_directory_without_a_journal_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run directory"):
        journal.load(tmp_path)


def test_a_manifest_grows_and_keeps_what_it_had(tmp_path: Path) -> None:
    manifest.write(tmp_path, id="a", base={"name": "linux-7.3"}, limits={"boot": 5})
    manifest.write(tmp_path, limits={"boot": 6.5})
    loaded = manifest.load(tmp_path)
    assert (loaded.id, loaded.base.name, loaded.limits) == ("a", "linux-7.3", {"boot": 6.5})


def test_a_manifest_of_another_lab_can_be_read(tmp_path: Path) -> None:
    """Fields that it has and this one does not, and the reverse."""
    row = {"id": "a", "patches": [{"number": 1, "mood": "good"}], "weather": 7, "base": None}
    (tmp_path / manifest.NAME).write_text(json.dumps(row))
    assert manifest.load(tmp_path).patches == (manifest.Patch(number=1),)


def test_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / manifest.NAME).write_text("[1]")
    with pytest.raises(UsageError):
        manifest.load(tmp_path)
