# SPDX-License-Identifier: MIT
"""Makes a case small while it still shows what it was kept for: delta debugging over its parts.

A question is a list of candidates, the answer the numbers of those that still show it; one question
is one guest, so as many candidates as possible are put into one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.jobs.fuzz.case import Case, classic_without, decode, without

Oracle = Callable[[Sequence[Case]], Sequence[int]]

PLAIN: tuple[tuple[str, Any], ...] = (
    ("beneath", "nobody"),
    ("above", "nobody"),
    ("filter_flags", 0),
    ("prog_flags", 0),
    ("scope", 1),
    ("fd_array_cnt", 0),
    ("unprivileged_bpf_disabled", 0),
    ("drops_capabilities", 0),
    ("no_new_privs", 1),
    ("gpl", 1),
    ("attach_type", 0),
    ("loader", "root"),
)
"""Fields, and the value that needs no explanation."""


@dataclass(frozen=True)
class Part:
    """A list in a case, of which things can be left out: how many it has, and the case without
    some of them, by number.
    """

    name: str
    count: Callable[[Case], int]
    without: Callable[[Case, set[int]], Case]


def _without_calls(case: Case, removed: set[int]) -> Case:
    kept = [call for n, call in enumerate(case.fields["call"]) if n not in removed]
    return case.with_(call=kept)


def _without_classic(case: Case, removed: set[int]) -> Case:
    # No eBPF instructions: the guest translates what is left.
    return case.with_(classic=classic_without(case.fields["classic"], removed), insn=[])


def _without_insns(case: Case, removed: set[int]) -> Case:
    return case.with_(insn=without(case.fields["insn"], removed))


CALLS = Part("system calls", lambda case: len(case.fields["call"]), _without_calls)
CLASSIC = Part("classic instructions", lambda case: len(case.fields["classic"]), _without_classic)
INSNS = Part("instructions", lambda case: len(decode(case.fields["insn"])), _without_insns)


def parts(case: Case) -> tuple[Part, ...]:
    """What can be made smaller. The translation of a classic program follows from that program."""
    return (CALLS, CLASSIC) if case.differential else (CALLS, INSNS)


def minimise(case: Case, oracle: Oracle) -> Case:
    """A case from which nothing more can be left out alone. ``case`` has to show it."""
    if case.differential:
        translated = case.with_(insn=[])
        # The translator may have been at fault in a way that it is no longer.
        case = translated if oracle([translated]) else case
    before = None
    while before != case:
        before = case
        for part in parts(case):
            case = shrink(case, part, oracle)
        case = plainer(case, oracle)
    return case


def shrink(case: Case, part: Part, oracle: Oracle) -> Case:
    """Leave out chunks of a part, large ones first."""
    size = max(1, part.count(case) // 2)
    while part.count(case):
        chunks = list(_chunks(part.count(case), size))
        hits = oracle([part.without(case, chunk) for chunk in chunks])
        if hits:
            case = _together(case, part, [chunks[hit] for hit in hits], oracle)
            size = min(size, max(1, part.count(case) // 2))
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return case


def _chunks(count: int, size: int) -> Iterator[set[int]]:
    for start in range(0, count, size):
        yield set(range(start, min(count, start + size)))


def _together(case: Case, part: Part, removable: list[set[int]], oracle: Oracle) -> Case:
    """Without as many as possible of the chunks, each of which can be left out alone."""
    while len(removable) > 1:
        unions, n = [], len(removable)
        while n > 1:
            unions.append(set().union(*removable[:n]))
            n //= 2
        hits = oracle([part.without(case, union) for union in unions])
        if hits:
            return part.without(case, unions[min(hits)])
        break
    return part.without(case, removable[0])


def plainer(case: Case, oracle: Oracle) -> Case:
    """Set fields to what needs no explanation: all at once, else one after the other."""
    open_ = [(name, value) for name, value in PLAIN if case.fields[name] != value]
    while open_:
        candidates = [case.with_(**dict(open_)), *(case.with_(**{n: v}) for n, v in open_)]
        hits = oracle(candidates)
        if not hits:
            break
        case = candidates[min(hits)]
        open_ = [] if min(hits) == 0 else [open_[hit - 1] for hit in hits if hit > min(hits)]
    return case
