# SPDX-License-Identifier: MIT
"""Strings the stages together: a plan in, each stage's result out, each bringing the earlier ones
up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import LabError
from lab.host import pahole
from lab.kernel.arches import Arch
from lab.kernel.build import BuildRequest, BuildResult, ensure_build
from lab.kernel.config import ConfigRequest, ConfigResult, ensure_config
from lab.kernel.fragments import read_fragment, read_fragments
from lab.kernel.kconfig import Kconfig
from lab.kernel.plan import Plan
from lab.kernel.profiles import DEFAULT, Configuration, absent_file
from lab.kernel.seed import graft, seed
from lab.kernel.toolchain import Toolchain, find_toolchain
from lab.kernel.userspace import GuestArtifacts, ensure_guest, translate
from lab.kernel.userspace import GuestRequest as ArtifactRequest
from lab.source.bases import ensure_base, resolve
from lab.source.git import Git
from lab.source.room import BaseRequest, BaseResult
from lab.source.series import Series
from lab.source.tree import ensure_tree
from lab.source.worktree import KINDS, TreeRequest, TreeResult, worktree


@dataclass(frozen=True)
class Source:
    """Base, tree, and the series as it is, applied or not."""

    base: BaseResult
    tree: TreeResult
    series: Series

    def describe(self) -> dict[str, Any]:
        """For the manifest."""
        ids = {patch.number: patch.patch_id for patch in self.tree.patches}
        return {
            **describe_base(self.base),
            "tree": {"head": self.tree.head, "local": self.tree.local},
            "patches": describe_patches(self.series, ids),
        }


def describe_base(base: BaseResult) -> dict[str, Any]:
    """For the manifest."""
    return {
        "base": {
            "name": base.name,
            "version": base.version,
            "origin": base.origin,
            "digest": base.digest,
            "commit": base.commit,
            "notes": base.notes,
        }
    }


def describe_patches(series: Series, ids: Mapping[int, str]) -> list[dict[str, Any]]:
    """For the manifest. ``ids`` are the patch-ids of the patches that are applied, by number."""
    return [
        {
            "number": patch.number,
            "title": patch.title,
            "file": patch.file,
            "patch_id": ids.get(patch.number, ""),
            "applied": patch.number in ids,
        }
        for patch in series.patches
    ]


@dataclass(frozen=True)
class Configured:
    """A build directory with its configuration."""

    source: Source
    build_dir: Path
    toolchain: Toolchain
    config: ConfigResult


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot, and what its guests need."""

    configured: Configured
    build: BuildResult
    artifacts: GuestArtifacts


Stage = Callable[[str, Mapping[str, Any]], None]
"""Told the name of a stage that is done, and what to put into the manifest. The stages: "base",
"tree", "config", "build", "guest files".
"""


def _nobody(name: str, fields: Mapping[str, Any]) -> None:
    pass


def tree_request(plan: Plan, base: BaseResult, series: Series, cache: Cache) -> TreeRequest:
    """The tree of a plan. Raises UsageError if more patches are asked for than there are."""
    if plan.control:
        return TreeRequest(base, None, cache)
    if plan.applied is None:
        return TreeRequest(base, series, cache)
    return TreeRequest(base, series.first(plan.applied), cache, part=True)


def bring_source(session: Session, plan: Plan, done: Stage = _nobody) -> Source:
    """Stages 1 and 2. Raises what they raise."""
    series = Series.read(plan.patches, resolve(plan.base)[0])
    base = ensure_base(BaseRequest(plan.base, session.cache, plan.newer), session.ui)
    done("base", {})
    request = tree_request(plan, base, series, session.cache)
    source = Source(base, ensure_tree(request, session.ui), series)
    done("tree", source.describe())
    return source


def build_name(tree: Path, arch: Arch, configuration: Configuration) -> str:
    """What the build directory of a worktree is called."""
    return f"{tree.name}-{arch.name}-{configuration.name}"


@contextmanager
def held(session: Session, plan: Plan, source: Source) -> Iterator[Path]:
    """Hold the tree, beside others who build it, and a build directory for it, alone; the latter.

    Raises LabError if the tree was moved before the lock was had.
    """
    cache, tree = session.cache, source.tree
    name = build_name(tree.path, plan.arch, plan.profile.configuration)
    build_dir = cache.builds / name
    with (
        cache.share_entry(tree.path, f"building {name}", session.ui.say),
        cache.lock_entry(build_dir, f"building {name}", session.ui.say),
    ):
        if Git(tree.path).out("rev-parse", "HEAD") != tree.head:
            raise LabError(
                f"Another run has moved the tree {tree.path} to another series.",
                hint="Run again, or give each series a cache of its own (--cache).",
            )
        yield build_dir


def plan_fragments(plan: Plan, tree: TreeResult) -> tuple[Path, ...]:
    """What is asked of a tree; with a part of the series, only what the tree knows of."""
    configuration = plan.profile.configuration
    files = configuration.fragment_files(plan.arch, series=not plan.control)
    if plan.applied is None:
        return files
    kconfig = Kconfig(tree.path, plan.arch.srcarch)
    early = set(configuration.fragment_files(plan.arch, series=False))
    return tuple(
        file for file in files if file in early or all(map(kconfig.knows, read_fragments([file])))
    )


def bring_config(
    session: Session, plan: Plan, source: Source, build_dir: Path, done: Stage = _nobody
) -> Configured:
    """Stage 3. Raises what it raises."""
    toolchain = find_toolchain(plan.arch, pahole.provide(session.cache, session.ui), session.cache)
    fragments = plan_fragments(plan, source.tree)
    absent = absent_file(source.base.name)
    request = ConfigRequest(source.tree, plan.arch, fragments, build_dir, toolchain, absent)
    config = ensure_config(request, session.ui)
    fields = {
        "digest": config.digest,
        "requested": config.requested,
        "fragments": [fragment.name for fragment in fragments],
        "absent": [line.text for line in read_fragment(absent)] if absent else [],
    }
    done("config", {"config": fields, "toolchain": dict(toolchain.versions)})
    return Configured(source, build_dir, toolchain, config)


def bring_build(
    session: Session, plan: Plan, configured: Configured, done: Stage = _nobody
) -> BuildResult:
    """Stage 4. Raises what it raises."""
    tree, build_dir = configured.source.tree, configured.build_dir
    others = (worktree(session.cache, configured.source.base.name, kind) for kind in KINDS)
    donors = {
        build_name(other, plan.arch, plan.profile.configuration): other
        for other in others
        if other != tree.path
    }
    if not graft(session.cache, build_dir, tree, donors, session.ui):
        seed(session.cache, build_dir, build_name(tree.path, plan.arch, DEFAULT), session.ui)
    request = BuildRequest(
        tree,
        plan.arch,
        configured.config,
        build_dir,
        configured.toolchain,
    )
    build = ensure_build(request, session.ui)
    done("build", {"build": asdict(build)})
    return build


def bring_kernel(session: Session, plan: Plan, done: Stage = _nobody) -> Kernel:
    """All stages up to what a guest boots. Raises what they raise."""
    source = bring_source(session, plan, done)
    # A profile that is none is found out now, and not after a build.
    translated = translate(source.tree, plan.arch, session.cache, session.ui)
    with held(session, plan, source) as build_dir:
        configured = bring_config(session, plan, source, build_dir, done)
        build = bring_build(session, plan, configured, done)
        request = ArtifactRequest(
            source.tree, plan.arch, build_dir, configured.toolchain, session.cache, translated
        )
        artifacts = ensure_guest(request, session.ui)
    done("guest files", {"guest_files": {"key": artifacts.key, "files": artifacts.files}})
    return Kernel(configured, build, artifacts)
