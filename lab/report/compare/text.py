# SPDX-License-Identifier: MIT
"""A comparison in lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.report.compare.changes import BETTER, WORSE, Change
from lab.report.compare.comparison import Comparison
from lab.report.compare.results import ONLY_NEW, ONLY_OLD

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
