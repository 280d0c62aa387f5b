# SPDX-License-Identifier: MIT
"""How a check of a patch ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK, FINDINGS, NOT_RUN, NOTHING = "ok", "findings", "not run", "-"
"""``NOT_RUN``: it could not be made; ``NOTHING``: the patch has nothing that it looks at."""


@dataclass(frozen=True)
class Finding:
    """Something to mend. ``file`` is one of the tree's, or of the project's: the patch itself."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class CheckResult:
    """``state`` is one of the above. ``notes`` say why a check was not made, what it left out, and
    what was found and has been accepted.
    """

    state: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], notes: Iterable[str] = ()) -> CheckResult:
        """OK if there are no findings."""
        found = tuple(findings)
        return cls(FINDINGS if found else OK, found, tuple(notes))

    def __str__(self) -> str:
        return f"{len(self.findings)} found" if self.state == FINDINGS else self.state
