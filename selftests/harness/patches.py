# SPDX-License-Identifier: MIT
"""The patches of the series: what tests call them, and how to find out whether they are there.

A test says with :func:`proves` which patches it proves. The order, and with it the numbers, is the
series' own (:mod:`selftests.harness.series`): who inserts or splits a patch adds a row here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from selftests.harness import features, privileges, series


@dataclass(frozen=True)
class Patch:
    """``file`` is without its number and ``.patch``. ``probe`` returns if the running kernel has
    what the patch adds, and raises Absent if not.
    """

    name: str
    file: str
    title: str
    probe: Callable[[], None] = field(repr=False)

    @property
    def number(self) -> int | None:
        """Its place in the series, from 1; None if it is not in this one."""
        return series.number(self.file)


PATCHES = (
    Patch(
        "error-order",
        "seccomp-Move-no_new_privs-check-to-after-prepare_fil",
        "no_new_privs check after prepare_filter",
        features.error_order,
    ),
    Patch(
        "program-type",
        "bpf-seccomp-Add-eBPF-filter-capabilities",
        "program type, load, install, run",
        features.program_type,
    ),
    Patch(
        "retrieval",
        "seccomp-ptrace-Add-a-mechanism-to-retrieve-attached-",
        "retrieval by ptrace",
        features.retrieval,
    ),
    Patch("libbpf", "libbpf-recognize-section-seccomp", "libbpf", features.libbpf),
    Patch("sample", "samples-bpf-Add-eBPF-seccomp-sample-programs", "sample", features.sample),
    Patch("lsm-hook", "lsm-New-hook-seccomp_extended", "LSM hook", features.lsm_hook),
    Patch(
        "map-restriction",
        "bpf-verifier-allow-restricting-direct-map-access",
        "restriction of maps",
        features.restriction,
    ),
    Patch(
        "tier-1",
        "seccomp-ebpf-restrict-filter-to-almost-cBPF-if-LSM-r",
        "restriction to tier 1",
        features.restriction,
    ),
    Patch("yama", privileges.YAMA_PATCH, "Yama", features.yama),
    Patch(
        "user-memory",
        "seccomp-ebpf-Add-ability-to-read-user-memory",
        "user memory",
        features.user_memory,
    ),
    # NULL is accepted by the verifier of every kernel that has the program type, and that it means
    # the leader is what the tests of task-storage are about.
    Patch(
        "null-task",
        "bpf-verifier-support-NULL-able-ptr-to-BTF-ID-as-help",
        "NULL for a task",
        features.program_type,
    ),
    Patch(
        "task-storage",
        "seccomp-ebpf-support-task-storage-from-BPF-LSM-defau",
        "task storage of the leader",
        features.program_type,
    ),
)

BY_NAME = MappingProxyType({patch.name: patch for patch in PATCHES})


def proves(*names: str) -> pytest.MarkDecorator:
    """Marks tests with the patches that they prove. Raises ValueError if no patch has a name."""
    _check(names)
    return pytest.mark.proves(*names)


def proved_by(item: pytest.Item) -> list[Patch]:
    """The patches that a test proves, in the order of the series. Raises ValueError likewise."""
    names = {name for marker in item.iter_markers("proves") for name in marker.args}
    _check(names)
    return [patch for patch in in_order() if patch.name in names]


@functools.cache
def in_order() -> tuple[Patch, ...]:
    """All patches in the order of the series; those that are not in this one come last."""
    return tuple(sorted(PATCHES, key=lambda patch: patch.number or len(series.files()) + 1))


def _check(names: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(BY_NAME))
    if unknown:
        raise ValueError(f"no patch is called {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
