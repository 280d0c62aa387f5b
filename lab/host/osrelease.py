# SPDX-License-Identifier: MIT
"""Which distribution this machine runs: os-release(5)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

PATHS = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


@dataclass(frozen=True)
class OsRelease:
    """Fields of os-release(5)."""

    fields: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: tuple[Path, ...] = PATHS) -> OsRelease:
        """From the first file that exists; empty if none does."""
        for path in paths:
            if path.is_file():
                return cls.parse(path.read_text(errors="replace"))
        return cls()

    @classmethod
    def parse(cls, text: str) -> OsRelease:
        """From the text of an os-release file."""
        fields = {}
        for line in text.splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not name.startswith("#"):
                fields[name] = "".join(shlex.split(value)[:1])
        return cls(fields)

    @property
    def ids(self) -> tuple[str, ...]:
        """The distribution and what it is like, nearest first."""
        return (self.fields.get("ID", ""), *self.fields.get("ID_LIKE", "").split())

    @property
    def name(self) -> str:
        """For messages."""
        return self.fields.get("PRETTY_NAME") or self.fields.get("ID") or "unknown distribution"

    @property
    def archive(self) -> str:
        """The package archive it lives on: "debian", "ubuntu", or "" for others."""
        return next((name for name in self.ids if name in ("ubuntu", "debian")), "")

    @property
    def codename(self) -> str:
        """Release name in that archive; a derived distribution names its parent's apart."""
        parent = self.fields.get(f"{self.archive.upper()}_CODENAME") if self.archive else None
        return parent or self.fields.get("VERSION_CODENAME", "")
