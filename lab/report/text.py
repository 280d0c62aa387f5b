# SPDX-License-Identifier: MIT
"""A run in some lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.runs.kinds import BAD
from lab.runs.manifest import Accelerator, Config, Guest, Manifest
from lab.runs.run import Run


def summary(run: Run, messages: bool = True, table: bool = True) -> list[str]:
    """The run in some lines of text, with or without what its failed tests said, and its table."""
    lines = run.kind.render(run.view) if table else []
    lines += [""] if lines else []
    lines.append(f"{run.id}: {run.headline}")
    lines += [f"  {reason}" for reason in run.reasons]
    for test in run.view.tests.values():
        if run.judge(test) == BAD:
            lines.append(f"  {test.state}: {test.id}")
            if messages:
                lines += [f"    | {line}" for line in test.message.strip().splitlines()[-8:]]
    lines += [f"  {name}: {value}" for name, value in facts(run)]
    return lines


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, by name, as far as the run came."""
    data, guest = run.manifest, run.view.guest
    rows = [
        ("base", f"{data.base.name} {data.base.version}".strip()),
        ("base digest", data.base.digest),
        ("patches", _patches(data)),
        ("local changes", ", ".join(data.tree.local)),
        ("kernel", data.build.release),
        ("profile", _profile(data)),
        ("configuration", _configuration(data.config)),
        ("config digest", data.config.digest),
        ("accelerator", _with_reason(data.accelerator)),
        ("emulation", _emulation(data.guest)),
        ("limits", _limits(data.limits)),
        ("boot", _seconds(guest.get("boot_seconds"))),
        ("whole guest", _seconds(guest.get("seconds"))),
        ("reproduce", data.reproduce),
        ("directory", str(run.path)),
    ]
    return [(name, value) for name, value in rows if value]


def _patches(data: Manifest) -> str:
    if not data.patches:
        return ""
    return f"{len(data.applied)} applied" if data.applied else "none applied (control)"


def _profile(data: Manifest) -> str:
    if data.profiles:
        return ", ".join(data.profiles)
    return ": ".join(str(data.profile[key]) for key in ("name", "what") if data.profile.get(key))


def _configuration(config: Config) -> str:
    fragments = [name.removesuffix(".config") for name in config.fragments]
    if not fragments:
        return ""
    return f"{config.requested} requested lines, from {', '.join(fragments)}"


def _with_reason(accelerator: Accelerator) -> str:
    if accelerator.name and accelerator.reason:
        return f"{accelerator.name} ({accelerator.reason})"
    return accelerator.name


def _emulation(guest: Guest) -> str:
    return f"{guest.cpus} processors take turns" if guest.one_thread else ""


def _limits(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {seconds:g} s" for name, seconds in limits.items())


def _seconds(value: Any) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else ""
