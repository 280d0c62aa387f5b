# SPDX-License-Identifier: MIT
"""A run as KTAP (Documentation/dev-tools/ktap.rst)."""

from __future__ import annotations

from lab.runs.journal import Test
from lab.runs.kinds import BAD, GOOD, OPEN, SKIP
from lab.runs.run import Run


def ktap(run: Run) -> str:
    """KTAP version 1 (Documentation/dev-tools/ktap.rst)."""
    tests = list(run.view.tests.values())
    lines = ["KTAP version 1", f"# {run.headline}", f"1..{len(tests)}"]
    for number, test in enumerate(tests, 1):
        worth = run.judge(test)
        result = "ok" if worth in (GOOD, SKIP) else "not ok"
        lines.append(f"{result} {number} {test.id.replace('#', '%23')}{_directive(test, worth)}")
        if worth in (BAD, OPEN):
            lines += [f"# {line}" for line in test.message.splitlines()]
    lines += [f"# {reason}" for reason in run.reasons]
    return "\n".join(lines) + "\n"


def _directive(test: Test, worth: str) -> str:
    if worth == SKIP:
        return " # SKIP " + " ".join(test.message.split())
    if worth == OPEN:
        return f" # ERROR {test.state}"
    return ""
