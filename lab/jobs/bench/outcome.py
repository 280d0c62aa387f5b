# SPDX-License-Identifier: MIT
"""From what the guests of a run have told to bench.json, its text, and the verdict of --ab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lab.errors import ExitCode
from lab.jobs.bench import compare, result
from lab.jobs.bench.request import BenchOptions, Boot
from lab.jobs.bench.result import Collected
from lab.kernel.plan import BASE, SERIES
from lab.runs.manifest import Accelerator
from lab.runs.verdict import Verdict


@dataclass(frozen=True)
class Measured:
    """The guests of a run in their order, and what each has told."""

    options: BenchOptions
    accelerator: Accelerator
    boots: tuple[Boot, ...]
    collected: tuple[Collected, ...]

    def comparisons(self) -> list[compare.Comparison]:
        """The comparisons of the boots that ended: some of the rounds are no median of a boot."""
        boots = []
        for boot, collected in zip(self.boots, self.collected, strict=True):
            (table,) = boot.tables
            ended = table.rows if collected.ended else ()
            rows = {row.key: collected.of(table.identity(row)) for row in ended}
            boots.append((BASE if boot.plan.control else SERIES, rows))
        return compare.comparisons(boots)

    def document(self) -> tuple[dict[str, Any], list[str]]:
        """bench.json, and the lines of bench.txt."""
        guest = next((one.guest for one in reversed(self.collected) if one.guest), {})
        about = [_about(guest)] if guest else []
        tables, notes = self._compared() if self.options.both else self._measured()
        chosen = () if self.options.both else self.boots[0].tables
        references = {table.name: table.reference for table in chosen}
        whole = result.document(asdict(self.accelerator), guest, [*about, *notes], tables)
        return whole, result.text(whole, references)

    def _measured(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Tables and notes of one guest."""
        chosen, calls = self.boots[0].tables, self.options.calls
        return [result.table_document(table, self.collected[0], calls) for table in chosen], [
            f"{self.options.rounds} rounds; a row's low and high are its extremes.",
            *(note for table in chosen for note in table.notes),
            "Ratios are taken round by round; they are medians of those.",
        ]

    def _compared(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Table and notes of both kernels."""
        found = self.comparisons()
        return [compare.table_document(found, self.options.calls)], [
            f"{self.options.rounds} rounds in each boot.",
            compare.FIGURES,
            compare.RULE,
            *(comparison.line() for comparison in found),
        ]


def _about(guest: Mapping[str, Any]) -> str:
    jit, harden, cpus = (guest.get(name) for name in ("jit", "jit_harden", "cpus"))
    return f"bpf_jit_enable {jit}, bpf_jit_harden {harden}, {cpus} processors."


def judge(found: Sequence[compare.Comparison], passed: Verdict) -> Verdict:
    """The verdict of a comparison that was measured as a whole: slower is a failure."""
    slower = [one for one in found if one.verdict == compare.SLOWER]
    lines = tuple(one.line() for one in found)
    if slower:
        names = ", ".join(one.row.label for one in slower)
        return Verdict(ExitCode.FAILED, f"failed: slower than the base: {names}", lines)
    faster = any(one.verdict == compare.FASTER for one in found)
    word = "not slower than the base" if faster else "within noise of the base"
    return replace(passed, headline=f"passed: {word}", reasons=lines)
