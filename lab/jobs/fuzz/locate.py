# SPDX-License-Identifier: MIT
"""Findings: what counts as one, which program it is about, and whether a case still shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.guest.splats import Splat
from lab.jobs.fuzz.case import Case
from lab.jobs.fuzz.guest import Bench, Event, Told, run_apart, run_cases

SPLAT, LOST = "splat", "lost guest"
"""Kinds of finding beside those that the guest's program names ("mismatch", "errno", ...)."""

MARKER = re.compile(r"fuzz (?:case )?(?:\d+:)?(\d+)(?:\+(\d+))?")
"""What the guest's program writes to the kernel log: ``fuzz SEED:FIRST+COUNT``, ``fuzz case N``."""

BLOCK = 128
"""Programs to search where nothing says which one it was (selftests/native/fuzz/programs.h)."""


@dataclass(frozen=True)
class Finding:
    """``what`` tells it; ``signature`` is what has to be the same for it to be the same finding.
    ``index`` and ``case`` are None where the program is not known.
    """

    kind: str
    what: str
    signature: str
    first: int | None = None
    count: int = 0
    index: int | None = None
    case: Case | None = None


def signature_of(splat: Splat) -> str:
    """A splat's headline without addresses, numbers and process names."""
    text = re.sub(r"PID: \d+|comm: \S+|CPU: \d+", "", splat.headline)
    return f"{splat.kind}: {re.sub(r'0x[0-9a-f]+|[0-9a-f]{8,}|[0-9]+', '#', text)}"


def findings_of(told: Told) -> list[Finding]:
    """Everything that a guest's run shows, each once."""
    found: dict[tuple[str, str], Finding] = {}
    for row in told.of("finding"):
        finding = of_event(row)
        found.setdefault((finding.kind, finding.signature), finding)
    for splat in told.splats:
        first, count = place_of(splat.test)
        signature = signature_of(splat)
        found.setdefault(
            (SPLAT, signature),
            Finding(SPLAT, f"{splat.kind}: {splat.headline}", signature, first, count),
        )
    if told.lost and not told.splats:
        blocks = told.of("block")
        last: dict[str, Any] = blocks[-1] if blocks else {}
        first, count = last.get("first"), int(last.get("count", 0))
        found[(LOST, "")] = Finding(LOST, told.lost, "", first, count)
    return list(found.values())


def of_event(row: Event) -> Finding:
    """A finding that the guest's program has told, with its program."""
    kind, what, index = str(row["kind"]), str(row["what"]), int(row["index"])
    return Finding(kind, what, kind, index, 1, index, Case.parse(row["case"]))


def place_of(test: str | None) -> tuple[int | None, int]:
    """First index and count from a splat's "test"."""
    match = MARKER.search(test or "")
    return (int(match[1]), int(match[2] or 1)) if match else (None, 0)


def locate(bench: Bench, directory: Path, seed: int, finding: Finding) -> Finding:
    """Run the finding's block again, program by program, so that the one is known.

    The finding as it was if it does not show again: it can take what earlier programs left.
    """
    if finding.case is not None or finding.first is None:
        return finding
    count = finding.count or BLOCK
    argv = bench.argv("run", seed, finding.first, count, 3600, "--each")
    told = run_apart(bench, directory, argv)
    index = index_of(told, finding)
    for row in told.of("block"):
        if row["first"] == index:
            return replace(finding, index=index, case=Case.parse(row["case"]))
    return finding


def index_of(told: Told, finding: Finding) -> int | None:
    """The index of the program that shows the finding, in a run with ``--each``."""
    if finding.kind == LOST:
        blocks = told.of("block")
        return int(blocks[-1]["first"]) if told.lost and blocks else None
    for splat in told.splats:
        if signature_of(splat) == finding.signature:
            return place_of(splat.test)[0]
    return None


def shown_by(told: Told, finding: Finding) -> list[int]:
    """The numbers of the cases, in a guest that ran several, that show the finding."""
    if finding.kind == LOST:
        tried = told.of("try")
        return [int(tried[-1]["number"])] if told.lost and tried else []
    if finding.kind == SPLAT:
        places = (
            place_of(splat.test)[0]
            for splat in told.splats
            if signature_of(splat) == finding.signature
        )
        return sorted({place for place in places if place is not None})
    return [int(row["number"]) for row in told.of("case") if row.get("finding") == finding.kind]


class GuestOracle:
    """Answers the minimiser's questions, each with a guest of its own below ``directory``."""

    def __init__(self, bench: Bench, directory: Path, finding: Finding) -> None:
        self._bench = bench
        self._directory = directory
        self._finding = finding
        self.guests = 0
        self.translated: dict[str, list[str]] = {}
        """The eBPF program that the guest made of a classic one, by the text of the case."""

    def __call__(self, cases: Sequence[Case]) -> list[int]:
        self.guests += 1
        told = run_cases(self._bench, self._directory / f"{self.guests:03}", cases)
        if told.lost and self._finding.kind not in (SPLAT, LOST):
            self._bench.ready.session.ui.warn(f"while a case was made small: {told.lost}")
        for row in told.of("case"):
            self.translated[cases[int(row["number"])].text()] = list(row["insn"])
        return shown_by(told, self._finding)

    def complete(self, case: Case) -> Case:
        """The case with the eBPF program that was run."""
        if case.fields["insn"]:
            return case
        return case.with_(insn=self.translated.get(case.text(), []))
