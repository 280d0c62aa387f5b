# SPDX-License-Identifier: MIT
"""Which distribution this machine runs: os-release(5)."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field


@dataclass(frozen=True)
class OsRelease:
    """Fields of os-release(5)."""

    fields: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls) -> OsRelease:
        """This machine's; empty if it has no such file, or none that can be read."""
        try:
            return cls(platform.freedesktop_os_release())
        except (OSError, UnicodeError):
            return cls()

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
