# SPDX-License-Identifier: MIT
"""``lab base`` and ``lab tree``."""

from __future__ import annotations

from pathlib import Path

import click

from lab.cli.options import (
    CONTEXT_SETTINGS,
    base_option,
    common,
    control_option,
    newer_option,
    patches_option,
)
from lab.core.session import Session
from lab.source.bases import MAIN_BASE, ensure_base, resolve
from lab.source.room import BaseRequest, BaseResult
from lab.source.series import Series
from lab.source.tree import ensure_tree
from lab.source.worktree import TreeRequest, TreeResult


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("name", default=MAIN_BASE)
@newer_option
@common
def base(session: Session, name: str, newer: bool) -> None:
    """Fetch, verify and import base NAME: linux-7.3 (default), linux-7.2, linux-6.12, bpf-next,
    bpf-next@COMMIT, path:DIR.

    SECCOMP_LAB_KERNEL_ORG and SECCOMP_LAB_BPF_NEXT_URL replace the addresses of kernel.org and of
    bpf-next; SECCOMP_LAB_KERNEL_ORG_KEYRING is a file with the key of kernel.org's checksum list.
    """
    result = ensure_base(BaseRequest(name, session.cache, newer), session.ui)
    show_base(session, result)


@click.command(context_settings=CONTEXT_SETTINGS)
@base_option
@newer_option
@patches_option
@control_option
@common
def tree(session: Session, base: str, newer: bool, patches: Path, control: bool) -> None:
    """Apply the series to the base as commits and print the worktree's path."""
    result = bring_tree(session, base, patches=patches, control=control, newer=newer)
    for patch in result.patches:
        session.ui.say(f"  {patch.number:04d} {patch.title}")
    session.ui.out(str(result.path))


def bring_tree(
    session: Session, base: str, *, patches: Path, control: bool, newer: bool = False
) -> TreeResult:
    """Base and tree up to date. Raises what ensure_base, Series.read and ensure_tree raise."""
    # The patches first: a mistake in them need not wait for a download.
    series = None if control else Series.read(patches, resolve(base)[0])
    ready = ensure_base(BaseRequest(base, session.cache, newer), session.ui)
    return ensure_tree(TreeRequest(ready, series, session.cache), session.ui)


def show_base(session: Session, result: BaseResult) -> None:
    """A base as ``field: value`` lines."""
    session.ui.out(f"base:    {result.name} (Linux {result.version})")
    session.ui.out(f"origin:  {result.origin}")
    session.ui.out(f"digest:  {result.digest}")
    session.ui.out(f"commit:  {result.commit}")
    session.ui.out(f"git dir: {result.git_dir}")
