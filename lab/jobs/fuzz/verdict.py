# SPDX-License-Identifier: MIT
"""What has to hold in a fuzz run, and the one verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.errors import ExitCode
from lab.jobs.fuzz.figures import Figures, shallow
from lab.jobs.fuzz.guest import Told
from lab.jobs.fuzz.locate import LOST, SPLAT, Finding
from lab.runs import journal
from lab.runs.verdict import Verdict, outranking


@dataclass(frozen=True)
class Check:
    """Something that has to hold: the finding kinds that break it."""

    name: str
    doc: str
    broken_by: tuple[str, ...]

    @property
    def identity(self) -> str:
        """The check's name in journal and reports."""
        return f"fuzz::{self.name}"


CHECKS: tuple[Check, ...] = (
    Check("programs", "the programs were run to the end", ("runner", "stuck", "check", LOST)),
    Check("kernel-silent", "the kernel complains about nothing", (SPLAT,)),
    Check("same-verdict", "a classic filter and its translation agree", ("mismatch", "refused")),
    Check("errors", "a refusal has a documented errno", ("errno",)),
    Check("permission", "nobody loads what is denied to them", ("permission",)),
    Check("install", "what loads installs, with the right errno where not", ("install",)),
    Check("children-end", "filtered children end", ("hang",)),
    Check("not-shallow", "enough is accepted, and refused for enough reasons", ()),
)


def results(
    findings: Sequence[Finding], told: Told, figures: Figures
) -> Iterator[tuple[str, str, str]]:
    """Identity, outcome and message of each check."""
    for check in CHECKS:
        broken = [finding for finding in findings if finding.kind in check.broken_by]
        outcome, message = journal.PASSED, ""
        if broken:
            outcome, message = journal.FAILED, "\n".join(map(tell, broken))
        elif check.name == "not-shallow":
            outcome, message = shallow(figures)
        elif told.lost:
            outcome, message = journal.SKIPPED, "the guest was lost before the end"
        yield check.identity, outcome, message


def tell(finding: Finding) -> str:
    """A finding in a line."""
    if finding.index is not None:
        return f"program {finding.index}: {finding.kind}: {finding.what}"
    where = "" if finding.first is None else f" (one of {finding.count} from {finding.first} on)"
    return f"{finding.kind}: {finding.what}{where}"


def decide(findings: Sequence[Finding], told: Told, figures: Figures) -> Verdict:
    """The verdict. What a guest's end says outranks the findings, as it does tests."""
    lines = (*map(tell, findings), *figures.lines())
    above = outranking(told.splats, told.lost, told.scan_error, more=lines)
    if above:
        return above
    if findings:
        headline = f"failed: {len(findings)} kinds of finding in {figures.done} programs"
        return Verdict(ExitCode.FAILED, headline, lines)
    if not figures.done:
        return Verdict(ExitCode.FAILED, "failed: no program ran", lines)
    outcome, message = shallow(figures)
    if outcome == journal.FAILED:
        return Verdict(ExitCode.FAILED, f"failed: {message}", lines)
    return Verdict(ExitCode.PASSED, f"passed: {figures.done} programs, no finding", lines)
