# SPDX-License-Identifier: MIT
"""What a guest's command finds in its environment: the one place that composes it.

The variables of the suite are explained in selftests/conftest.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from lab.guest.script import EVENTS, GUEST_SHARE
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.source.bases import base_lacks

GUEST_EVENTS = f"{GUEST_SHARE}/{EVENTS}"
"""Whole lines of this file come to the host as they are written."""

EVENTS_VARIABLE = "SECCOMP_LAB_EVENTS"

PYTHON = {
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Plugins that happen to be installed on the host have no say in the guest.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


def program(kernel: Kernel) -> dict[str, str]:
    """For any program: where to find others, and what the lab built for the guest."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "SECCOMP_LAB_GUEST": str(kernel.artifacts.directory),
    }


def python(plan: Plan, kernel: Kernel) -> dict[str, str]:
    """For a Python program of selftests/."""
    slowness = str(plan.profile.configuration.slowness)
    return {**PYTHON, **program(kernel), "SECCOMP_LAB_SLOWNESS": slowness}


def facts(plan: Plan, series: Sequence[str] = (), since: int = 0) -> dict[str, str]:
    """What the suite is told about the guest. ``series`` are the files of the patches in their
    order; ``since``: only what proves a later patch than this one.
    """
    profile = plan.profile
    return {
        "SECCOMP_LAB_KERNEL": plan.kernel,
        **({"SECCOMP_LAB_SERIES": ",".join(series)} if series else {}),
        "SECCOMP_LAB_APPLIED": str(plan.applied or ""),
        "SECCOMP_LAB_SINCE": str(since or ""),
        "SECCOMP_LAB_LACKS": ",".join((*profile.lacks, *base_lacks(plan.base))),
        "SECCOMP_LAB_SLOWNESS": str(profile.configuration.slowness),
        **dict(profile.environment),
    }


def suite(plan: Plan, kernel: Kernel, series: Sequence[str] = (), since: int = 0) -> dict[str, str]:
    """For the suite in the guest."""
    told = facts(plan, series, since)
    return {**PYTHON, **program(kernel), EVENTS_VARIABLE: GUEST_EVENTS, **told}
