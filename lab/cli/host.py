# SPDX-License-Identifier: MIT
"""``lab doctor`` and ``lab prune``."""

from __future__ import annotations

import shutil

import click
import psutil

from lab.cli.options import CONTEXT_SETTINGS, common
from lab.core.cache import Cache
from lab.core.session import Session
from lab.core.ui import Ui, amount
from lab.errors import ExitCode, LabError
from lab.guest import kvm
from lab.host import tools
from lab.kernel.arches import ARCHES
from lab.runs import prune as pruning


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("--install", is_flag=True, help="Install what is missing (apt, as root or by sudo).")
@click.option("--brief", is_flag=True, help="Print nothing if nothing is missing.")
@common
def doctor(session: Session, install: bool, brief: bool) -> int:
    """Show what this host has and lacks for building and booting kernels.

    Exit code 0 if everything required is there, 3 if not.
    """
    findings = _examine(session.cache)
    wanted = tools.missing_packages(findings, optional=install and not brief)
    if install and wanted:
        session.ui.say(f"installing {' '.join(wanted)}")
        tools.install(wanted, tools.HostProbe().release())
        findings = _examine(session.cache)
    blocking = [item for item in findings if item.blocking]
    if not brief or blocking:
        for line in tools.table(findings, session.cache):
            session.ui.out(line.rstrip())
    if not brief:
        _resources(session.cache, session.ui)
    if not blocking:
        return ExitCode.PASSED
    raise LabError(
        f"This host lacks {', '.join(item.tool.name for item in blocking)}.",
        hint=_advice(tools.missing_packages(findings)),
    )


def _examine(cache: Cache) -> tuple[tools.Finding, ...]:
    probe = tools.HostProbe.remembering(cache)
    findings = tools.check(probe)
    probe.save()
    return findings


def _advice(packages: tuple[str, ...]) -> str:
    release = tools.HostProbe().release()
    family = tools.family_of(release)
    listed = " ".join(packages)
    if family == "debian":
        return f"`lab doctor --install`, or by hand: apt-get install {listed}"
    if family:
        return f"{tools.FAMILIES[family].install} {listed}"
    return f"Install what brings: {listed}"


def _resources(cache: Cache, ui: Ui) -> None:
    """KVM, disk and memory: not tools, nothing a package mends, a warning at most."""
    ui.out(f"KVM: {_kvm(cache)}")
    free = shutil.disk_usage(cache.root).free
    ui.out(f"disk: {amount(free, 'bytes')} free at {cache.root}")
    if free < tools.DISK_BYTES:
        ui.warn(f"a first run and a control run need {amount(tools.DISK_BYTES, 'bytes')} of disk")
    memory = psutil.virtual_memory().total
    ui.out(f"memory: {amount(memory, 'bytes')}")
    if memory < tools.MEMORY_BYTES:
        ui.warn(f"linking the kernel and running it need {amount(tools.MEMORY_BYTES, 'bytes')}")


def _kvm(cache: Cache) -> str:
    native = next((arch for arch in ARCHES if arch.native), None)
    if native is None:
        return "not used: no guest of the lab is of this host's architecture"
    closed = kvm.closed()
    known = kvm.remembered(cache, native.qemu)
    if closed or (known is not None and not known.works):
        reason = closed or (known.reason if known else "")
        return f"not used: {reason.rstrip('.')}. Guests are emulated: slower."
    if known is None:
        return f"{kvm.DEVICE} can be opened; the first guest will tell whether it runs a kernel"
    return "works (a guest ran)"


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("--keep", default=5, show_default=True, metavar="N", type=click.IntRange(min=0),
              help="Keep the N runs, builds, trees and bases that were used last.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Remove everything that is not in use.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@common
def prune(session: Session, keep: int, everything: bool, dry_run: bool) -> None:
    """Remove from the cache what has not been used lately.

    Removed are runs beyond the last N; builds and trees beyond the last N that were not used for
    two weeks; bases beyond the last N that were not used for a month; downloads that were not used
    for a week. Nothing that a live run uses is removed.
    """
    removed = pruning.prune(
        session.cache, session.ui, keep=keep, everything=everything, dry_run=dry_run
    )
    total = sum(item.size for item in removed if not item.locked)
    verb = "would free" if dry_run else "freed"
    session.ui.out(f"{verb} {amount(total, 'bytes')}")
