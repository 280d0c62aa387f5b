# SPDX-License-Identifier: MIT
"""The options that make plans, and limits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from lab.cli.options import (
    applied_option,
    arch_option,
    base_option,
    common,
    control_option,
    newer_option,
    patches_option,
)
from lab.core.deadline import Limits
from lab.core.session import Session
from lab.errors import UsageError
from lab.kernel.arches import find_arch
from lab.kernel.plan import Plan
from lab.kernel.profiles import Profile, find_profile, find_profiles

F = TypeVar("F", bound=Callable[..., Any])


def plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that make a :class:`Plan`, and pass it after the session."""

    @base_option
    @newer_option
    @patches_option
    @control_option
    @applied_option
    @profile_option("Guest profile.")
    @arch_option
    @common
    @functools.wraps(function)
    def wrapper(session: Session, /, **options: Any) -> Any:
        (plan,) = make_plans((find_profile(options.pop("profile")),), options)
        return function(session, plan, **options)

    return wrapper


def plans_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Likewise for several plans, one for each profile named."""

    @base_option
    @newer_option
    @patches_option
    @control_option
    @applied_option
    @profile_option('Guest profiles, separated by commas, or "all".')
    @arch_option
    @common
    @functools.wraps(function)
    def wrapper(session: Session, /, **options: Any) -> Any:
        plans = make_plans(find_profiles(options.pop("profile")), options)
        return function(session, plans, **options)

    return wrapper


def profile_option(text: str) -> Callable[[F], F]:
    """Add ``--profile``."""
    return click.option("--profile", default="default", show_default=True, help=text)


def make_plans(profiles: Sequence[Profile], options: dict[str, Any]) -> tuple[Plan, ...]:
    """A plan for each profile, from options, which are taken out.

    Raises UsageError if they contradict each other.
    """
    base, newer, patches, control, applied, arch = (
        options.pop(name) for name in ("base", "newer", "patches", "control", "applied", "arch")
    )
    row = find_arch(arch)
    if applied is not None and (control or any(profile.control for profile in profiles)):
        raise UsageError(
            "The base without the series is --applied 0: leave out the one or the other."
        )
    return tuple(
        Plan(
            base, newer, patches, control or profile.control or applied == 0, profile, row, applied
        )
        for profile in profiles
    )


def limit_option(function: F) -> F:
    """Add ``--limit``."""
    return click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="NAME=SECONDS",
        help="Replace a limit of the guest: silence, boot or total.",
    )(function)


def parse_limits(settings: tuple[str, ...]) -> dict[str, float]:
    """``NAME=SECONDS`` texts. Raises UsageError if one is malformed or names no limit."""
    limits = {}
    for setting in settings:
        name, _, seconds = setting.partition("=")
        try:
            limits[name] = float(seconds)
        except ValueError:
            raise UsageError(
                f"--limit {setting}: not NAME=SECONDS.", hint="For example --limit silence=30."
            ) from None
    # Found out now, and not after a build.
    Limits().override(limits)
    return limits
