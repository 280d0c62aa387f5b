"""Every check of every patch, as a table and as a list of what to mend."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.hygiene import checkpatch, kerneldoc, mail, warnings
from lab.hygiene.result import CheckResult
from lab.hygiene.subject import Subject

MAINTAINERS = "maintainers"

READERS: dict[str, Callable[[Subject, int, Path], CheckResult]] = {
    "checkpatch": checkpatch.run,
    "sign-off": mail.sign_off,
    "kernel-doc": kerneldoc.run,
    MAINTAINERS: mail.maintainers,
}
"""Checks that only read, by the column they have: patches and sources, and a scratch directory."""

COMPILED = (warnings.W1, warnings.SPARSE)


@dataclass(frozen=True)
class Row:
    """A patch and its results by column."""

    number: int
    title: str
    results: dict[str, CheckResult]


def check_patch(subject: Subject, number: int, compiled: bool = True) -> dict[str, CheckResult]:
    """All checks of one patch: those of READERS and, if ``compiled``, those of COMPILED.

    The latter move the worktree for parts of a series to this patch and build there, in a directory
    of their own; the caller holds neither. Raises LabError if a check cannot be made at all.
    """
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        home = Path(scratch)
        results = {name: reader(subject, number, home) for name, reader in READERS.items()}
    return results | (warnings.run(subject, number) if compiled else {})
