# SPDX-License-Identifier: MIT
"""Stand-ins for what a job needs: kernels, an accelerator, the command that does it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.guest import kvm
from lab.guest.kvm import KvmResult
from lab.kernel.build import BuildResult
from lab.kernel.pipeline import Configured, Kernel, Stage
from lab.kernel.plan import Plan
from lab.kernel.userspace import GuestArtifacts
from lab.runs import manifest

PATCHES = (
    {"number": 1, "title": "Unproved", "file": "0001-a.patch", "patch_id": "a1", "applied": True},
    {"number": 2, "title": "The second", "file": "0002-b.patch", "patch_id": "b2", "applied": True},
)

STAGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("base", {}),
    (
        "tree",
        {
            "base": {"name": "linux-7.3", "version": "7.3.4", "digest": "sha256:1"},
            "tree": {"head": "c0ffee", "local": []},
            "patches": PATCHES,
        },
    ),
    ("config", {"config": {"digest": "c1", "requested": 3}, "toolchain": {"gcc": "gcc 12"}}),
    ("build", {"build": {"release": "7.3.4", "objects": 1, "seconds": 1.0, "fresh": True}}),
    ("guest files", {"guest_files": {"key": "k", "files": []}}),
)
"""What the stages of a kernel have to tell."""


def made_kernel(done: Stage | None = None, files: Path = Path("/g")) -> Kernel:
    """A kernel that nobody has built; its stages are told to ``done``."""
    if done is not None:
        for name, fields in STAGES:
            done(name, fields)
    build = BuildResult(Path("/v"), Path("/b"), (), 1, 1.0, "7.3.4", True, Path("/l"))
    configured: Configured = None  # type: ignore[assignment]
    return Kernel(configured, build, GuestArtifacts(files, "key", ()))


def without_kvm(monkeypatch: pytest.MonkeyPatch, reason: str = "there is none") -> None:
    """A host on which guests are emulated."""
    monkeypatch.setattr(kvm, "closed", lambda *_: reason)
    monkeypatch.setattr(kvm, "remembered", lambda *_: None)
    with_tools(monkeypatch)


def with_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which a guest has been seen to run under KVM."""
    monkeypatch.setattr(kvm, "closed", lambda *_: "")
    monkeypatch.setattr(kvm, "remembered", lambda *_: KvmResult(True, "a guest ran"))
    with_tools(monkeypatch)


def with_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose tools have been asked for their versions, which takes a program each."""
    monkeypatch.setattr(manifest, "tools", SimpleNamespace(versions=lambda _: {"qemu": "7.2"}))


def again(plan: Plan) -> Sequence[str]:
    """Does a run again, as far as these tests care."""
    return ("scripts/lab", "something", plan.profile.name)
