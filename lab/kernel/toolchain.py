# SPDX-License-Identifier: MIT
"""The compilers of a build: which they are, and the make variables that every step shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.core import proc
from lab.core.cache import Cache
from lab.errors import LabError
from lab.kernel.arches import Arch

FIXED = {
    # Two builds of one source are one kernel: no clock, user or host in it (Documentation/kbuild/
    # reproducible-builds.rst).
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_VERSION": "1",
    "KBUILD_BUILD_USER": "lab",
    "KBUILD_BUILD_HOST": "lab",
}


@dataclass(frozen=True)
class Toolchain:
    """``versions`` maps tool to its first version line. ``ccache`` is a directory of compiler names
    that lead to ccache, None without it.
    """

    arch: Arch
    pahole: Path
    versions: Mapping[str, str]
    ccache: Path | None

    @property
    def make_args(self) -> list[str]:
        """Variables for every make in the kernel's tree."""
        args = [f"ARCH={self.arch.make_arch}", f"PAHOLE={self.pahole}"]
        if self.arch.toolchain_prefix:
            args.append(f"CROSS_COMPILE={self.arch.toolchain_prefix}")
        return args

    @property
    def environment(self) -> dict[str, str | None]:
        """Environment of every make. The compiler is found through PATH, so that a build directory
        is the same with and without ccache, and by hand.
        """
        environment: dict[str, str | None] = {**FIXED, "LC_ALL": "C.UTF-8"}
        # Settings of a make that the lab was called from are not for the kernel's.
        environment.update(dict.fromkeys(("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "KBUILD_OUTPUT")))
        if self.ccache is not None:
            environment["PATH"] = f"{self.ccache}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            # Dependency mode: no extra run of the preprocessor, so that a miss costs next to
            # nothing (ccache(1), "depend mode").
            environment |= {"CCACHE_DEPEND": "1", "CCACHE_SLOPPINESS": "time_macros"}
        return environment

    @property
    def key(self) -> str:
        """Changes when a tool does."""
        return "; ".join(f"{tool}: {version}" for tool, version in sorted(self.versions.items()))


def find_toolchain(arch: Arch, pahole: Path, cache: Cache) -> Toolchain:
    """The tools for an architecture. Raises LabError naming the one that is missing."""
    prefix = arch.toolchain_prefix
    tools = {"gcc": f"{prefix}gcc", "ld": f"{prefix}ld", "pahole": str(pahole)}
    versions = {name: _version(command) for name, command in tools.items()}
    return Toolchain(arch, pahole, versions, _ccache(f"{prefix}gcc", cache))


def _version(command: str) -> str:
    lines = proc.run([command, "--version"]).stdout.splitlines()
    if not lines:
        raise LabError(
            f"`{command} --version` says nothing.", hint="`lab doctor` checks the tools."
        )
    return lines[0].strip()


def _ccache(compiler: str, cache: Cache) -> Path | None:
    """A directory with ``compiler`` as a link to ccache; None if there is no ccache."""
    found = shutil.which("ccache")
    if found is None:
        return None
    directory = cache.tools / "ccache"
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / compiler
    if not link.is_symlink() or str(link.readlink()) != found:
        temporary = directory / f".{compiler}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(found)
        temporary.replace(link)
    return directory
