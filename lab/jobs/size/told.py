# SPDX-License-Identifier: MIT
"""The sizes in plain text, and the verdict on them."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import ExitCode
from lab.runs.size_figures import OFF, ON, Pair, Sizes
from lab.runs.verdict import Verdict

SHOWN = 15
"""Rows of a list before the text says how many more there are; size.json has all."""


def decide(sizes: Sizes) -> Verdict:
    """Passed if the series with its option off adds nothing to the base."""
    on, off = sizes.pair(ON), sizes.pair(OFF)
    grown = f"on: {on.growth}" if on else "on: not measured"
    if off is None:
        return Verdict(ExitCode.INFRA, "infrastructure: the option was not turned off")
    if off.same:
        return Verdict(ExitCode.PASSED, f"passed: off: nothing differs but noise; {grown}")
    reasons = [f"off: {name}: {change}" for name, change in _differences(off)]
    return Verdict(
        ExitCode.FAILED,
        f"failed: off: {len(reasons)} sections, objects and symbols differ; {grown}",
        tuple(reasons[:SHOWN]),
    )


def _differences(pair: Pair) -> Iterator[tuple[str, str]]:
    for section in pair.differing:
        yield f"section {section.name}", f"{section.after - section.before:+d} bytes"
    for changed in pair.grown:
        yield changed.name, str(changed.growth)
    for symbol in pair.strays:
        yield symbol.name, f"{symbol.growth:+d} bytes"


def text(sizes: Sizes) -> list[str]:
    """All that matters, line by line."""
    lines = []
    for pair in sizes.pairs:
        lines += [f"{sizes.option} {pair.name}, against the base: {pair.growth}", *_pair(pair)]
    if sizes.frame_warn:
        lines.append(f"the compiler warns of frames above {sizes.frame_warn} bytes")
    return lines


def _pair(pair: Pair) -> Iterator[str]:
    yield from _some("  configuration: ", pair.config)
    yield from _some(
        "  section ",
        [
            f"{s.name}: {s.before} -> {s.after} ({s.after - s.before:+d})"
            + (f": {s.noise}" if s.noise else "")
            for s in pair.sections
        ],
    )
    total = pair.symbols.after - pair.symbols.before
    yield f"  symbols: {len(pair.symbols.symbols)} differ, {total:+d} bytes in all"
    for changed in pair.objects:
        state = "" if changed.before and changed.after else " (not built in both)"
        yield f"  {changed.name}: {changed.growth}{state}"
    ordered = sorted(pair.symbols.symbols, key=lambda symbol: -abs(symbol.growth))
    yield from _some(
        "  symbol ",
        [f"{s.name}: {_or(s.before)} -> {_or(s.after)} ({s.growth:+d})" for s in ordered],
    )
    yield from _some(
        "  stack ",
        [
            f"{f.function} ({f.object}): {_or(f.before)} -> {_or(f.after)}"
            + (" and more, dynamic" if f.dynamic else "")
            for f in pair.frames
        ],
    )
    yield f"  largest frame in these objects: {pair.largest[0]} -> {pair.largest[1]} bytes"


def _or(value: int | None) -> str:
    return "-" if value is None else str(value)


def _some(label: str, rows: list[str] | tuple[str, ...]) -> Iterator[str]:
    for row in rows[:SHOWN]:
        yield f"{label}{row}"
    if len(rows) > SHOWN:
        yield f"{label}... and {len(rows) - SHOWN} more"
