# SPDX-License-Identifier: MIT
"""A guest for one command that a person has started: no verdict, its streams and exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.guest import splats
from lab.guest.boot import CONSOLE_LOG, EXITED, GuestRequest, Listeners, run_guest
from lab.guest.script import GuestCommand
from lab.kernel.pipeline import (
    Kernel,
    Plan,
    bring_kernel,
    choose_accelerator,
    early_manifest,
    guest_limits,
    guest_request,
)
from lab.runs import manifest, rundir

FOREVER = 365 * 24 * 3600.0
"""Seconds for which a command that a person has started may be silent."""


@dataclass(frozen=True)
class Ready:
    """A guest that is about to be booted, and its kernel."""

    kernel: Kernel
    request: GuestRequest


@contextmanager
def prepared(
    session: Session, plan: Plan, kind: str, command: Sequence[str], limits: dict[str, float]
) -> Iterator[Ready]:
    """Everything up to the boot, with a run directory that is held. ``command`` does it again;
    ``limits`` replace those of the guest, by name. Raises what the stages raise.
    """
    kernel = bring_kernel(session, plan)
    accelerator = choose_accelerator(session, plan.arch)
    run = rundir.create(session.cache, kind)
    bounds = guest_limits(plan, accelerator, limits)
    manifest.write(
        run.path,
        **early_manifest(session, plan, run.id, list(command)),
        **kernel.configured.source.describe(),
        accelerator=asdict(accelerator),
        limits=bounds.as_dict(),
    )
    with session.cache.lock_entry(run.path, "booting", session.ui.say):
        yield Ready(kernel, guest_request(plan, kernel, accelerator, run.path, bounds))


def patient(limits: dict[str, float]) -> dict[str, float]:
    """Limits for a command, which may be silent for ever unless its caller bounds the silence."""
    return limits if "silence" in limits else {"silence": FOREVER, "total": FOREVER, **limits}


def perform(
    session: Session,
    request: GuestRequest,
    command: GuestCommand,
    event: Callable[[str], None] | None = None,
) -> int:
    """Boot, run the command, pass its streams on; its exit status, or the code of what kept it from
    ending. ``event`` takes the lines that it writes to the run's events.
    """
    listeners = Listeners(stdout=_copy(sys.stdout), stderr=_copy(sys.stderr))
    if event is not None:
        listeners.event = event
    end = run_guest(request, command, listeners)
    found = [splat for splat in _scan(session, request.run_dir) if splat.allowed is None]
    for splat in found:
        session.ui.warn(f"{splat.kind}: {splat.headline} ({CONSOLE_LOG}:{splat.line})")
    if end.outcome == EXITED and end.status is not None:
        return end.status
    session.ui.warn(f"{end.detail} See {request.run_dir}.")
    return ExitCode.KERNEL if found else ExitCode.INFRA


def _scan(session: Session, directory: Path) -> list[splats.Splat]:
    try:
        return splats.scan_file(directory / CONSOLE_LOG, splats.load_allowlist())
    except LabError as error:
        session.ui.warn(error.message)
        return []


def _copy(stream: Any) -> Callable[[bytes], None]:
    """Passes bytes on to a text stream's file as they are."""

    def write(data: bytes) -> None:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()

    return write
