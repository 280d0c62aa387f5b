# SPDX-License-Identifier: MIT
"""A run to be compared, with the runs that it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import UsageError
from lab.report.parts import lost, parts, tested
from lab.runs.run import Run


@dataclass(frozen=True)
class Side:
    """A run with its parts by profile: itself, as "", if it is no run of several. ``lost`` are
    profiles whose runs are no longer there.
    """

    run: Run
    parts: dict[str, Run]
    lost: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Side:
        """Load what belongs to a run."""
        if run.kind.parts:
            return cls(run, parts(run), lost(run))
        return cls(run, {"": run})

    @property
    def single(self) -> bool:
        """Whether it is no run of several profiles."""
        return "" in self.parts

    def only(self, other: Side) -> Side:
        """The part with the profile of ``other``. Raises UsageError if there is none."""
        name = other.run.manifest.profile.get("name")
        part = self.parts.get(str(name))
        if part is None:
            gone = f" The runs of {', '.join(self.lost)} are no longer there." if self.lost else ""
            raise UsageError(
                f"{self.run.id} has no profile {name!r} to compare with {other.run.id}.",
                hint=f"It has {', '.join(self.parts) or 'none'}.{gone}",
            )
        return Side(part, {"": part})

    @property
    def accelerator(self) -> str:
        """What ran the guest's instructions."""
        return tested(self.run, self.parts).accelerator.name
