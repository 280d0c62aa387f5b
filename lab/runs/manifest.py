# SPDX-License-Identifier: MIT
"""``manifest.json``: what a run ran, written early and replaced atomically."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core import records
from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.errors import UsageError
from lab.host import tools
from lab.kernel.plan import Plan
from lab.source.git import Git

NAME = "manifest.json"


@dataclass(frozen=True)
class Base:
    """The kernel source; see :class:`lab.source.room.BaseResult`."""

    name: str = ""
    version: str = ""
    origin: str = ""
    digest: str = ""
    commit: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """The worktree: its commit, and files with changes that no commit has."""

    head: str = ""
    local: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patch:
    """A patch of the series. ``patch_id`` is that of git-patch-id(1), "" if it was not applied."""

    number: int = 0
    title: str = ""
    file: str = ""
    patch_id: str = ""
    applied: bool = False


@dataclass(frozen=True)
class Config:
    """The kernel's configuration: how many lines were requested, and by which fragments."""

    digest: str = ""
    requested: int = 0
    fragments: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Build:
    """The build that made the image; see :class:`lab.kernel.build.BuildResult`."""

    release: str = ""
    objects: int = 0
    seconds: float = 0.0
    fresh: bool = False
    warnings: tuple[str, ...] = ()
    image: str = ""
    build_dir: str = ""
    log: str = ""


@dataclass(frozen=True)
class Accelerator:
    """What ran the guest's instructions, and why."""

    name: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Guest:
    """``memory`` in MiB. ``whole``: nothing of the suite was left out by hand; ``command`` is
    pytest's. ``one_thread``: the processors, which are emulated, take turns.
    """

    cpus: int = 0
    memory: int = 0
    one_thread: bool = False
    kernel_args: tuple[str, ...] = ()
    whole: bool = False
    command: str = ""


@dataclass(frozen=True)
class Manifest:
    """The file. Fields that are not known yet, or not to this kind of run, have their default.

    ``profile`` has the fields of :class:`lab.kernel.profiles.Profile`; ``limits`` are seconds by
    name; ``profiles`` and ``steps`` are those of a matrix and of a walk; ``fuzz`` and ``bench`` are
    what these jobs were asked.
    """

    id: str = ""
    kind: str = ""
    kernel: str = ""
    reproduce: str = ""
    project: str = ""
    arch: str = ""
    profile: dict[str, Any] = field(default_factory=dict)
    host: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    base: Base = Base()
    tree: Tree = Tree()
    patches: tuple[Patch, ...] = ()
    config: Config = Config()
    toolchain: dict[str, str] = field(default_factory=dict)
    build: Build = Build()
    guest_files: dict[str, Any] = field(default_factory=dict)
    accelerator: Accelerator = Accelerator()
    limits: dict[str, float] = field(default_factory=dict)
    guest: Guest = Guest()
    profiles: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    fuzz: dict[str, Any] = field(default_factory=dict)
    bench: dict[str, Any] = field(default_factory=dict)

    @property
    def applied(self) -> tuple[Patch, ...]:
        """The patches that the kernel has."""
        return tuple(patch for patch in self.patches if patch.applied)


DEFAULTS = Manifest()


def write(directory: Path, **changes: Any) -> Manifest:
    """Write the manifest of a run directory; fields of an earlier one stay. The whole manifest."""
    path = directory / NAME
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    manifest = records.read(Manifest, {**known, **records.plain(changes)})
    data = {
        one.name: records.plain(value)
        for one in fields(Manifest)
        if (value := getattr(manifest, one.name)) != getattr(DEFAULTS, one.name)
    }
    atomic_write(path, json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")
    return manifest


def load(directory: Path) -> Manifest:
    """The manifest of a run directory. Raises UsageError if it is not there or no manifest."""
    path = directory / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("not an object")
        return records.read(Manifest, {key: v for key, v in data.items() if v is not None})
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{directory} is no run directory: {NAME}: {error}.", hint="`lab runs` lists the runs."
        ) from error


def early(session: Session, plan: Plan, command: Sequence[str]) -> dict[str, Any]:
    """What is known about a run before its first stage. ``command`` does it again."""
    return {
        "reproduce": shlex.join(command),
        "kernel": plan.kernel,
        "project": project_state(),
        "arch": plan.arch.name,
        "profile": asdict(plan.profile),
        "host": {"kernel": platform.release(), "machine": platform.machine()},
        "tools": {"python": platform.python_version(), **tools.versions(session.cache)},
    }


def project_state() -> str:
    """The checkout's commit, with "-dirty" if it has changes; "" if it is no checkout."""
    git = Git(PROJECT_ROOT)
    done = git.run("describe", "--always", "--dirty", "--abbrev=12", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
