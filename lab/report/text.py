# SPDX-License-Identifier: MIT
"""A run in some lines of text."""

from __future__ import annotations

from typing import Any

from lab.runs.matrix_table import table
from lab.runs.run import BAD, Run, profile_rows


def summary(run: Run, messages: bool = True) -> list[str]:
    """The run in some lines of text, with or without what its failed tests said."""
    lines = [f"{run.id}: {run.headline}"]
    lines += [f"  {reason}" for reason in run.reasons]
    for test in run.view.tests.values():
        if run.judge(test) == BAD:
            lines.append(f"  {test.state}: {test.id}")
            if messages:
                lines += [f"    | {line}" for line in test.message.strip().splitlines()[-8:]]
    rows = profile_rows(run)
    lines += [f"  {line}" for line in table(rows)] if rows else []
    lines += [f"  {name}: {value}" for name, value in facts(run)]
    return lines


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, by name, as far as the run came."""
    data = run.manifest
    base, build, accelerator = (data.get(key) or {} for key in ("base", "build", "accelerator"))
    guest = run.view.guest
    rows = [
        ("base", " ".join(str(base.get(key, "")) for key in ("name", "version")).strip()),
        ("base digest", base.get("digest")),
        ("patches", _patches(data)),
        ("local changes", ", ".join((data.get("tree") or {}).get("local") or ())),
        ("kernel", build.get("release")),
        ("profile", _profile(data)),
        ("configuration", _configuration(data.get("config") or {})),
        ("config digest", (data.get("config") or {}).get("digest")),
        ("accelerator", _with_reason(accelerator)),
        ("emulation", _emulation(data.get("guest") or {})),
        ("limits", _limits(data.get("limits"))),
        ("boot", _seconds(guest.get("boot_seconds"))),
        ("whole guest", _seconds(guest.get("seconds"))),
        ("reproduce", data.get("reproduce")),
        ("directory", str(run.path)),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _patches(data: dict[str, Any]) -> str:
    patches = data.get("patches") or []
    applied = [patch for patch in patches if patch.get("applied")]
    if not patches:
        return ""
    return f"{len(applied)} applied" if applied else "none applied (control)"


def _profile(data: dict[str, Any]) -> str:
    profile = data.get("profile") or {}
    if data.get("profiles"):
        return ", ".join(map(str, data["profiles"]))
    return ": ".join(str(profile[key]) for key in ("name", "what") if profile.get(key))


def _configuration(config: dict[str, Any]) -> str:
    fragments = [str(name).removesuffix(".config") for name in config.get("fragments") or ()]
    if not fragments:
        return ""
    return f"{config.get('requested', 0)} requested lines, from {', '.join(fragments)}"


def _with_reason(accelerator: dict[str, Any]) -> str:
    name, reason = accelerator.get("name"), accelerator.get("reason")
    return f"{name} ({reason})" if name and reason else str(name or "")


def _emulation(guest: dict[str, Any]) -> str:
    return f"{guest.get('cpus')} processors take turns" if guest.get("one_thread") else ""


def _limits(limits: dict[str, float] | None) -> str:
    return ", ".join(f"{name} {seconds:g} s" for name, seconds in (limits or {}).items())


def _seconds(value: object) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else ""
