# SPDX-License-Identifier: MIT
"""``manifest.json``: what a run ran, written early and replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.core.cache import atomic_write
from lab.errors import UsageError

NAME = "manifest.json"


def write(directory: Path, **fields: Any) -> dict[str, Any]:
    """Write the manifest of a run directory; fields of an earlier one stay. The whole manifest."""
    path = directory / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = {}
    manifest.update(fields)
    atomic_write(path, json.dumps(manifest, indent=2, ensure_ascii=False, default=str) + "\n")
    return dict(manifest)


def load(directory: Path) -> dict[str, Any]:
    """The manifest of a run directory. Raises UsageError if it is not there or no manifest."""
    path = directory / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{directory} is no run directory: {NAME}: {error}.", hint="`lab runs` lists the runs."
        ) from error
    if not isinstance(manifest, dict):
        raise UsageError(f"{path} is no manifest.")
    return manifest
