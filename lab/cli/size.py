# SPDX-License-Identifier: MIT
"""``lab size``: what the series adds to the kernel."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.again import this_command
from lab.cli.options import (
    CONTEXT_SETTINGS,
    arch_option,
    base_option,
    common,
    newer_option,
    patches_option,
)
from lab.core.session import Session
from lab.jobs.size.run import SizeRequest, run_size
from lab.kernel.arches import find_arch


@click.command(context_settings=CONTEXT_SETTINGS)
@base_option
@newer_option
@patches_option
@arch_option
@common
def size(session: Session, base: str, newer: bool, patches: Path, arch: str) -> int:
    """Measure what the series adds to the kernel, with its option on and off, against the base.

    Code and data by section, symbol and object, and the stack that functions take. Three kernels:
    the profiles default, no-extended and control. 1 if the option, off, leaves anything but a build
    id and type information.
    """
    return run_size(session, SizeRequest(base, newer, patches, find_arch(arch)), this_command())
