"""The patches of the series, by names that stay when one is inserted, split or moved.

A test marks what it proves by name. The order, and so the number of a patch, is the series':
``SECCOMP_LAB_SERIES`` has the patches' files in their order, with commas; else it is the checkout's
own ``patches/series``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ORDER_FILE = Path(__file__).parents[2] / "patches" / "series"


@dataclass(frozen=True)
class Patch:
    """``name`` is for marks. ``file`` is the patch's, without number and ``.patch``; ``title`` is
    for the table at the end of a run.
    """

    name: str
    file: str
    title: str


PATCHES: tuple[Patch, ...] = (
    Patch(
        "error-order",
        "seccomp-Move-no_new_privs-check-to-after-prepare_fil",
        "no_new_privs check after prepare_filter",
    ),
    Patch(
        "program-type",
        "bpf-seccomp-Add-eBPF-filter-capabilities",
        "program type, load, install, run",
    ),
    Patch(
        "retrieval",
        "seccomp-ptrace-Add-a-mechanism-to-retrieve-attached-",
        "retrieval by ptrace",
    ),
    Patch("libbpf", "libbpf-recognize-section-seccomp", "libbpf"),
    Patch("sample", "samples-bpf-Add-eBPF-seccomp-sample-programs", "sample"),
    Patch("lsm-hook", "lsm-New-hook-seccomp_extended", "LSM hook"),
    Patch(
        "map-restriction",
        "bpf-verifier-allow-restricting-direct-map-access",
        "restriction of maps",
    ),
    Patch(
        "tier-1",
        "seccomp-ebpf-restrict-filter-to-almost-cBPF-if-LSM-r",
        "restriction to tier 1",
    ),
    Patch("yama", "yama-concept-restrict-seccomp-eBPF-with-ptrace_scope", "Yama"),
    Patch("user-memory", "seccomp-ebpf-Add-ability-to-read-user-memory", "user memory"),
    Patch(
        "null-task",
        "bpf-verifier-support-NULL-able-ptr-to-BTF-ID-as-help",
        "NULL for a task",
    ),
    Patch(
        "task-storage",
        "seccomp-ebpf-support-task-storage-from-BPF-LSM-defau",
        "task storage of the leader",
    ),
)

NAMES = tuple(patch.name for patch in PATCHES)


def order() -> tuple[str, ...]:
    """The patches' files in the order of the series, without number and ``.patch``."""
    given = os.environ.get("SECCOMP_LAB_SERIES")
    lines = given.split(",") if given else ORDER_FILE.read_text(encoding="utf-8").splitlines()
    files = (line.partition("#")[0].strip() for line in lines)
    return tuple(re.sub(r"^\d+-|\.patch$", "", file) for file in files if file)


def _numbers() -> dict[str, int]:
    places = {file: number for number, file in enumerate(order(), 1)}
    return {patch.name: places[patch.file] for patch in PATCHES if patch.file in places}


NUMBERS = _numbers()
"""By name; a patch that is not in the series has none."""

APPLIED = int(os.environ.get("SECCOMP_LAB_APPLIED") or 0) or None
"""How many patches of the series the kernel has, if not all."""

SINCE = int(os.environ.get("SECCOMP_LAB_SINCE") or 0)
"""Tests that prove no later patch than this one are left out."""


def proves(*names: str) -> pytest.MarkDecorator:
    """Mark a test, or all of a module, with the patches that it proves, by name.

    Raises ValueError for a name that no row of PATCHES has.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown or not names:
        known = ", ".join(NAMES)
        raise ValueError(f"no patch is called {', '.join(unknown) or '(no name)'}: {known}")
    return pytest.mark.proves(*names)


def applied(name: str) -> bool:
    """Whether the kernel has the patch, if it has any. With all of a series it has also what that
    series does under another file name.
    """
    return APPLIED is None or NUMBERS.get(name, APPLIED + 1) <= APPLIED


def chosen(names: tuple[str, ...]) -> bool:
    """Whether a test that proves these is to run: the kernel has all of them, and one of them is
    later than SINCE.
    """
    late = not SINCE or any(NUMBERS.get(name, 0) > SINCE for name in names)
    return late and all(map(applied, names))


def numbers(names: tuple[str, ...]) -> list[int]:
    """The numbers of those that are in the series."""
    return sorted(NUMBERS[name] for name in names if name in NUMBERS)
