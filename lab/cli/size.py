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
    """Measure what the series adds to the base, with its option on and off.

    Measured are code and data by section, symbol and object, and the stack frames of functions, in
    three kernels: the profiles default, no-extended and control. The exit code is 1 if the series
    adds more than a build id and type information with its option off.
    """
    return run_size(session, SizeRequest(base, newer, patches, find_arch(arch)), this_command())
