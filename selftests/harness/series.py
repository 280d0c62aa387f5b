# SPDX-License-Identifier: MIT
"""The order of the series, and how much of it the running kernel has.

Environment: ``SECCOMP_LAB_SERIES`` has the file names of the patches in their order, with commas;
where it is unset the checkout's own ``patches/series`` says it. ``SECCOMP_LAB_APPLIED`` is how many
of them the kernel has, if not all, and ``SECCOMP_LAB_SINCE`` how many of them an earlier kernel had
that has passed.

A patch's number is its place in that order, from 1. Patches are known here by their file names
without number and ``.patch``, which stay when a patch is inserted before them.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path

ENVIRONMENT = "SECCOMP_LAB_SERIES"
ORDER_FILE = Path(__file__).parents[2] / "patches" / "series"

APPLIED = int(os.environ["SECCOMP_LAB_APPLIED"]) if os.environ.get("SECCOMP_LAB_APPLIED") else None
"""None: the kernel has the whole series, if it has any of it."""

SINCE = int(os.environ.get("SECCOMP_LAB_SINCE") or 0)


@functools.cache
def files() -> tuple[str, ...]:
    """The patches in their order."""
    names = os.environ.get(ENVIRONMENT)
    lines = names.split(",") if names else ORDER_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(_bare(name) for line in lines if (name := line.partition("#")[0].strip()))


def _bare(name: str) -> str:
    return re.sub(r"^\d+-", "", name).removesuffix(".patch")


def number(file: str) -> int | None:
    """A patch's number; None if it is not in this series."""
    return files().index(file) + 1 if file in files() else None


def has(file: str) -> bool:
    """Whether the kernel has the patch, if it has any: all of them where the series is whole, for
    somebody else's may have the patch under another name.
    """
    return APPLIED is None or (number(file) or APPLIED + 1) <= APPLIED


def asks(proved: Iterable[str]) -> bool:
    """Whether a test that proves these patches is to run: the kernel has them all, and an earlier
    one did not.
    """
    numbers = [number(file) for file in proved]
    places = [place for place in numbers if place is not None]
    if len(places) < len(numbers):
        return APPLIED is None and not SINCE
    return SINCE < max(places) <= (len(files()) if APPLIED is None else APPLIED)
