# SPDX-License-Identifier: MIT
"""What a command works on: which source, which configuration, which architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.kernel.arches import Arch
from lab.kernel.profiles import Profile

SERIES, BASE, OFF = "series", "base", "off"
"""Which kernel runs: the base with the series, the base alone, or one on which nobody looks for the
features of the series. The one vocabulary for it, in the guest's environment as in reports.
"""


@dataclass(frozen=True)
class Plan:
    """``control``: the base without the series. ``applied``: how many patches of the series, from
    its beginning; None is all.
    """

    base: str
    newer: bool
    patches: Path
    control: bool
    profile: Profile
    arch: Arch
    applied: int | None = None

    @property
    def kernel(self) -> str:
        """SERIES, BASE or OFF: what is expected of the tests."""
        if self.profile.off:
            return OFF
        return BASE if self.control else SERIES
