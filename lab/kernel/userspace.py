# SPDX-License-Identifier: MIT
"""What the guest needs beside the kernel, built from the tree under test.

Its UAPI headers, its libbpf, the filters of ``selftests/bpf/`` and ``selftests/gallery/`` compiled
against both, as are the gallery's translations of a container runtime's profile, small native
programs of ``selftests/native/``, and the tree's own sample. Each finished set gets a directory of
its own, named by what it was made from, so that a guest that runs keeps its set while the next one
is made.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lab import PROJECT_ROOT
from lab.core import proc
from lab.core.cache import Cache, atomic_write
from lab.core.stamp import Stamp, digest_of
from lab.core.ui import Ui
from lab.errors import LabError
from lab.host import container_profile, tools
from lab.kernel.arches import Arch
from lab.kernel.config import RECORDS
from lab.kernel.toolchain import Toolchain
from lab.source.room import makefile_version
from lab.source.state import files_digest, source_digest
from lab.source.worktree import PART, SERIES, TreeResult

FILTERS = tuple(PROJECT_ROOT / "selftests" / name for name in ("bpf", "gallery"))
GALLERY = PROJECT_ROOT / "selftests" / "gallery"
NATIVE = PROJECT_ROOT / "selftests" / "native"

GUEST_FILES = "guest"
"""In a build directory: sets of what guests are given, which may be in use."""

PROFILE = "container_profile.json"
"""The container runtime's profile, as it was translated."""

HEADER_SOURCES = ("include/uapi", "arch/*/include/uapi", "scripts/", "usr/include", "Makefile")
LIBBPF_SOURCES = ("tools/lib", "tools/include", "tools/build", "tools/scripts", "include/uapi")

KEPT_SETS = 3
"""Finished sets that stay whatever their age."""

IN_USE_SECONDS = 24 * 3600.0
"""A guest may still run on a set that was taken less long ago: a fuzz run takes hours."""

BPF_FLAGS = ("-target", "bpf", "-g", "-O2", "-Wall", "-nostdinc", "-fno-jump-tables")
"""Without tables: a table is a map to the kernel, and filters of tier 1 have none."""

VMLINUX_H = """\
/* Stands in for the header that bpftool makes from the kernel's BTF: what the samples take from it
 * is user-visible API. */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/seccomp.h>
"""


@dataclass(frozen=True)
class Sample:
    """A sample program that the series adds: its user space half, its BPF half."""

    name: str
    user: str
    bpf: str

    def is_in(self, tree: TreeResult) -> bool:
        """Whether it is to be built: from the series always, from the beginning of one if it has
        come as far.
        """
        return tree.kind == SERIES or (tree.kind == PART and (tree.path / self.user).exists())


SAMPLES: tuple[Sample, ...] = (
    Sample(
        "test_seccomp",
        "samples/bpf/test_seccomp_user.c",
        "samples/bpf/test_seccomp.bpf.c",
    ),
)


@dataclass(frozen=True)
class Translated:
    """A container runtime's profile: its own text, and filters in C by object name."""

    profile: bytes
    filters: Mapping[str, str]


NO_PROFILE = Translated(b"", MappingProxyType({}))


@dataclass(frozen=True)
class GuestRequest:
    """Artifacts for guests of ``arch`` that run the kernel of ``tree``, below ``build_dir``."""

    tree: TreeResult
    arch: Arch
    build_dir: Path
    toolchain: Toolchain
    cache: Cache
    translated: Translated = NO_PROFILE
    jobs: int = os.cpu_count() or 1


@dataclass(frozen=True)
class GuestArtifacts:
    """``directory`` is what ``SECCOMP_LAB_GUEST`` names in the guest; ``key`` says what it was made
    from; ``files`` are in it.
    """

    directory: Path
    key: str
    files: tuple[str, ...]


def ensure_guest(request: GuestRequest, ui: Ui) -> GuestArtifacts:
    """Have the artifacts. Nothing changed: nothing is run but git.

    Raises LabError with the compiler's words if something does not compile.
    """
    clang = tools.command("clang", request.cache)
    samples = tuple(sample for sample in SAMPLES if sample.is_in(request.tree))
    key = _key(request, clang, samples)
    finished = request.build_dir / GUEST_FILES / key[:16]
    if not finished.is_dir():
        ui.say(f"building the guest's libbpf and filters from {request.tree.path.name}")
        made = _Made(request, clang, samples, headers(request), _libbpf(request))
        _publish(finished, made.compile)
        _forget_old(finished)
    os.utime(finished)
    return GuestArtifacts(finished, key, tuple(sorted(file.name for file in finished.iterdir())))


def translate(tree: TreeResult, arch: Arch, cache: Cache, ui: Ui) -> Translated:
    """Have a container runtime's profile translated for guests of ``arch`` that run ``tree``.

    Raises UsageError if it is no profile, LabError if none can be had.
    """
    profile = container_profile.provide(cache, ui)
    version = makefile_version((tree.path / "Makefile").read_text())
    filters = container_profile.translations(profile, version, arch.name)
    return Translated(profile.read_bytes(), filters)


def _key(request: GuestRequest, clang: str, samples: Sequence[Sample]) -> str:
    in_tree = [path for sample in samples for path in (sample.user, sample.bpf)]
    parts = (
        source_digest(request.tree, (*HEADER_SOURCES, *LIBBPF_SOURCES, *in_tree)),
        files_digest(_filters() + _filter_headers() + _native() + _native_headers()),
        request.toolchain.key,
        clang,
        " ".join(BPF_FLAGS),
        hashlib.sha256(request.translated.profile).hexdigest(),
        *request.translated.filters.values(),
        *(sample.name for sample in samples),
    )
    return digest_of(*parts)


def _filters() -> list[Path]:
    return [path for place in FILTERS for path in sorted(place.glob("*.bpf.c"))]


def _filter_headers() -> list[Path]:
    return [path for place in FILTERS for path in sorted(place.glob("*.h"))]


def _native() -> list[Path]:
    return sorted(NATIVE.glob("*.c"))


def _native_headers() -> list[Path]:
    return sorted(NATIVE.glob("*/*.h"))


def headers(request: GuestRequest) -> Path:
    """The UAPI headers of the tree, sanitized by its own ``make headers``."""
    include = request.build_dir / "usr" / "include"
    stamp = Stamp(request.build_dir / RECORDS / "headers.json")
    key = source_digest(request.tree, HEADER_SOURCES)
    if stamp.read(key) is None:
        stamp.remove()
        command = ["make", "-C", str(request.tree.path), f"O={request.build_dir}"]
        command += [*request.toolchain.make_args, f"-j{request.jobs}", "headers"]
        proc.run(command, env=request.toolchain.environment, log=stamp.path.with_suffix(".log"))
        stamp.write(key)
    return include


def _libbpf(request: GuestRequest) -> Path:
    """A directory with libbpf.so as the tree builds it, and ``bpf/`` headers."""
    directory = request.build_dir / "libbpf"
    stamp = Stamp(request.build_dir / RECORDS / "libbpf.json")
    key = source_digest(request.tree, LIBBPF_SOURCES) + request.toolchain.key
    if stamp.read(key) is None:
        stamp.remove()
        directory.mkdir(parents=True, exist_ok=True)
        source = request.tree.path / "tools" / "lib" / "bpf"
        prefix = request.arch.toolchain_prefix
        command = ["make", "-C", str(source), f"OUTPUT={directory}/", f"-j{request.jobs}"]
        command += [f"CROSS_COMPILE={prefix}"] if prefix else []
        target = f"{directory}/libbpf.so"
        proc.run(
            [*command, target],
            env=request.toolchain.environment,
            log=stamp.path.with_suffix(".log"),
        )
        headers = directory / "include" / "bpf"
        shutil.rmtree(headers, ignore_errors=True)
        headers.mkdir(parents=True)
        for header in (*source.glob("*.h"), directory / "bpf_helper_defs.h"):
            shutil.copy2(header, headers)
        atomic_write(directory / "include" / "vmlinux.h", VMLINUX_H)
        stamp.write(key)
    return directory


@dataclass(frozen=True)
class _Made:
    """What a set is made from. ``include``: the tree's UAPI headers, ``libbpf``: its libbpf."""

    request: GuestRequest
    clang: str
    samples: Sequence[Sample]
    include: Path
    libbpf: Path

    @functools.cached_property
    def resources(self) -> Path:
        """The compiler's own headers."""
        return Path(proc.run([self.clang, "-print-resource-dir"]).stdout.strip()) / "include"

    def compile(self, work: Path) -> None:
        """Fill ``work`` with everything."""
        real = (self.libbpf / "libbpf.so").resolve()
        for name in ("libbpf.so", "libbpf.so.1"):
            shutil.copy2(real, work / name)
        self._filters(work)
        for source in _native():
            _cc([*self._gcc(), "-static", source, "-o", work / source.stem], source)
        for sample in self.samples:
            self._sample(sample, work)

    def _filters(self, work: Path) -> None:
        for source in _filters():
            self._bpf(source, work / source.name.replace(".c", ".o"))
        (work / PROFILE).write_bytes(self.request.translated.profile)
        for name, text in self.request.translated.filters.items():
            # The source stays, for who wants to read it.
            source = work / f"{name}.bpf.c"
            source.write_text(text)
            self._bpf(source, work / f"{name}.bpf.o")

    def _sample(self, sample: Sample, work: Path) -> None:
        user, filter_ = (self.request.tree.path / name for name in (sample.user, sample.bpf))
        self._bpf(filter_, work / f"{sample.name}.bpf.o")
        link = (str(work / "libbpf.so"), "-Wl,-rpath,$ORIGIN")
        _cc([*self._gcc(), *self._includes(), user, "-o", work / sample.name, *link], user)

    def _gcc(self) -> list[str]:
        return [f"{self.request.arch.toolchain_prefix}gcc", "-O2", "-Wall"]

    def _includes(self) -> list[str]:
        return [f"-I{self.libbpf / 'include'}", "-isystem", str(self.include)]

    def _bpf(self, source: Path, output: Path) -> None:
        system = ["-isystem", str(self.resources), *self._includes()]
        target = [f"-I{GALLERY}", f"-D__TARGET_ARCH_{self.request.arch.bpf_target}"]
        # The same source gives the same object, though the place is another each time.
        target += [f"-ffile-prefix-map={output.parent}=."]
        _cc([self.clang, *BPF_FLAGS, *system, *target, "-c", source, "-o", output], source)


def _cc(command: Sequence[str | os.PathLike[str]], source: Path) -> None:
    done = proc.run(command, check=False)
    if done.returncode != 0:
        said = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[:12])
        raise LabError(f"{source} does not compile:\n  {said}")


def _publish(finished: Path, fill: Callable[[Path], None]) -> None:
    """Fill a directory and put it in place by renaming: there is never half a set."""
    finished.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=finished.parent))
    try:
        fill(work)
        # The guest's tests look at these files as other users, too.
        work.chmod(0o755)
        work.rename(finished)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _forget_old(finished: Path) -> None:
    """Remove sets beyond the last few that nobody runs on, and what a killed run left half made."""
    recent = time.time() - IN_USE_SECONDS
    others = [path for path in finished.parent.iterdir() if path != finished]
    half = [path for path in others if path.name.startswith(".")]
    whole = sorted(set(others) - set(half), key=lambda path: path.stat().st_mtime, reverse=True)
    unused = [path for path in whole[KEPT_SETS - 1 :] if path.stat().st_mtime < recent]
    for path in (*half, *unused):
        shutil.rmtree(path, ignore_errors=True)
