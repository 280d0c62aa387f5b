# SPDX-License-Identifier: MIT
"""A profile's rules by system call number, for each architecture that programs may use.

What libseccomp does with them, as its documentation has it and its filters show:

* a rule without conditions is the call's verdict, whatever other rules say, and of several such
  the first;
* where registers have 32 bits (x32's count as such), arguments are compared by their lower halves;
* on x86 a socket or ipc call is two: one with a number of its own, and one through socketcall(2) or
  ipc(2), whose first argument says which. Conditions go along, though what is in those arguments
  is something else.

In which order it looks at conditions that contradict each other it does not say: that is refused.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from selftests.gallery import calls
from selftests.gallery.container_profile_json import Condition, Profile, ProfileError, Rule

X32 = "SCMP_ARCH_X32"
X86 = "SCMP_ARCH_X86"

TRANSLATED = ("SCMP_ARCH_X86_64", X86, X32, "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
              "SCMP_ARCH_RISCV64")  # fmt: skip
"""Others have calls within calls of their own, or their own order of bytes."""

MULTIPLEXED = ((range(-120, -100), 100, 102), (range(-224, -200), 200, 117))
"""On x86: libseccomp's numbers for socket and ipc calls, what they count from, and the number of
socketcall(2) and ipc(2), <linux/net.h>, <linux/ipc.h>.
"""

EVERY_NUMBER = range(1024)


@dataclass(frozen=True)
class Table:
    """Rules by number for one architecture; ``bits`` is how wide its registers are compared."""

    arch: str
    token: int
    bits: int
    rules: Mapping[int, tuple[Rule, ...]]


def tables(profile: Profile) -> tuple[Table, ...]:
    """One table for each architecture. Raises ProfileError for what cannot be translated."""
    return tuple(_table(profile, arch) for arch in profile.arches)


def _table(profile: Profile, arch: str) -> Table:
    if arch not in TRANSLATED:
        raise ProfileError(f"{arch} is not translated; what is: {', '.join(TRANSLATED)}")
    token = calls.arch_token(arch)
    bits = 64 if token & 0x80000000 else 32
    by_number: defaultdict[int, list[Rule]] = defaultdict(list)
    for rule in profile.rules:
        for number, wanted in _numbered(rule, arch, token):
            by_number[number].append(wanted)
    found = {number: _settled(rules, bits) for number, rules in sorted(by_number.items())}
    return Table(arch, token, bits, found)


def _numbered(rule: Rule, arch: str, token: int) -> list[tuple[int, Rule]]:
    """The numbers that a rule is about: none if the architecture has no such call."""
    number = calls.number_of(rule.name, token)
    if number is None:
        # Newer than this libseccomp, or misspelt: runtimes leave it out, and so the default holds.
        return []
    if arch != X86:
        return [(number, rule)] if number >= 0 else []
    found = [(direct, rule) for direct in _direct(rule.name, number, token)]
    for numbers, base, call in MULTIPLEXED:
        if number in numbers:
            first = Condition(0, "SCMP_CMP_EQ", -number - base)
            rest = (one for one in rule.conditions if one.index != 0)
            found.append((call, replace(rule, conditions=(first, *rest))))
    return found


def _direct(name: str, number: int, token: int) -> Sequence[int]:
    return (number,) if number >= 0 else _by_name(token).get(name, ())


@functools.cache
def _by_name(token: int) -> Mapping[str, tuple[int, ...]]:
    """The numbers that the kernel has for each name."""
    found: defaultdict[str, tuple[int, ...]] = defaultdict(tuple)
    for number in EVERY_NUMBER:
        found[calls.name(number, token)] += (number,)
    return found


def _settled(rules: Sequence[Rule], bits: int) -> tuple[Rule, ...]:
    """The rules of one number, without what does not count. Raises ProfileError."""
    plain = [rule for rule in rules if not rule.conditions]
    if plain:
        return (plain[0],)
    # What is said twice is said once.
    kept = list({(rule.action, rule.conditions): rule for rule in rules}.values())
    for one, other in itertools.combinations(kept, 2):
        if one.action != other.action and _may_both_hold(one, other, bits):
            raise ProfileError(
                f"{one.name}: {one.entry} and {other.entry} contradict each other where both hold"
            )
    return tuple(kept)


def _may_both_hold(one: Rule, other: Rule, bits: int) -> bool:
    by_index: defaultdict[int, list[Condition]] = defaultdict(list)
    for condition in (*one.conditions, *other.conditions):
        by_index[condition.index].append(condition)
    return all(
        any(all(condition.holds(value, bits) for condition in each) for value in around(each))
        for each in by_index.values()
    )


def around(conditions: Iterable[Condition]) -> list[int]:
    """64-bit arguments on both sides of what the conditions look for, in each half of a register:
    for any of their outcomes that is possible there is one that has it.
    """
    values = {0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1}
    for one in conditions:
        if one.mask == 2**64 - 1:
            values |= {one.value - 1, one.value, one.value + 1}
            values |= {one.value ^ 1 << bit for bit in (31, 32, 63)}
        else:
            values |= {one.value & one.mask, one.value | (~one.mask & 2**64 - 1)}
            values |= {value ^ 1 << bit for value in (one.value & one.mask, one.value | ~one.mask)
                       for bit in range(64) if one.mask >> bit & 1}  # fmt: skip
    return sorted({value % 2**64 for value in values})
