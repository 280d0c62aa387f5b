# SPDX-License-Identifier: MIT
"""How long the stages of a run took, from the moments that its journal has.

A stage ends with an event, so it took from the event before it until its own: waiting for another
run that holds the same build directory is part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.runs import journal
from lab.runs.journal import View
from lab.runs.manifest import Manifest

STAGES = {
    "base": "fetch",
    "tree": "apply",
    "config": "config",
    "build": "build",
    "guest files": "guest files",
    journal.SEED: "collect",
}
"""The journal's moments, in their order, and what the time up to each was spent on."""

BOOT, TESTS, TOTAL = "boot", "tests", "whole run"


@dataclass(frozen=True)
class Timing:
    """A stage's ``seconds``, and what one has to know about them."""

    stage: str
    seconds: float
    note: str = ""


def timings(view: View, manifest: Manifest) -> list[Timing]:
    """The stages that a run came through, in their order; the last row is the whole run."""
    rows = [*_until_boot(view, manifest), *_guest(view)]
    if not rows:
        return []
    return [*rows, Timing(TOTAL, round(view.last - view.first, 1))]


def _until_boot(view: View, manifest: Manifest) -> Iterator[Timing]:
    before = view.first
    for name, stage in STAGES.items():
        moment = view.moments.get(name)
        if moment is None:
            continue
        # Journals of older runs have no moment between fetching and applying.
        label = "fetch, apply" if name == "tree" and "base" not in view.moments else stage
        yield Timing(label, round(moment - before, 1), _note(name, manifest))
        before = moment


def _note(name: str, manifest: Manifest) -> str:
    build = manifest.build
    if name != "build" or not build.objects:
        return ""
    if build.fresh:
        return f"{build.objects} steps"
    return f"was up to date; once took {build.seconds:g} s"


def _guest(view: View) -> Iterator[Timing]:
    boot, whole = view.guest.get("boot_seconds"), view.guest.get("seconds")
    if not isinstance(boot, int | float):
        return
    yield Timing(BOOT, round(float(boot), 1), "until the guest has signed on")
    if isinstance(whole, int | float):
        tests = sum(test.seconds for test in view.tests.values())
        note = f"the tests themselves {tests:.1f} s" if tests else ""
        yield Timing(TESTS, round(float(whole) - float(boot), 1), note)
