# SPDX-License-Identifier: MIT
"""``lab series check`` and ``variants``: what can be said of patches without booting them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lab.cli.options import CONTEXT_SETTINGS, base_option, common, newer_option, patches_option
from lab.core.session import Session
from lab.host import tools
from lab.jobs.hygiene.check import CheckOptions, run_check
from lab.jobs.hygiene.variants import run_variants
from lab.kernel.arches import DEFAULT_ARCH, find_arch
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile
from lab.source.series import Series, parse_range


def series_plan(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that name a series, and pass the plan of its default kernel."""

    @base_option
    @newer_option
    @patches_option
    @common
    @functools.wraps(function)
    def wrapper(session: Session, /, base: str, newer: bool, patches: Path, **options: Any) -> int:
        plan = Plan(base, newer, patches, False, find_profile("default"), find_arch(DEFAULT_ARCH))
        return function(session, plan, **options)

    return wrapper


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--patch", "numbers", default="1..", metavar="FIRST..LAST", help="Check only these patches."
)
@click.option("--no-compile", is_flag=True, help="Leave out W=1 and sparse, which compile.")
@click.option("--maintainers", is_flag=True, help="List the maintainers of each patch.")
@series_plan
def check(session: Session, plan: Plan, numbers: str, no_compile: bool, maintainers: bool) -> int:
    """Check each patch with the tree's own tools; exit code 1 on any finding.

    The checks are checkpatch.pl --strict, with the exceptions in lab/jobs/hygiene/checkpatch.toml;
    the author's sign-off; kernel-doc, W=1 and sparse on the files that the patch touches, where
    only new messages count; and get_maintainer.pl.
    """
    first, last = parse_range(numbers, "--patch", 1)
    if not no_compile:
        tools.need("series check", session.cache)
    return run_check(session, plan, CheckOptions(first, last, not no_compile, maintainers))


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--patch",
    "numbers",
    metavar="FIRST..LAST",
    show_default="the last",
    help="Compile the tree at these patches.",
)
@series_plan
def variants(session: Session, plan: Plan, numbers: str | None) -> int:
    """Compile the touched files in other configurations; exit code 1 on any warning.

    The configurations have CONFIG_SECCOMP_FILTER_EXTENDED on and off, and SECURITY, BPF_EVENTS,
    BPF_JIT, CHECKPOINT_RESTORE, BPF_SYSCALL and NET off in turn; the last is allnoconfig with
    seccomp. Where Kconfig has to refuse the option, the lab checks that it does.
    """
    end = len(Series.read(plan.patches).patches)
    first, last = parse_range(numbers or str(end), "--patch", 1)
    return run_variants(session, plan, first, last)
