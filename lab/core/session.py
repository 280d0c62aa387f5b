# SPDX-License-Identifier: MIT
"""What every command works with."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.cache import Cache
from lab.core.ui import Ui


@dataclass(frozen=True)
class Session:
    """Where the lab keeps things, and how it talks."""

    cache: Cache
    ui: Ui
