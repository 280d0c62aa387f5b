# SPDX-License-Identifier: MIT
"""Options that every ``lab`` command shares."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from lab import PROJECT_ROOT
from lab.core.cache import ENVIRONMENT, Cache
from lab.core.session import Session
from lab.core.ui import Ui
from lab.kernel.arches import DEFAULT_ARCH
from lab.source.bases import MAIN_BASE, base_names

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


def common(function: Callable[Concatenate[Session, P], R]) -> Callable[..., R]:
    """Add ``--cache`` and ``--quiet`` to a command and pass it a :class:`Session` first."""

    @click.option(
        "--cache",
        "cache_dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"Cache directory (default: ${ENVIRONMENT}, then the XDG cache directory).",
    )
    @click.option("--quiet", "-q", is_flag=True, help="Print plain lines, without progress bars.")
    @functools.wraps(function)
    def wrapper(cache_dir: Path | None, quiet: bool, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(Session(Cache.default(cache_dir), Ui(quiet)), *args, **kwargs)

    return wrapper


def base_option(function: F) -> F:
    """Add ``--base``."""
    return click.option(
        "--base",
        default=MAIN_BASE,
        show_default=True,
        metavar="NAME",
        help=f"Kernel source: {base_names()}.",
    )(function)


def newer_option(function: F) -> F:
    """Add ``--newer``."""
    return click.option(
        "--newer", is_flag=True, help="Use a newer point release than the pinned one."
    )(function)


def patches_option(function: F) -> F:
    """Add ``--patches``."""
    return click.option(
        "--patches",
        type=click.Path(path_type=Path),
        default=PROJECT_ROOT / "patches",
        metavar="DIR",
        show_default="the checkout's patches/",
        help="Directory with the patches and their `series` file.",
    )(function)


def control_option(function: F) -> F:
    """Add ``--control``."""
    return click.option("--control", is_flag=True, help="Use the base without the series.")(
        function
    )


def applied_option(function: F) -> F:
    """Add ``--applied``."""
    return click.option(
        "--applied",
        type=click.IntRange(min=0),
        metavar="N",
        help="Apply only the first N patches, in a tree of their own.",
    )(function)


def arch_option(function: F) -> F:
    """Add ``--arch``."""
    return click.option(
        "--arch", default=DEFAULT_ARCH, show_default=True, help="Architecture of kernel and guest."
    )(function)


def series_options(function: F) -> F:
    """Which series, on which base."""
    return base_option(newer_option(patches_option(function)))
