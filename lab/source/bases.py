# SPDX-License-Identifier: MIT
"""Stage 1, base: the kernel source that the series is applied to, as a git commit.

A base that comes as an archive is fetched once, verified, unpacked and imported as one commit whose
id depends on the content alone. It is unpacked into a git worktree, ``spare``, which the tree stage
takes over: nothing is written twice.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

from lab.core.cache import Cache
from lab.core.ui import Ui
from lab.errors import UsageError
from lab.source.archive import ArchiveBase, DebianPackage, KernelOrgTarball
from lab.source.local import PathBase
from lab.source.remote import GitBase
from lab.source.room import BaseRequest, BaseResult, Room

BPF_NEXT_ENVIRONMENT = "SECCOMP_LAB_BPF_NEXT_URL"

BaseSpec = ArchiveBase | GitBase | PathBase

MAIN_BASE = "linux-7.3"
"""The base that ``patches/`` is written for; on another one it is a port."""

BASES: dict[str, BaseSpec] = {
    MAIN_BASE: ArchiveBase(
        sources=(
            DebianPackage(
                package="linux-source-7.3",
                version="7.3.4-1~bpo13+1",
                upstream="7.3.4",
                suite="trixie-backports",
                sha256="703e369ddd4cce971452f5a593ee55df3a5c10c83caf0fa0df039633ed181ee3",
            ),
            KernelOrgTarball(version="7.3.4"),
        ),
    ),
    "linux-7.2": ArchiveBase(
        sources=(
            DebianPackage(
                package="linux-source-7.2",
                version="7.2.12-1~bpo13+1",
                upstream="7.2.12",
                suite="trixie-backports",
                sha256="73ca6c22599ba411ab3179642d33501ca2c90174e13c3c8d86e996ea1cbf2a8f",
            ),
            KernelOrgTarball(version="7.2.12"),
        ),
    ),
    "linux-6.12": ArchiveBase(
        sources=(
            DebianPackage(
                package="linux-source-6.12",
                version="6.12.117-1",
                upstream="6.12.117",
                suite="trixie",
                sha256="9141325315c7f1eca682113d185a8c77c82814aa6e32f7e127e61d6106403835",
            ),
            KernelOrgTarball(version="6.12.117"),
        ),
        lacks=(
            "helpers-for-all-types",
            "newer-kernel-functions",
            "instruction-arrays",
            "maps-bound-by-fd-array",
            "untrusted-arguments",
            "uprobe-system-call",
            "ptrace-set-syscall-info",
            "length-of-empty-strings",
        ),
    ),
    "bpf-next": GitBase(
        url=lambda: os.environ.get(
            BPF_NEXT_ENVIRONMENT, "https://git.kernel.org/pub/scm/linux/kernel/git/bpf/bpf-next.git"
        ),
        branch="master",
    ),
}


def base_names() -> str:
    """What a caller can name, for a message."""
    return f"{', '.join(BASES)}, bpf-next@COMMIT, path:DIR"


def ready_base(cache: Cache, name: str) -> BaseResult | None:
    """A base that was fetched before, the last one that was; None if there is none."""
    room = Room.of(cache, name)
    return room.last() if room.records.is_file() else None


def resolve(spec_name: str) -> tuple[str, BaseSpec]:
    """Cache name and spec of what the caller named. Raises UsageError if there is no such base."""
    if spec_name.startswith("path:"):
        directory = Path(spec_name.removeprefix("path:")).expanduser().absolute()
        short = hashlib.sha256(os.fsencode(directory)).hexdigest()[:8]
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", directory.name) or "root"
        return f"path-{slug}-{short}", PathBase(directory)
    name, at, commit = spec_name.partition("@")
    spec = BASES.get(name)
    if spec is None:
        raise UsageError(
            f"There is no base {spec_name!r}.",
            hint=f"Known: {base_names()}.",
        )
    if at:
        if not isinstance(spec, GitBase):
            raise UsageError(f"Base {name} is no git repository: {spec_name!r} names a commit.")
        spec = replace(spec, commit=commit)
    return name, spec


def base_lacks(spec_name: str) -> tuple[str, ...]:
    """What the suite may miss on a base; nothing on a tree of the caller's. Raises UsageError."""
    _, spec = resolve(spec_name)
    return spec.lacks if isinstance(spec, ArchiveBase) else ()


def ensure_base(request: BaseRequest, ui: Ui) -> BaseResult:
    """Have a base ready: fetched, verified, imported. Nothing to do costs two git calls.

    Raises UsageError on an unknown base or a directory that is no kernel tree,
    lab.download.Mismatch on a wrong digest, LabError if no source can be reached.
    """
    name, spec = resolve(request.spec_name)
    with request.cache.lock_entry(request.cache.bases / name, f"preparing base {name}", ui.say):
        result = spec.ensure(name, request, ui)
    for note in result.notes:
        ui.warn(note)
    return result
