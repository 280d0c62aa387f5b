# SPDX-License-Identifier: MIT
"""How long a guest may take: three limits and one object that watches them.

The limits are calibrated by what makes guests slow (accelerator, foreign architecture, debug
configuration), recorded in the manifest and printed in the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from lab.errors import UsageError

ACCELERATOR_FACTORS: Mapping[str, float] = {"kvm": 1.0, "tcg": 4.0}
"""Emulation runs Python some twenty times slower; most of a limit is reserve already."""

FOREIGN_FACTOR = 1.5
"""A foreign architecture is emulated and boots without virtme-ng's fast init."""


@dataclass(frozen=True)
class Limits:
    """Seconds. ``silence``: without a byte from console, output or events once the guest has
    signed on. ``boot``: until it signs on. ``total``: until it is off.
    """

    silence: float = 60.0
    boot: float = 45.0
    total: float = 1800.0

    def as_dict(self) -> dict[str, float]:
        """For the manifest."""
        return asdict(self)

    def scaled(self, factor: float) -> Limits:
        """All limits times ``factor``."""
        return Limits(*(round(value * factor, 1) for value in asdict(self).values()))

    def override(self, settings: Mapping[str, float]) -> Limits:
        """Some limits replaced, by name. Raises UsageError for an unknown name or no seconds."""
        for name, seconds in settings.items():
            if name not in asdict(self):
                raise UsageError(
                    f"There is no limit {name!r}.", hint=f"Limits: {', '.join(asdict(self))}."
                )
            if seconds <= 0:
                raise UsageError(f"Limit {name} must be more than 0 seconds, not {seconds:g}.")
        return replace(self, **settings)


def calibrate(accelerator: str, native: bool, slowness: float = 1.0) -> Limits:
    """The limits for a guest. Raises KeyError for an accelerator that is not in the table."""
    factor = ACCELERATOR_FACTORS[accelerator] * (1.0 if native else FOREIGN_FACTOR)
    return Limits().scaled(factor * slowness)


@dataclass(frozen=True)
class Exceeded:
    """A limit that was reached: its name in :class:`Limits` and its seconds."""

    limit: str
    seconds: float


class Deadline:
    """Watches the limits of one guest, from the moment it is made."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self.started = self._heard = clock()
        self.signed_on: float | None = None

    def heard(self) -> None:
        """The guest said something."""
        self._heard = self._clock()

    def sign_on(self) -> None:
        """The guest's user space runs."""
        self.signed_on = self._heard = self._clock()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self.started

    def exceeded(self) -> Exceeded | None:
        """The limit that is reached, if any."""
        now = self._clock()
        if now - self.started >= self.limits.total:
            return Exceeded("total", self.limits.total)
        if self.signed_on is None:
            if now - self.started >= self.limits.boot:
                return Exceeded("boot", self.limits.boot)
        elif now - self._heard >= self.limits.silence:
            return Exceeded("silence", self.limits.silence)
        return None
