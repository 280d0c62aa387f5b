# SPDX-License-Identifier: MIT
"""One guest from its boot to what its console says: how it ended, and its splats."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lab.errors import LabError
from lab.guest import kvm, splats
from lab.guest.boot import EXITED, GuestEnd, Listeners, run_guest
from lab.guest.launch import CONSOLE_LOG
from lab.guest.request import Ready
from lab.guest.script import GuestCommand
from lab.guest.splats import Splat


@dataclass(frozen=True)
class Outcome:
    """``splats`` are all that the console has, those of the allowlist marked. ``scan_error`` says
    why it could not be scanned.
    """

    end: GuestEnd
    splats: tuple[Splat, ...] = ()
    scan_error: str = ""

    @property
    def complaints(self) -> tuple[Splat, ...]:
        """The splats that nothing allows."""
        return tuple(splat for splat in self.splats if splat.allowed is None)

    @property
    def lost(self) -> str:
        """Why the command did not come to its end; "" if it did."""
        return "" if self.end.outcome == EXITED and self.end.status is not None else self.end.detail

    def at(self, place: str) -> Outcome:
        """The same for a guest whose streams are below the run directory, in ``place``."""
        console = f"{place}/{CONSOLE_LOG}" if place else CONSOLE_LOG
        return replace(self, splats=tuple(replace(splat, console=console) for splat in self.splats))


def session(ready: Ready, command: GuestCommand, listeners: Listeners | None = None) -> Outcome:
    """Boot, run the command, power off, scan the console.

    Raises LabError if the launcher cannot be started or the allowlist not be read.
    """
    allowlist = splats.load_allowlist()
    request, accelerator = ready.request, ready.accelerator
    request.run_dir.mkdir(parents=True, exist_ok=True)
    end = run_guest(request, command, listeners)
    if accelerator.untold and end.boot_seconds is not None:
        result = kvm.KvmResult(False, accelerator.reason)
        kvm.remember(ready.session.cache, request.arch.qemu, result)
    try:
        return Outcome(end, tuple(splats.scan_file(request.run_dir / CONSOLE_LOG, allowlist)))
    except LabError as error:
        return Outcome(end, scan_error=error.message)
