# SPDX-License-Identifier: MIT
"""Verdicts, splats and tests of two runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.errors import SEVERITY, ExitCode
from lab.report.compare.changes import BETTER, OTHER, WORSE, Change, Group, pairs
from lab.report.compare.side import Side
from lab.runs.journal import Test
from lab.runs.kinds import BAD, GOOD, OPEN, SKIP
from lab.runs.run import Run

ONLY_OLD, ONLY_NEW = "only in the old run", "only in the new run"
"""Profiles; and tests, where the runs were not of the same part of the suite."""


def _severity(run: Run) -> int:
    # Without a verdict it was lost.
    code = ExitCode.INFRA if run.code is None else run.code
    return SEVERITY.index(ExitCode(code)) if code in set(ExitCode) else len(SEVERITY)


def verdicts(old: Side, new: Side) -> Group:
    same = old.run.manifest.profiles == new.run.manifest.profiles
    changes = [
        _verdict(f"profile {name}" if name else "the run", before, after, bool(name) or same)
        for name, before, after in pairs({"": old.run, **old.parts}, {"": new.run, **new.parts})
        if before is not None and after is not None and _severity(before) != _severity(after)
    ]
    known, found = _splats(old), _splats(new)
    for mark, headline in found.items():
        if mark not in known:
            changes.append(Change("new complaint of the kernel", headline, "", headline, WORSE))
    for mark, headline in known.items():
        if mark not in found:
            changes.append(Change("no longer", headline, headline, "", BETTER))
    return Group(
        "Verdict", "Numbers and addresses in what the kernel says are let go.", tuple(changes)
    )


def _verdict(what: str, old: Run, new: Run, judged: bool) -> Change:
    """Verdicts of different profiles are different, neither better nor worse."""
    if not judged:
        return Change("other verdict", what, old.headline, new.headline)
    worse = _severity(new) > _severity(old)
    kind = "worse verdict" if worse else "better verdict"
    return Change(kind, what, old.headline, new.headline, WORSE if worse else BETTER)


def _splats(side: Side) -> dict[str, str]:
    """What the kernel said and is not allowed: without numbers, and as it is."""
    return {
        re.sub(r"0x[0-9a-f]+|\d+", "N", headline): headline
        for part in side.parts.values()
        for splat in part.view.splats
        if not splat.get("allowed")
        for headline in [f"{splat.get('kind')}: {splat.get('headline')}"]
    }


def tests(old: Side, new: Side) -> Group:
    changes: list[Change] = []
    notes = []
    for profile, before, after in pairs(old.parts, new.parts):
        if before is not None and after is not None:
            changes += _of_part(profile, before, after)
        elif profile not in (*old.lost, *new.lost):
            kind, part = (ONLY_OLD, before) if before else (ONLY_NEW, after)
            assert part is not None
            told = ("", part.headline) if before is None else (part.headline, "")
            changes.append(Change(kind, f"profile {profile}", *told))
    if old.single and new.single and old.run.kind.name != new.run.kind.name:
        notes.append(
            f"The kinds differ: {old.run.kind.name}, {new.run.kind.name}. Each run's tests are "
            "judged by its own; what ended as expected in both is neither better nor worse."
        )
    for side in (old, new):
        if side.lost:
            names = ", ".join(side.lost)
            notes.append(f"Not compared: of {side.run.id} the runs of {names} were removed.")
    order = {WORSE: 0, BETTER: 1, OTHER: 2}
    changes.sort(key=lambda change: (order[change.worth], change.kind))
    rule = (
        "Worse is a test that fails and did not before or was not there, one that no longer ends, "
        "one that is now skipped, and one that passed and is gone, if both runs ran all of the "
        "suite, selected alike, with the same patches applied. What a state is worth depends on "
        "the run: a control has to be without the features. Profiles that only one of them ran are "
        "named and not compared."
    )
    return Group("Tests", rule, tuple(changes), tuple(notes))


def _of_part(profile: str, old: Run, new: Run) -> Iterator[Change]:
    """The changes of a profile's tests, or of those of a single run."""
    missed = _all_of(old) is not None and _all_of(old) == _all_of(new)
    for identity, was, now in pairs(old.view.tests, new.view.tests):
        name = f"{profile}: {identity}" if profile else identity
        before, after = (
            None if test is None else (test, run.judge(test))
            for run, test in ((old, was), (new, now))
        )
        if before is None:
            assert after is not None
            yield _added(name, *after, missed)
        elif after is None:
            worth = WORSE if missed and before[1] == GOOD else OTHER
            kind = "gone" if missed else ONLY_OLD
            yield Change(kind, name, before[0].state, "", worth)
        elif before[0].state != after[0].state or before[1] != after[1]:
            yield _changed(name, before, after)


def _all_of(run: Run) -> tuple[object, ...] | None:
    """What a run that left nothing out by hand was of: selection and patches; None of others. Of
    patches the numbers: an edited one is to pass the same tests.
    """
    guest = run.manifest.guest
    numbers = tuple(patch.number for patch in run.manifest.applied)
    return (guest.command, numbers) if guest.whole else None


def _added(name: str, test: Test, worth: str, missed: bool) -> Change:
    if worth in (BAD, OPEN):
        return Change("added, and failing", name, "", test.state, WORSE)
    return Change("added" if missed else ONLY_NEW, name, "", test.state)


def _changed(name: str, before: tuple[Test, str], after: tuple[Test, str]) -> Change:
    kind, worth = KINDS.get((_side(before[1]), _side(after[1])), ("changed", OTHER))
    return Change(kind, name, before[0].state, after[0].state, worth)


def _side(worth: str) -> str:
    return BAD if worth == OPEN else worth


KINDS = {
    (GOOD, BAD): ("newly failing", WORSE),
    (SKIP, BAD): ("newly failing", WORSE),
    (BAD, GOOD): ("newly passing", BETTER),
    (GOOD, SKIP): ("now skipped", WORSE),
    (SKIP, GOOD): ("no longer skipped", BETTER),
    (BAD, SKIP): ("skipped instead of failing", OTHER),
}
"""What a test was worth and is worth, to what that is called."""
