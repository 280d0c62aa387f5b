# SPDX-License-Identifier: MIT
"""``lab kselftest``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.again import this_command
from lab.cli.options import CONTEXT_SETTINGS, base_option, common, newer_option, patches_option
from lab.core.session import Session
from lab.host import tools
from lab.jobs.kselftest.run import run_kselftest
from lab.jobs.kselftest.suites import find_suites
from lab.kernel.arches import DEFAULT_ARCH, find_arch
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("names", nargs=-1, metavar="[SUITE]...")
@base_option
@newer_option
@patches_option
@common
def kselftest(
    session: Session, base: str, newer: bool, patches: Path, names: tuple[str, ...]
) -> int:
    """Run the patched tree's own selftests on base and series, and compare them test by test.

    A result that is worse on the series than on the base fails the run. Programs that the compiler
    cannot build are named.
    """
    suites = find_suites(names)
    tools.need("kselftest", session.cache)
    plan = Plan(base, newer, patches, False, find_profile("default"), find_arch(DEFAULT_ARCH))
    return run_kselftest(session, plan, suites, this_command())
