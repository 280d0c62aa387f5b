# SPDX-License-Identifier: MIT
"""Run directories: one per run, named so that their order is the order of the runs."""

from __future__ import annotations

import contextlib
import datetime
import os
from pathlib import Path

from lab.core.cache import Cache
from lab.errors import UsageError
from lab.runs import journal
from lab.runs.kinds import COMMANDS

LAST = "last"

KTAP, JUNIT, HTML = "ktap.txt", "junit.xml", "report.html"
"""What a run directory has for tools and for people."""

COMPARISON = "compare.html"
"""What changed since another run."""

GUESTS = "guests"
"""The directory, in a run directory, that has one directory for each of several guests."""


def create(cache: Cache, kind: str) -> Path:
    """A new run directory; ``kind`` is the name of a kind of runs."""
    cache.runs.mkdir(parents=True, exist_ok=True)
    while True:
        # To the microsecond, less than one mkdir() takes: whole milliseconds held two runs.
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
        path = cache.runs / f"{stamp}-{os.getpid()}-{kind}"
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path


def known(cache: Cache) -> list[Path]:
    """The directories of all runs, the oldest first, but for those of `lab boot` and its like,
    which have nothing to report.
    """
    found = sorted(path.parent for path in cache.runs.glob(f"*/{journal.NAME}"))
    return [path for path in found if path.name.rpartition("-")[2] not in COMMANDS]


def find(cache: Cache, name: str) -> Path:
    """A run directory by path, id, a unique part of an id, or "last".

    Raises UsageError if there is none or more than one.
    """
    runs = known(cache)
    if name == LAST:
        if not runs:
            raise UsageError(f"There is no run in {cache.runs} yet.", hint="`lab test` makes one.")
        return runs[-1]
    given = Path(name)
    if (given / journal.NAME).is_file():
        return given
    matching = [path for path in runs if path.name == name] or [
        path for path in runs if name in path.name
    ]
    if len(matching) == 1:
        return matching[0]
    what = "There is no run" if not matching else f"{len(matching)} runs match"
    raise UsageError(f"{what} {name!r} in {cache.runs}.", hint="`lab runs` lists the runs.")
