# SPDX-License-Identifier: MIT
"""A run as reports see it: its manifest and its journal, read back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab.runs import journal, manifest
from lab.runs.journal import Test, View
from lab.runs.kinds import OPEN, Kind, find_kind
from lab.runs.manifest import Manifest


@dataclass(frozen=True)
class Run:
    """A run directory, as far as it was written."""

    path: Path
    manifest: Manifest
    view: View

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a run directory. Raises UsageError if it is none."""
        return cls(path, manifest.load(path), journal.load(path))

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @cached_property
    def kind(self) -> Kind:
        """What kind of run it is. The journal's word counts: the manifests of older fuzz runs name
        the kernel.
        """
        return find_kind((self.view.run.get("kind"), self.manifest.kind))

    @property
    def headline(self) -> str:
        """The verdict in a line, also of a run that did not live to have one."""
        if self.view.verdict:
            return str(self.view.verdict["headline"])
        return "no verdict: the run was cut short"

    @property
    def code(self) -> int | None:
        """Exit code; None without a verdict."""
        return self.view.verdict.get("code")

    @property
    def reasons(self) -> list[str]:
        """Why."""
        if self.view.verdict:
            return [str(reason) for reason in self.view.verdict.get("reasons", ())]
        return [f"In flight: {self.view.in_flight}."] if self.view.in_flight else []

    def judge(self, test: Test) -> str:
        """What a test's state is worth in this run."""
        return self.kind.worth.get(test.state, OPEN)
