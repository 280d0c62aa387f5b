# SPDX-License-Identifier: MIT
"""The runs that a run of several profiles is made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.runs.matrix_table import Row
from lab.runs.run import Run, profile_rows


def parts(run: Run) -> dict[str, Run]:
    """By profile, the runs of a matrix, as far as they are still there; none of another run."""
    return {name: part for name, part in _rows(run) if part is not None}


def lost(run: Run) -> tuple[str, ...]:
    """The profiles of a matrix whose runs are no longer there."""
    return tuple(name for name, part in _rows(run) if part is None)


def _rows(run: Run) -> Iterator[tuple[str, Run | None]]:
    for row in profile_rows(run):
        try:
            yield row.profile, Run.load(_directory(run, row))
        except LabError:
            yield row.profile, None


def _directory(run: Run, row: Row) -> Path:
    """Where it was, or beside the matrix if all of it was moved."""
    return Path(row.run) if Path(row.run).is_dir() else run.path.parent / Path(row.run).name


def tested(run: Run, of_run: dict[str, Run]) -> Run:
    """The run whose manifest says what was tested: of a matrix, the first of its parts that has
    patches applied, without what each profile has of its own.
    """
    for part in (run, *of_run.values()):
        patches = part.manifest.get("patches") or ()
        if any(patch.get("applied") for patch in patches):
            return part if part is run else Run(part.path, _common(part), part.view)
    return run


def _common(part: Run) -> dict[str, object]:
    own = ("config", "build", "guest", "limits", "profile", "kind", "id", "reproduce")
    return {key: value for key, value in part.manifest.items() if key not in own}
