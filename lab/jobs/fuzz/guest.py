# SPDX-License-Identifier: MIT
"""Runs the guest's fuzz program in a guest, and takes in what it tells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.guest import session as guests
from lab.guest.boot import EXITED, GuestEnd, Listeners
from lab.guest.environment import GUEST_EVENTS
from lab.guest.launch import SHARE
from lab.guest.request import Ready
from lab.guest.script import GUEST_SHARE, GuestCommand
from lab.guest.session import Outcome
from lab.guest.splats import Splat
from lab.jobs.fuzz.case import Case

PROGRAM = "fuzz"
CASES = "cases.txt"

PATIENCE_SECONDS = 30
"""For a child's few system calls, emulated on a busy machine, with the default configuration."""

MEMORY = 3072
"""MiB at least. A loop that acquires a reference each time round costs the verifier most of a GiB
before it gives up, and there are two loaders at a time.
"""

Event = dict[str, Any]


def parse_event(line: str) -> Event | None:
    """A line of the guest's as an event, None if it is none (cut short, for example)."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("event"), str) else None


@dataclass(frozen=True)
class Bench:
    """What guests of a run have in common. ``ready`` is one of them. ``program`` is the run's own
    copy: other runs may throw away the set of files that it comes from.
    """

    ready: Ready
    program: Path
    sabotage: bool = False

    @property
    def patience(self) -> int:
        """Seconds that a child may take."""
        return round(PATIENCE_SECONDS * self.ready.plan.profile.configuration.slowness)

    def argv(self, *words: object) -> tuple[str, ...]:
        """A command for the guest."""
        argv = [str(self.program), *map(str, words)]
        argv += ["--events", GUEST_EVENTS, "--patience", str(self.patience)]
        argv += ["--sabotage"] if self.sabotage else []
        return tuple(argv)

    def command(self, argv: Sequence[str]) -> GuestCommand:
        """The same, as the guest runs it."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
        sysctls = self.ready.plan.profile.sysctls
        return GuestCommand(tuple(argv), PROJECT_ROOT, environment, sysctls=sysctls)


@dataclass
class Told:
    """What a guest has told: all events, how it ended, what its kernel complained about."""

    events: list[Event] = field(default_factory=list)
    end: GuestEnd | None = None
    splats: list[Splat] = field(default_factory=list)
    scan_error: str = ""

    def of(self, event: str) -> list[Event]:
        """The events of that name."""
        return [row for row in self.events if row["event"] == event]

    @property
    def lost(self) -> str:
        """Why the guest's program did not come to its end; "" if it did."""
        if self.end is None:
            return "The guest was not started."
        if self.end.outcome != EXITED:
            return self.end.detail
        if not self.of("end"):
            return f"The fuzz program stopped working: {self.end.detail} stderr.log says why."
        return ""


Boot = Callable[[GuestCommand, Listeners], Outcome]
"""Runs a command in a guest."""


def _nothing(what: object) -> None:
    pass


def listen_to(
    bench: Bench,
    boot: Boot,
    argv: Sequence[str],
    *,
    listen: Callable[[Event], None] = _nothing,
    signed_on: Callable[[float], None] = _nothing,
) -> Told:
    """Run the command in a guest, and take in its events. Raises what ``boot`` raises."""
    told = Told()

    def event(line: str) -> None:
        row = parse_event(line)
        if row is not None:
            told.events.append(row)
            listen(row)

    outcome = boot(bench.command(argv), Listeners(event=event, signed_on=signed_on))
    told.end = outcome.end
    told.splats = list(outcome.complaints)
    told.scan_error = outcome.scan_error
    return told


def run_apart(bench: Bench, directory: Path, argv: Sequence[str]) -> Told:
    """Run the command in another guest, whose streams go to ``directory``."""
    ready = bench.ready.elsewhere(directory)
    return listen_to(bench, lambda command, ears: guests.session(ready, command, ears), argv)


def run_cases(bench: Bench, directory: Path, cases: Sequence[Case]) -> Told:
    """Run cases one after the other in one guest."""
    share = directory / SHARE
    share.mkdir(parents=True, exist_ok=True)
    (share / CASES).write_text("".join(case.text() for case in cases), encoding="ascii")
    return run_apart(bench, directory, bench.argv("case", f"{GUEST_SHARE}/{CASES}"))
