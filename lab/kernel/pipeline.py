# SPDX-License-Identifier: MIT
"""Strings the stages together: a plan in, each stage's result out, each bringing the earlier ones
up to date.
"""

from __future__ import annotations

import platform
import shlex
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core.cache import Cache
from lab.core.deadline import Limits, calibrate
from lab.core.session import Session
from lab.errors import LabError
from lab.guest import kvm
from lab.guest.boot import GuestRequest
from lab.host import pahole, tools
from lab.kernel.arches import DEFAULT_ARCH, Arch
from lab.kernel.build import BuildRequest, BuildResult, ensure_build
from lab.kernel.config import ConfigRequest, ConfigResult, ensure_config
from lab.kernel.fragments import read_fragment, read_fragments
from lab.kernel.kconfig import Kconfig
from lab.kernel.profiles import DEFAULT, Configuration, Profile, absent_file
from lab.kernel.seed import graft, seed
from lab.kernel.toolchain import Toolchain, find_toolchain
from lab.kernel.userspace import GuestArtifacts, ensure_guest, translate
from lab.kernel.userspace import GuestRequest as ArtifactRequest
from lab.source.base import BaseRequest, BaseResult, ensure_base, resolve
from lab.source.git import Git
from lab.source.series import Series
from lab.source.tree import KINDS, TreeRequest, TreeResult, ensure_tree, worktree

SERIES, CONTROL, OFF = "series", "control", "off"


@dataclass(frozen=True)
class Plan:
    """What a command works on. ``control``: the base without the series. ``applied``: how many
    patches of the series, from its beginning; None is all.
    """

    base: str
    newer: bool
    patches: Path
    control: bool
    profile: Profile
    arch: Arch
    applied: int | None = None

    @property
    def kind(self) -> str:
        """ "series", "control" or "off", as the manifest has it: what is expected of the tests."""
        if self.profile.off:
            return OFF
        return CONTROL if self.control else SERIES

    def options(self, profile: bool = True) -> list[str]:
        """The command line options that make this plan; ``profile`` False: for a command that has
        profiles of its own.
        """
        options = ["--base", self.base]
        options += ["--profile", self.profile.name] if profile else []
        options += ["--newer"] if self.newer else []
        options += ["--control"] if self.control and not self.profile.control else []
        options += ["--applied", str(self.applied)] if self.applied is not None else []
        if self.patches.resolve() != (PROJECT_ROOT / "patches").resolve():
            options += ["--patches", str(self.patches)]
        options += ["--arch", self.arch.name] if self.arch.name != DEFAULT_ARCH else []
        return options


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
            "base": {
                "name": self.base.name,
                "version": self.base.version,
                "origin": self.base.origin,
                "digest": self.base.digest,
                "commit": self.base.commit,
                "notes": self.base.notes,
            },
            "tree": {"head": self.tree.head, "local": self.tree.local},
            "patches": [
                {
                    "number": patch.number,
                    "title": patch.title,
                    "file": patch.file,
                    "patch_id": ids.get(patch.number, ""),
                    "applied": patch.number in ids,
                }
                for patch in self.series.patches
            ],
        }


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


REASON_WIDTH = 120
"""Characters of the reason why there is no KVM; QEMU can be lengthy. `lab doctor` has it whole."""

Stage = Callable[[str, dict[str, Any]], None]
"""Told the name of a stage that is done, and what to put into the manifest. The stages: "base",
"tree", "config", "build", "guest files".
"""


def _nobody(name: str, fields: dict[str, Any]) -> None:
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


@dataclass(frozen=True)
class Accelerator:
    """What runs the guest's instructions, and why."""

    name: str
    reason: str


def choose_accelerator(session: Session, arch: Arch) -> Accelerator:
    """KVM if a guest has been seen to run under it, else emulation, which is said aloud.

    Raises LabError if QEMU does not run guests at all.
    """
    if not arch.native:
        return Accelerator("tcg", f"{arch.name} is foreign to this host")
    result = kvm.probe(session.cache, arch.qemu)
    if result.works:
        return Accelerator("kvm", result.reason)
    if not result.emulation:
        raise LabError(
            f"{arch.qemu} runs no guest: {result.reason}.",
            hint="`lab doctor` says what is missing.",
        )
    reason = textwrap.shorten(result.reason, REASON_WIDTH, placeholder=" ...")
    session.ui.say(f"no KVM, so the guest is emulated, which is slow: {reason}")
    return Accelerator("tcg", reason)


def guest_request(
    plan: Plan,
    kernel: Kernel,
    accelerator: Accelerator,
    run_dir: Path,
    limits: Limits,
) -> GuestRequest:
    """The guest of a plan."""
    profile = plan.profile
    return GuestRequest(
        image=kernel.build.image,
        arch=plan.arch,
        accelerator=accelerator.name,
        cpus=profile.cpus,
        memory=profile.configuration.memory,
        kernel_args=profile.kernel_args,
        run_dir=run_dir,
        # Guests that run at the same time are told apart, in ps as well.
        name=f"lab-{run_dir.name[-40:].replace('.', '-')}",
        limits=limits,
    )


def guest_limits(plan: Plan, accelerator: Accelerator, overrides: dict[str, float]) -> Limits:
    """The limits of a plan's guests."""
    slowness = plan.profile.configuration.slowness * plan.profile.patience
    limits = calibrate(accelerator.name, plan.arch.native, slowness)
    return limits.override(overrides)


def early_manifest(session: Session, plan: Plan, run_id: str, command: list[str]) -> dict[str, Any]:
    """What is known about a run before its first stage."""
    return {
        "id": run_id,
        "kind": plan.kind,
        "reproduce": shlex.join(command),
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
