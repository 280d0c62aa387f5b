# SPDX-License-Identifier: MIT
"""What something was made from, in a digest; and the file that says so beside what was made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.core.cache import atomic_write

KEY = "key"


def digest_of(*parts: str) -> str:
    """SHA-256 of the parts in their order, in hex."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class Stamp:
    """A JSON file with a key, and what is to be known about what was made under it. It is taken
    away before something is made and written when it has been made, so that what was broken off
    has none.
    """

    path: Path

    def fields(self) -> dict[str, Any]:
        """All that it says; nothing if there is no such file, or it is damaged."""
        try:
            row = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return row if isinstance(row, dict) else {}

    def read(self, key: str) -> dict[str, Any] | None:
        """What it says, if it was written under this key."""
        row = self.fields()
        return row if row.get(KEY) == key else None

    def write(self, key: str, **fields: Any) -> None:
        """Replace it."""
        atomic_write(self.path, json.dumps({KEY: key, **fields}, default=str))

    def remove(self) -> None:
        """Say that nothing is there."""
        self.path.unlink(missing_ok=True)
