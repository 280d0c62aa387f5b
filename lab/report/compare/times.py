# SPDX-License-Identifier: MIT
"""Stages and tests that took another time."""

from __future__ import annotations

from collections.abc import Iterator

from lab.report.compare.changes import Change, Group, pairs
from lab.report.compare.side import Side
from lab.report.timings import timings

STAGE_SECONDS, STAGE_SHARE = 5.0, 0.25
TEST_SECONDS, TEST_FACTOR = 1.0, 1.5


def times(old: Side, new: Side) -> Group:
    changes = [*_stages(old, new), *_test_times(old, new)]
    notes = []
    if old.accelerator != new.accelerator:
        notes.append(
            f"The accelerators differ: {old.accelerator or '?'}, {new.accelerator or '?'}."
        )
    rule = (
        f"Stages that differ by {STAGE_SECONDS:g} s and {STAGE_SHARE:.0%} at least, tests by "
        f"{TEST_SECONDS:g} s and a factor of {TEST_FACTOR:g}. Never a change for the worse: times "
        "depend on what else the machine did, and on what was built before."
    )
    return Group("Times", rule, tuple(changes), tuple(notes))


def _stages(old: Side, new: Side) -> Iterator[Change]:
    before, after = (
        {row.stage: row.seconds for row in timings(side.run.view, side.run.manifest)}
        for side in (old, new)
    )
    for stage, was, now in pairs(before, after):
        if was is None or now is None:
            continue
        if abs(now - was) >= max(STAGE_SECONDS, STAGE_SHARE * was):
            yield _time(f"stage {stage}", was, now)


def _test_times(old: Side, new: Side) -> Iterator[Change]:
    for profile, one, other in pairs(old.parts, new.parts):
        if one is None or other is None:
            continue
        for identity, before, after in pairs(one.view.tests, other.view.tests):
            if before is None or after is None or not (before.done and after.done):
                continue
            was, now = before.seconds, after.seconds
            if abs(now - was) >= TEST_SECONDS and max(was, now) >= TEST_FACTOR * min(was, now):
                yield _time(f"{profile}: {identity}" if profile else identity, was, now)


def _time(what: str, was: float, now: float) -> Change:
    return Change("slower" if now > was else "faster", what, f"{was:.1f} s", f"{now:.1f} s")
