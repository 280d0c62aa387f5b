# SPDX-License-Identifier: MIT
"""The journal of a run: append-only NDJSON, the one source of every report.

Each line is an object with ``event`` and ``time`` (seconds since the epoch). The lab writes
``run`` (what is run), ``seed`` (tests expected, all not started), ``stage`` (one that is done),
``guest`` (one that has ended, and in which ``place`` below the run directory its streams are),
``splat``, ``excerpts`` (what the console had, for the page), ``verdict`` and ``noise`` (a guest
line that is no event). A job writes ``table`` (the lines of its table) and ``figures`` (what it has
measured). A run of several profiles has ``part`` (the directory of one that begins) and
``profile``, a walk ``part`` and ``patch``, a row of its table each; benchmarks have ``bench`` (what
the guest has measured), a fuzz run ``fuzz`` (how far it is), ``finding`` and ``saved``. The guest's
own events are taken over as they are: ``collected``, ``start``, ``result``, ``end``.

A line is written with one write(2) and may be cut short only by the end of the machine: readers
skip a last line that is no JSON.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import UsageError

NAME = "journal.ndjson"

NOT_STARTED = "not started"
RUNNING = "running"
PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"
ABSENT = "absent"
SEED = "seed"
OUTCOMES = (PASSED, FAILED, SKIPPED, ABSENT)
GUEST_EVENTS = ("collected", "start", "result", "end")


class Journal:
    """Appends events to the journal of a run."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o644)

    def write(self, event: str, **fields: Any) -> dict[str, Any]:
        """Append one event; the event as written."""
        row = {"event": event, "time": round(time.time(), 3), **fields}
        os.write(self._descriptor, json.dumps(row, ensure_ascii=False).encode() + b"\n")
        return row

    def relay(self, line: str) -> dict[str, Any]:
        """Append a line that the guest wrote, as an event if it is one, else as ``noise``."""
        row = guest_event(line)
        if row is None:
            return self.write("noise", line=line[:1000])
        guest_time = row.pop("time", None)
        extra = {} if guest_time is None else {"guest_time": guest_time}
        return self.write(row.pop("event"), **row, **extra)

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)


def guest_event(line: str) -> dict[str, Any] | None:
    """A line of the guest's as an event; None if it is none that readers can rely on."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    event = row.get("event")
    if event == "collected":
        tests = row.get("tests")
        good = isinstance(tests, list) and all(_is_test(test) for test in tests)
    elif event == "end":
        good = isinstance(row.get("exit"), int)
    else:
        good = event in GUEST_EVENTS and isinstance(row.get("id"), str)
        good = good and isinstance(row.get("seconds", 0), int | float)
    return row if good else None


def _is_test(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return False
    patches = entry.get("patches") or ()
    return isinstance(patches, list | tuple) and all(isinstance(n, int) for n in patches)


@dataclass
class Test:
    """A test of the run. ``number``: its place in the order of collection, from 1."""

    __test__ = False

    id: str
    number: int
    patches: tuple[int, ...] = ()
    doc: str = ""
    state: str = NOT_STARTED
    seconds: float = 0.0
    message: str = ""

    @property
    def done(self) -> bool:
        """Whether it came to an end of its own."""
        return self.state in OUTCOMES


@dataclass
class View:
    """What a journal says. ``pytest_exit`` is the guest's own word about the end of the suite.
    ``moments`` are the stages that were done, and "seed", with the time at which they were.
    ``guest`` is how the last guest ended, ``guests`` are all of them. ``events`` are those that
    only some kinds of runs have, by name.
    """

    run: dict[str, Any] = field(default_factory=dict)
    tests: dict[str, Test] = field(default_factory=dict)
    in_flight: str | None = None
    pytest_exit: int | None = None
    guest: dict[str, Any] = field(default_factory=dict)
    splats: list[dict[str, Any]] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    guests: list[dict[str, Any]] = field(default_factory=list)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    noise: int = 0
    first: float = 0.0
    last: float = 0.0

    def counts(self) -> dict[str, int]:
        """Tests by state; states that no test is in are left out."""
        result: dict[str, int] = {}
        for test in self.tests.values():
            result[test.state] = result.get(test.state, 0) + 1
        return result

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of a name that only some kinds of runs have, without name and time."""
        return self.events.get(event, [])

    def of_state(self, *states: str) -> list[Test]:
        """The tests in one of ``states``, in the order of collection."""
        return [test for test in self.tests.values() if test.state in states]

    def ran(self) -> list[Test]:
        """The tests that ended by doing something: a skipped test did not run."""
        return self.of_state(PASSED, FAILED, ABSENT)

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one event."""
        self.first = self.first or float(row.get("time", 0.0))
        self.last = float(row.get("time", self.last))
        event = str(row.get("event"))
        handler = _HANDLERS.get(event)
        if handler:
            handler(self, row)
        else:
            self.events.setdefault(event, []).append(_fields(row))


def _run(view: View, row: Mapping[str, Any]) -> None:
    view.run = dict(row)


def _expect(view: View, row: Mapping[str, Any]) -> None:
    """Tests as collected: by the host as a forecast, then by the guest, whose word counts."""
    known = view.tests
    view.tests = {}
    for number, entry in enumerate(row.get("tests", ()), 1):
        test = Test(
            str(entry["id"]),
            number,
            tuple(int(patch) for patch in entry.get("patches") or ()),
            str(entry.get("doc") or ""),
        )
        before = known.get(test.id)
        if before is not None:
            test.state, test.seconds, test.message = before.state, before.seconds, before.message
        view.tests[test.id] = test


def _seed(view: View, row: Mapping[str, Any]) -> None:
    view.moments[SEED] = view.last
    _expect(view, row)


def _stage(view: View, row: Mapping[str, Any]) -> None:
    view.moments[str(row.get("name"))] = view.last


def _start(view: View, row: Mapping[str, Any]) -> None:
    test = _test(view, row)
    test.state = RUNNING
    view.in_flight = test.id


def _result(view: View, row: Mapping[str, Any]) -> None:
    test = _test(view, row)
    outcome = str(row.get("outcome"))
    test.state = outcome if outcome in OUTCOMES else FAILED
    test.seconds = float(row.get("seconds") or 0.0)
    test.message = str(row.get("message") or "")
    if outcome not in OUTCOMES:
        test.message = f"unknown outcome {outcome!r}. {test.message}"
    if view.in_flight == test.id:
        view.in_flight = None


def _test(view: View, row: Mapping[str, Any]) -> Test:
    name = str(row.get("id"))
    return view.tests.setdefault(name, Test(name, len(view.tests) + 1))


def _end(view: View, row: Mapping[str, Any]) -> None:
    view.pytest_exit = int(row.get("exit", -1))


def _guest(view: View, row: Mapping[str, Any]) -> None:
    view.guest = {**view.guest, **_fields(row)}
    view.guests.append(_fields(row))


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("event", "time")}


def _splat(view: View, row: Mapping[str, Any]) -> None:
    view.splats.append(dict(row))


def _verdict(view: View, row: Mapping[str, Any]) -> None:
    view.verdict = dict(row)


def _noise(view: View, row: Mapping[str, Any]) -> None:  # noqa: ARG001
    view.noise += 1


_HANDLERS = {
    "run": _run,
    "stage": _stage,
    SEED: _seed,
    "collected": _expect,
    "start": _start,
    "result": _result,
    "end": _end,
    "guest": _guest,
    "splat": _splat,
    "verdict": _verdict,
    "noise": _noise,
}


def read(rows: Iterable[Mapping[str, Any]]) -> View:
    """The view of a sequence of events."""
    view = View()
    for row in rows:
        view.add(row)
    return view


def load(directory: Path) -> View:
    """The view of a run directory's journal, whatever ended the run. Raises what events() does."""
    return read(events(directory))


def events(directory: Path) -> list[dict[str, Any]]:
    """The events of a run directory's journal, in their order.

    Raises UsageError if there is no journal or a line other than the last is no event.
    """
    path = directory / NAME
    try:
        lines = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    except OSError as error:
        raise UsageError(
            f"{directory} is no run directory: {path.name}: {error.strerror}.",
            hint="`lab runs` lists the runs.",
        ) from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except ValueError as error:
            if number == len(lines):
                break
            raise UsageError(f"{path}, line {number}: no event: {error}.") from error
        rows.append(row)
    return rows
