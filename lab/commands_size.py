"""``lab size``: what the series adds to the kernel."""

from __future__ import annotations

from pathlib import Path

import click

from lab import PROJECT_ROOT
from lab.arches import find_arch
from lab.options import (
    CONTEXT_SETTINGS,
    Session,
    base_option,
    common,
    newer_option,
    patches_option,
)
from lab.size.run import SizeRequest, run_size


@click.command(context_settings=CONTEXT_SETTINGS)
@base_option
@newer_option
@patches_option
@click.option("--arch", default="x86_64", show_default=True, help="Architecture.")
@common
def size(session: Session, base: str, newer: bool, patches: Path, arch: str) -> int:
    """Measure what the series adds to the kernel, with its option on and off, against the base.

    Code and data by section, symbol and object, and the stack that functions take. Three kernels:
    the profiles default, no-extended and control. 1 if the option, off, leaves anything but a build
    id and type information.
    """
    command = ["scripts/lab", "size", "--base", base, *(["--newer"] if newer else [])]
    if patches.resolve() != (PROJECT_ROOT / "patches").resolve():
        command += ["--patches", str(patches)]
    command += ["--arch", arch] if arch != "x86_64" else []
    return run_size(session, SizeRequest(base, newer, patches, find_arch(arch), command))
