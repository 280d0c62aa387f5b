# SPDX-License-Identifier: MIT
"""A pahole that is new enough for the kernel's BTF.

Linux 7.3 wants 1.26 (Documentation/process/changes.rst); Debian 12 and Ubuntu 24.04 have older
ones. Where the host's is too old, a newer release's package is unpacked with all that it needs,
C library included, into a private prefix, and run through that prefix's own dynamic loader.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from pathlib import Path

from lab.core import proc
from lab.core.cache import DOWNLOADS_LOCK, Cache, atomic_write
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable
from lab.host.apt import PrivateApt, Release, from_first

MINIMUM = (1, 26)

LOADERS = ("ld-linux*.so.*", "ld64.so.*")
"""File names of dynamic loaders, ld.so(8)."""


RELEASES = (Release("debian", "trixie"), Release("ubuntu", "resolute"))


def version_of(command: str | Path) -> tuple[int, ...] | None:
    """Version that a pahole states ("v1.24"); None if it does not run."""
    try:
        output = proc.run([command, "--version"], check=False).stdout
    except LabError:
        return None
    match = re.search(r"v?(\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else None


def private(cache: Cache) -> Path:
    """Where the lab's own pahole lies, if it has been needed."""
    return cache.tools / "pahole" / "pahole"


def provide(cache: Cache, ui: Ui) -> Path:
    """A pahole of at least MINIMUM: the host's, else the lab's own, brought on first need.

    Raises LabError, saying what to install, if neither can be had.
    """
    host = shutil.which("pahole")
    if host and (version_of(host) or (0,)) >= MINIMUM:
        return Path(host)
    own = private(cache)
    with cache.lock_entry(own, "bringing pahole", ui.say):
        if not own.is_file():
            with cache.lock(DOWNLOADS_LOCK, "fetching pahole", ui.say):
                _bring(own, cache, ui)
    return own


def _bring(own: Path, cache: Cache, ui: Ui) -> None:
    def fetch(apt: PrivateApt, _: Release) -> tuple[Path, ...]:
        return apt.closure(("pahole",), cache.downloads / "pahole", ui)

    try:
        release, debs = from_first(RELEASES, PrivateApt.for_suites, cache, ui, fetch)
    except Unavailable as error:
        raise LabError(
            f"pahole {MINIMUM[0]}.{MINIMUM[1]} or newer is needed, and this host has none. "
            + error.message,
            hint="Install a newer one: package pahole or dwarves, or build it from its source "
            "(git://git.kernel.org/pub/scm/devel/pahole/pahole.git) into your PATH.",
        ) from None
    ui.say(f"unpacking a private pahole ({release})")
    _unpack(debs, own)


def _unpack(debs: tuple[Path, ...], own: Path) -> None:
    """Unpack beside the place, try it, then move it there."""
    home = own.parent
    home.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=home, prefix="new-"))
    try:
        for deb in debs:
            proc.run(["dpkg-deb", "-x", deb, scratch])
        probe = scratch / "try"
        _write_wrapper(probe, scratch)
        version = version_of(probe)
        if version is None or version < MINIMUM:
            raise LabError(f"The pahole unpacked from {debs[0].parent} does not run as it should.")
        probe.unlink()
        prefix = home / "prefix"
        if prefix.exists():
            shutil.rmtree(prefix)
        scratch.replace(prefix)
        _write_wrapper(own, prefix)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_wrapper(path: Path, prefix: Path) -> None:
    """A shell script that runs the prefix's pahole with the prefix's loader and libraries."""
    loader = _find(prefix, LOADERS)
    program = _find(prefix, ("pahole",))
    directories = sorted({library.parent for library in prefix.glob("**/lib*.so.*")})
    command = [str(loader), "--library-path", ":".join(map(str, directories)), str(program)]
    atomic_write(path, f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)


def _find(prefix: Path, patterns: tuple[str, ...]) -> Path:
    for directory in ("usr/bin", "lib64", "usr/lib64", "lib", "usr/lib"):
        for pattern in patterns:
            for path in sorted((prefix / directory).glob(f"**/{pattern}")):
                if path.is_file():
                    return path
    raise LabError(f"There is no {' or '.join(patterns)} in the packages unpacked in {prefix}.")
