# SPDX-License-Identifier: MIT
"""Finished runs for the tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab.core.cache import Cache
from lab.report.compare.changes import Change
from lab.report.compare.comparison import compare
from lab.runs import bench_figures, manifest, rundir
from lab.runs.journal import Journal
from lab.runs.run import Run

PATCHES = (
    {"number": 1, "title": "The first", "patch_id": "a" * 40, "applied": True},
    {"number": 2, "title": "The second", "patch_id": "b" * 40, "applied": True},
)

MANIFEST: dict[str, Any] = {
    "base": {"name": "linux-7.3", "version": "7.3.4", "digest": "sha256:1"},
    "patches": PATCHES,
    "config": {"digest": "c1", "requested": 3, "fragments": ["core.config", "series.config"]},
    "toolchain": {"gcc": "gcc 12"},
    "tools": {"qemu": "7.2"},
    "accelerator": {"name": "tcg", "reason": "there is none"},
    "build": {"objects": 5, "seconds": 60.0, "fresh": True, "warnings": []},
    "guest": {"whole": True},
    "reproduce": "scripts/lab test",
}


def result(state: str, seconds: float = 0.1, message: str = "") -> dict[str, Any]:
    """How a test ended."""
    return {"outcome": state, "seconds": seconds, "message": message}


def make_run(
    cache: Cache,
    tests: Mapping[str, dict[str, Any]],
    *,
    kind: str = "series",
    code: int = 0,
    headline: str = "",
    splats: Iterable[dict[str, Any]] = (),
    events: Iterable[dict[str, Any]] = (),
    console: str = "",
    **fields: Any,
) -> Path:
    """A run directory; ``fields`` replace those of MANIFEST."""
    run = rundir.create(cache, kind)
    manifest.write(run, **{**MANIFEST, "kind": kind, "id": run.name, **fields})
    record = Journal(run)
    record.write("run", id=run.name, kind=kind, command=["scripts/lab", "test"])
    for event in events:
        record.write(**event)
    if tests:
        record.write("seed", tests=[{"id": name, "patches": [2]} for name in tests])
    for name, end in tests.items():
        record.write("result", id=name, **end)
    for splat in splats:
        record.write("splat", **splat)
    record.write("verdict", code=code, headline=headline or f"code {code}", reasons=[])
    record.close()
    if console:
        (run / "console.log").write_text(console)
    return run


def row(label: str, median: float | None, **fields: Any) -> dict[str, Any]:
    """A row of a benchmark, with a spread of a tenth."""
    low, high = (None, None) if median is None else (median * 0.9, median * 1.1)
    return {
        **{"label": label, "group": "", "x": None, "median": median, "low": low, "high": high},
        **{"samples": 5, "calls": 100, "note": ""},
        **fields,
    }


def ratio(label: str, value: float | None, **fields: Any) -> dict[str, Any]:
    """A ratio of a benchmark, without spread or goal."""
    spread = {"value": value, "low": value, "high": value}
    return {"label": label, **spread, "goal": None, "rfc": None, **fields}


def table(rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A benchmark."""
    plain = {"name": "getpid", "title": "getpid() <1>", "unit": "ns per call", "x": None}
    return {**plain, "rows": rows, "ratios": [], **fields}


def write_bench(directory: Path, *tables: dict[str, Any], **fields: Any) -> None:
    """A bench.json."""
    data = {
        **{
            "version": 1,
            "kind": "bench",
            "accelerator": {"name": "tcg", "reason": ""},
            "cpu": "toy",
        },
        **{"kernel": "7.3.4", "jit": "1", "notes": ["a note"], "tables": tables},
        **fields,
    }
    (directory / bench_figures.NAME).write_text(json.dumps(data))


def changes(old: Path, new: Path, title: str) -> list[Change]:
    """Those of one group."""
    found = compare(Run.load(old), Run.load(new))
    return [change for group in found.groups if group.title == title for change in group.changes]


def notes(old: Path, new: Path) -> str:
    found = compare(Run.load(old), Run.load(new))
    return "\n".join(note for group in found.groups for note in group.notes)
