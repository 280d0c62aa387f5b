# SPDX-License-Identifier: MIT
"""What changed between the figures of two runs: benchmarks and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lab.report.compare.changes import BETTER, OTHER, WORSE, Change, Group, pairs
from lab.runs import bench_figures
from lab.runs import size_figures as sizes_model
from lab.runs.bench_figures import MeasuredRatio, MeasuredRow, MeasuredTable, short
from lab.runs.run import Run
from lab.runs.size_figures import OFF, Pair

BENCH_SHARE = 0.05
GROWTH_BYTES = 256

EMULATED = "tcg"
"""Under it only ratios within one run mean something."""


@dataclass(frozen=True)
class Judged:
    """What of two runs' figures can be for the worse: that something is ``measured`` at all,
    ``ratios``, and ``absolute`` figures.
    """

    measured: bool
    ratios: bool
    absolute: bool


def benchmarks(old: Run, new: Run) -> Group | None:
    """Benchmark figures; None if neither run has any. Raises LabError if they cannot be read."""
    before, after = bench_figures.of(old), bench_figures.of(new)
    if before is None and after is None:
        return None
    rule = (
        f"A figure or a ratio has changed if the spreads do not overlap and the medians differ by "
        f"{BENCH_SHARE:.0%} at least. That is worse, or better, where the unit of a figure or the "
        "goal of a ratio says which way, and both runs were in the same kind of guest with as many "
        "samples and calls; of figures, if that was not emulated. Worse as well: what is no longer "
        "measured."
    )
    if before is None or after is None:
        which = new.id if before is None else old.id
        return Group("Benchmarks", rule, (), (f"Only {which} has figures.",), False)
    was, now = dict(before.facts), dict(after.facts)
    notes = [
        f"Nothing is judged: {name} differs ({was.get(name, '?')}, {now.get(name, '?')})."
        for name in ("accelerator", "cpu", "jit")
        if was.get(name) != now.get(name)
    ]
    same = not notes
    emulated = EMULATED in (was.get("accelerator"), now.get("accelerator"))
    if same and emulated:
        notes.append(
            f"Ratios are judged and figures are not: the guests were emulated ({EMULATED})."
        )
    changes: list[Change] = []
    tables = ({table.name: table for table in bench.tables} for bench in (before, after))
    for name, one, other in pairs(*tables):
        if one is None or other is None:
            changes.append(Change("added" if one is None else "gone", f"benchmark {name}", "", ""))
            continue
        unlike = _unlike(one, other)
        if same and unlike:
            notes.append(f"{name} is not judged: {unlike}.")
        judged = Judged(same, same and not unlike, same and not unlike and not emulated)
        changes += _rows(one, other, judged)
        changes += _ratios(one, other, judged.ratios)
    return Group("Benchmarks", rule, tuple(changes), tuple(notes))


def _unlike(old: MeasuredTable, new: MeasuredTable) -> str:
    """The first row that was measured in both runs and not alike, in words; "" if there is none."""
    keyed = ({(row.label, row.group, row.x): row for row in table.rows} for table in (old, new))
    for _, before, after in pairs(*keyed):
        if before is None or after is None or before.median is None or after.median is None:
            continue
        was, now = (f"{row.samples} of {row.calls} calls" for row in (before, after))
        if was != now:
            return f"the samples of {after.label} were {was}, and are {now}"
    return ""


def better_is_less(unit: str) -> bool | None:
    """Whether less is better of a unit; None if it does not say."""
    if re.search(r"/ ?s\b|per second", unit):
        return False
    return True if re.match(r"(?:[nuµm]?s|seconds|cycles|instructions|bytes)\b", unit) else None


def _rows(old: MeasuredTable, new: MeasuredTable, judged: Judged) -> Iterator[Change]:
    keyed = ({(row.label, row.group, row.x): row for row in table.rows} for table in (old, new))
    for (label, _, x), before, after in pairs(*keyed):
        name = f"{new.name}: {label}" + ("" if x is None else f", {x:g}")
        if before is None or after is None:
            yield Change("added" if before is None else "gone", name, _told(before), _told(after))
        elif before.median is not None and after.median is None:
            worth = WORSE if judged.measured else OTHER
            yield Change("no longer measured", name, _told(before), after.note, worth)
        elif before.median is None and after.median is not None:
            yield Change("now measured", name, before.note, _told(after))
        elif _apart(before, before.median, after, after.median):
            yield _measured(name, before, after, new.unit, judged.absolute)


def _measured(name: str, old: MeasuredRow, new: MeasuredRow, unit: str, judged: bool) -> Change:
    assert old.median is not None
    assert new.median is not None
    less, fell = better_is_less(unit), new.median < old.median
    kind, worth = f"{new.median / old.median - 1:+.0%}", OTHER
    if less is not None:
        good = fell == less
        kind = f"figure that got {'better' if good else 'worse'}"
        worth = OTHER if not judged else BETTER if good else WORSE
    return Change(kind, name, f"{_told(old)} {unit}", f"{_told(new)} {unit}", worth)


def _apart(
    old: MeasuredRow | MeasuredRatio,
    was: float | None,
    new: MeasuredRow | MeasuredRatio,
    now: float | None,
) -> bool:
    """Whether two figures differ by more than their spreads, and by enough to matter."""
    if was is None or now is None or was <= 0:
        return False
    old_low, old_high = (was if edge is None else edge for edge in (old.low, old.high))
    new_low, new_high = (now if edge is None else edge for edge in (new.low, new.high))
    overlap = new_low <= old_high and old_low <= new_high
    return not overlap and abs(now / was - 1) >= BENCH_SHARE


def _told(row: MeasuredRow | None) -> str:
    if row is None:
        return ""
    if row.median is None:
        return "not measured"
    return f"{short(row.median)} ({short(row.low)} to {short(row.high)})"


def _ratios(old: MeasuredTable, new: MeasuredTable, judged: bool) -> Iterator[Change]:
    keyed = ({ratio.label: ratio for ratio in table.ratios} for table in (old, new))
    for label, before, after in pairs(*keyed):
        if before is None or after is None or before.value is None or after.value is None:
            continue
        # A goal that is missed by what the spread covers is noise.
        if not _apart(before, before.value, after, after.value):
            continue
        was, now = (f"{short(one.value)} (goal {one.goal or 'none'})" for one in (before, after))
        kind, worth = "ratio", OTHER
        if after.goal is not None:
            good = (after.value < before.value) == after.goal.op.startswith("<")
            kind = f"ratio that got {'better' if good else 'worse'}"
            if after.goal.reached(before.value) != after.reached:
                kind = "goal reached" if after.reached else "goal missed"
            worth = OTHER if not judged else BETTER if good else WORSE
        yield Change(kind, f"{new.name}: {label}", was, now, worth)


# --- sizes -----------------------------------------------------------------------------------


def sizes(old: Run, new: Run) -> Group | None:
    """What the series adds to the kernel; None if neither run has measured it. Raises LabError if
    the figures cannot be read.
    """
    before, after = sizes_model.of(old), sizes_model.of(new)
    if before is None and after is None:
        return None
    rule = (
        "What the series adds to the base, before and after. Worse: "
        f"{GROWTH_BYTES} bytes more of text, data or bss, and an option that, off, left nothing "
        "behind and now does. Nothing is, if base version, toolchain or configuration differ."
    )
    if before is None or after is None:
        which = new.id if before is None else old.id
        return Group("Sizes", rule, (), (f"Only {which} has sizes.",), False)
    notes = tuple(
        f"Nothing is judged: {name} differs ({was or '?'}, {now or '?'})."
        for name, was, now in pairs(_built_of(old), _built_of(new))
        if was != now
    )
    known = {pair.name: pair for pair in before.pairs}
    changes: list[Change] = []
    for pair in after.pairs:
        if pair.name in known:
            changes += _grown(known[pair.name], pair)
            changes += _frames(known[pair.name], pair)
    if notes:
        changes = [replace(change, worth=OTHER) for change in changes]
    return Group("Sizes", rule, tuple(changes), notes)


def _built_of(run: Run) -> dict[str, str]:
    """What the sizes of a kernel depend on, besides the series."""
    made = run.manifest
    facts = {"base version": made.base.version, "config digest": made.config.digest}
    return {name: value for name, value in {**facts, **made.toolchain}.items() if value}


def _grown(old: Pair, new: Pair) -> Iterator[Change]:
    for kind in ("text", "data", "bss"):
        was, now = getattr(old.growth, kind), getattr(new.growth, kind)
        if was == now:
            continue
        worth = BETTER if now < was else OTHER
        if now - was >= GROWTH_BYTES:
            worth = WORSE
        word = "growth that increased" if now > was else "growth that decreased"
        yield Change(word, f"{new.name}: {kind}", f"{was:+d}", f"{now:+d}", worth)
    if new.name == OFF and old.same and not new.same:
        yield Change("no longer the same", "off", "nothing differs", "differs", WORSE)
    if new.name == OFF and new.same and not old.same:
        yield Change("now the same", "off", "differs", "nothing differs", BETTER)


def _frames(old: Pair, new: Pair) -> Iterator[Change]:
    known, found = (
        {(frame.object, frame.function): frame.after for frame in pair.frames}
        for pair in (old, new)
    )
    for key, was, now in pairs(known, found):
        if was != now:
            texts = ["" if size is None else f"{size} bytes" for size in (was, now)]
            yield Change("stack frame", f"{new.name}: {key[1]} ({key[0]})", texts[0], texts[1])
