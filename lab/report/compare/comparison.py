# SPDX-License-Identifier: MIT
"""What changed between two runs: what was run, results, times, figures.

Each group of changes says the rule by which something is a change, and by which it is a change for
the worse. Times never are: they depend on what else the machine did, and on what was built before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.errors import SEVERITY, ExitCode, UsageError
from lab.report.compare.changes import BETTER, OTHER, WORSE, Change, Group, pairs
from lab.report.compare.figures import benchmarks, sizes
from lab.report.parts import lost, parts, tested
from lab.report.timings import timings
from lab.runs.journal import Test
from lab.runs.kinds import BAD, GOOD, OPEN, SKIP
from lab.runs.manifest import Manifest, Patch
from lab.runs.run import Run

ONLY_OLD, ONLY_NEW = "only in the old run", "only in the new run"
"""Profiles; and tests, where the runs were not of the same part of the suite."""

STAGE_SECONDS, STAGE_SHARE = 5.0, 0.25
TEST_SECONDS, TEST_FACTOR = 1.0, 1.5


@dataclass(frozen=True)
class Comparison:
    """Two runs and what differs."""

    old: Run
    new: Run
    groups: tuple[Group, ...]

    @property
    def worse(self) -> list[Change]:
        """The changes for the worse."""
        return [
            change for group in self.groups for change in group.changes if change.worth == WORSE
        ]

    @property
    def headline(self) -> str:
        """The outcome in a line."""
        if not self.worse:
            return "nothing got worse"
        kinds = Counter(change.kind for change in self.worse)
        return "worse: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())


@dataclass(frozen=True)
class Side:
    """A run with its parts by profile: itself, as "", if it is no run of several. ``lost`` are
    profiles whose runs are no longer there.
    """

    run: Run
    parts: dict[str, Run]
    lost: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Side:
        """Load what belongs to a run."""
        if run.kind.parts:
            return cls(run, parts(run), lost(run))
        return cls(run, {"": run})

    @property
    def single(self) -> bool:
        """Whether it is no run of several profiles."""
        return "" in self.parts

    def only(self, other: Side) -> Side:
        """The part with the profile of ``other``. Raises UsageError if there is none."""
        name = other.run.manifest.profile.get("name")
        part = self.parts.get(str(name))
        if part is None:
            gone = f" The runs of {', '.join(self.lost)} are no longer there." if self.lost else ""
            raise UsageError(
                f"{self.run.id} has no profile {name!r} to compare with {other.run.id}.",
                hint=f"It has {', '.join(self.parts) or 'none'}.{gone}",
            )
        return Side(part, {"": part})

    @property
    def accelerator(self) -> str:
        """What ran the guest's instructions."""
        return tested(self.run, self.parts).accelerator.name


def compare(old: Run, new: Run) -> Comparison:
    """Everything that differs. Of a run of several profiles and one of a single profile, that
    profile is compared.

    Raises UsageError if they have no profile in common, LabError if a run's figures cannot be read.
    """
    before, after = Side.of(old), Side.of(new)
    if before.single and not after.single:
        after = after.only(before)
    elif after.single and not before.single:
        before = before.only(after)
    groups = (
        _what_was_run(before, after),
        _verdicts(before, after),
        _tests(before, after),
        _times(before, after),
        benchmarks(before.run, after.run),
        sizes(before.run, after.run),
    )
    found = tuple(group for group in groups if group is not None)
    return Comparison(before.run, after.run, found)


# --- what was run ----------------------------------------------------------------------------


def _what_was_run(old: Side, new: Side) -> Group:
    before, after = (tested(side.run, side.parts) for side in (old, new))
    changes = [
        Change("differs", name, told(before), told(after))
        for name, told in FACTS.items()
        if told(before) != told(after)
    ]
    for profile, was, now in pairs(old.parts, new.parts):
        if profile and was is not None and now is not None:
            digests = [FACTS["config digest"](part.manifest) for part in (was, now)]
            if digests[0] != digests[1]:
                changes.append(
                    Change("differs", f"config digest of {profile}", digests[0], digests[1])
                )
    changes += _patches(before, after)
    changes += _versions("tools", before.tools, after.tools)
    changes += _versions("toolchain", before.toolchain, after.toolchain)
    rule = "Patches are compared by git-patch-id(1): a new commit or date is no change."
    return Group("What was run", rule, tuple(changes))


def _joined(values: Sequence[str]) -> str:
    return ", ".join(values)


def _number(value: int) -> str:
    return str(value) if value else ""


FACTS: dict[str, Callable[[Manifest], str]] = {
    "kind": lambda run: run.kind,
    "project": lambda run: run.project,
    "base": lambda run: run.base.name,
    "base version": lambda run: run.base.version,
    "base digest": lambda run: run.base.digest,
    "local changes": lambda run: _joined(run.tree.local),
    "profile": lambda run: str(run.profile.get("name", "")),
    "profiles": lambda run: _joined(run.profiles),
    "kernel": lambda run: run.build.release,
    "config digest": lambda run: run.config.digest,
    "fragments": lambda run: _joined(run.config.fragments),
    "accelerator": lambda run: run.accelerator.name,
    "processors": lambda run: _number(run.guest.cpus),
    "memory, MiB": lambda run: _number(run.guest.memory),
    "kernel arguments": lambda run: _joined(run.guest.kernel_args),
    "suite": lambda run: run.guest.command,
}
"""What is compared of two manifests, apart from patches and tools."""


def _patches(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.applied, after.applied
    old_ids = {patch.patch_id for patch in old}
    new_ids = {patch.patch_id for patch in new}
    left = {patch.title: patch for patch in old if patch.patch_id not in new_ids}
    for patch in new:
        if patch.patch_id in old_ids:
            continue
        other = left.pop(patch.title, None)
        kind = "added" if other is None else "changed"
        yield Change(kind, f"patch {patch.number}: {patch.title}", _id(other), _id(patch))
    for title, patch in left.items():
        yield Change("gone", f"patch {patch.number}: {title}", _id(patch), "")


def _id(patch: Patch | None) -> str:
    return patch.patch_id[:12] if patch else ""


def _versions(key: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name, was, now in pairs(old, new):
        if was != now:
            yield Change("differs", f"{key}: {name}", str(was or ""), str(now or ""))


# --- results ---------------------------------------------------------------------------------


def _severity(run: Run) -> int:
    # Without a verdict it was lost.
    code = ExitCode.INFRA if run.code is None else run.code
    return SEVERITY.index(ExitCode(code)) if code in set(ExitCode) else len(SEVERITY)


def _verdicts(old: Side, new: Side) -> Group:
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
    """Of runs of other profiles the verdict is another, neither better nor worse."""
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


def _tests(old: Side, new: Side) -> Group:
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


# --- times -----------------------------------------------------------------------------------


def _times(old: Side, new: Side) -> Group:
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


# --- as text ---------------------------------------------------------------------------------

SHOWN, FEW = 20, 3
"""Changes of one kind that are listed on the console before it says how many more there are; and
of tests that were not chosen.
"""


def text(comparison: Comparison) -> list[str]:
    """The comparison for the console."""
    lines = [
        f"old: {comparison.old.id}: {comparison.old.headline}",
        f"new: {comparison.new.id}: {comparison.new.headline}",
    ]
    for group in comparison.groups:
        lines += ["", f"{group.title}: {group.summary}"]
        lines += [f"  {note}" for note in group.notes]
        lines += _listed(group.changes)
    return [*lines, "", comparison.headline]


def _listed(changes: Sequence[Change]) -> Iterator[str]:
    for kind in dict.fromkeys(change.kind for change in changes):
        of_kind = [change for change in changes if change.kind == kind]
        shown = FEW if kind in (ONLY_OLD, ONLY_NEW) else SHOWN
        for change in of_kind[:shown]:
            mark = {WORSE: "!", BETTER: "+"}.get(change.worth, " ")
            yield f"{mark} {kind}: {change.what}{_arrow(change)}"
        if len(of_kind) > shown:
            yield f"  {kind}: and {len(of_kind) - shown} more"


def _arrow(change: Change) -> str:
    if not change.before and not change.after:
        return ""
    return f" ({change.before or '-'} -> {change.after or '-'})"
