# SPDX-License-Identifier: MIT
"""Changes between two runs, in groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

WORSE, BETTER, OTHER = "worse", "better", "other"


@dataclass(frozen=True)
class Change:
    """``kind`` is a word or two such as "newly failing"; ``worth`` is one of the above."""

    kind: str
    what: str
    before: str
    after: str
    worth: str = OTHER


@dataclass(frozen=True)
class Group:
    """Changes of one sort, and the ``rule`` for them. ``notes`` say what one has to know about
    them; ``compared`` False: there was nothing to compare with.
    """

    title: str
    rule: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    compared: bool = True

    @property
    def summary(self) -> str:
        """Changes by kind, in words."""
        if not self.compared:
            return "not compared"
        kinds = Counter(change.kind for change in self.changes)
        return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no difference"


def pairs(old: Mapping[Any, T], new: Mapping[Any, T]) -> Iterator[tuple[Any, T | None, T | None]]:
    """Key by key, those of the new one first."""
    for name in dict.fromkeys((*new, *old)):
        yield name, old.get(name), new.get(name)
