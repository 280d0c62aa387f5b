# SPDX-License-Identifier: MIT
"""Runs the guest's fuzz program in a guest, and takes in what it tells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core.deadline import Limits
from lab.core.session import Session
from lab.errors import LabError
from lab.guest import splats
from lab.guest.boot import CONSOLE_LOG, EXITED, SHARE, GuestEnd, Listeners, run_guest
from lab.guest.script import EVENTS, GUEST_SHARE, GuestCommand
from lab.guest.splats import Splat
from lab.jobs.fuzz.case import Case
from lab.kernel.pipeline import Accelerator, Kernel, Plan, guest_request

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
    """What guests of a run have in common. ``limits`` are for each of them. ``program`` is the
    run's own copy: other runs may throw away the set of files that it comes from.
    """

    session: Session
    plan: Plan
    kernel: Kernel
    accelerator: Accelerator
    limits: Limits
    program: Path
    sabotage: bool = False

    @property
    def patience(self) -> int:
        """Seconds that a child may take."""
        return round(PATIENCE_SECONDS * self.plan.profile.configuration.slowness)

    def argv(self, *words: object) -> tuple[str, ...]:
        """A command for the guest."""
        argv = [str(self.program), *map(str, words)]
        argv += ["--events", f"{GUEST_SHARE}/{EVENTS}", "--patience", str(self.patience)]
        argv += ["--sabotage"] if self.sabotage else []
        return tuple(argv)


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


def _nothing(what: object) -> None:
    pass


def run_in_guest(
    bench: Bench,
    directory: Path,
    argv: Sequence[str],
    *,
    listen: Callable[[Event], None] = _nothing,
    signed_on: Callable[[float], None] | None = None,
) -> Told:
    """Boot a guest whose streams go to ``directory``, run the command, scan its console.

    Raises LabError if the launcher cannot be started or the allowlist not be read.
    """
    allowlist = splats.load_allowlist()
    directory.mkdir(parents=True, exist_ok=True)
    told = Told()

    def event(line: str) -> None:
        row = parse_event(line)
        if row is not None:
            told.events.append(row)
            listen(row)

    request = guest_request(bench.plan, bench.kernel, bench.accelerator, directory, bench.limits)
    request = replace(request, memory=max(MEMORY, request.memory))
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    command = GuestCommand(
        tuple(argv), PROJECT_ROOT, environment, sysctls=bench.plan.profile.sysctls
    )
    told.end = run_guest(request, command, Listeners(event=event, signed_on=signed_on or _nothing))
    try:
        found = splats.scan_file(directory / CONSOLE_LOG, allowlist)
        told.splats = [splat for splat in found if splat.allowed is None]
    except LabError as error:
        told.scan_error = error.message
    return told


def run_cases(bench: Bench, directory: Path, cases: Sequence[Case]) -> Told:
    """Run cases one after the other in one guest."""
    share = directory / SHARE
    share.mkdir(parents=True, exist_ok=True)
    (share / CASES).write_text("".join(case.text() for case in cases), encoding="ascii")
    return run_in_guest(bench, directory, bench.argv("case", f"{GUEST_SHARE}/{CASES}"))
