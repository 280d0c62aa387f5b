# SPDX-License-Identifier: MIT
"""The runs that a run of several profiles is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lab.errors import LabError
from lab.runs import matrix_table
from lab.runs.manifest import Manifest
from lab.runs.matrix_table import Row
from lab.runs.run import Run


def parts(run: Run) -> dict[str, Run]:
    """The runs of a matrix that still exist, by profile; nothing for another kind of run."""
    return {name: part for name, part in _rows(run) if part is not None}


def lost(run: Run) -> tuple[str, ...]:
    """The profiles of a matrix whose runs are no longer there."""
    return tuple(name for name, part in _rows(run) if part is None)


def _rows(run: Run) -> Iterator[tuple[str, Run | None]]:
    for row in matrix_table.rows(run.view):
        try:
            yield row.profile, Run.load(_directory(run, row))
        except LabError:
            yield row.profile, None


def _directory(run: Run, row: Row) -> Path:
    """Where it was, or beside the matrix if all of it was moved."""
    return Path(row.run) if Path(row.run).is_dir() else run.path.parent / Path(row.run).name


def tested(run: Run, of_run: dict[str, Run]) -> Manifest:
    """The manifest that says what was tested: of a matrix that of an older lab did not, but the
    first of its parts that has patches applied, without what each profile has of its own.
    """
    for part in of_run.values():
        if part.manifest.applied and not run.manifest.applied:
            own, common = run.manifest, part.manifest
            return replace(
                own,
                base=common.base,
                tree=common.tree,
                patches=common.patches,
                toolchain=common.toolchain,
                accelerator=common.accelerator,
            )
    return run.manifest
