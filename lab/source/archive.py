# SPDX-License-Identifier: MIT
"""Bases that come as archives: Debian source packages and kernel.org releases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from lab.core.cache import DOWNLOADS_LOCK, Cache
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable
from lab.host import download, kernelorg, unpack
from lab.host.apt import Package, PrivateApt
from lab.source.git import Git, init_bare
from lab.source.importer import import_directory
from lab.source.room import (
    IMPORT_DATE,
    BaseRequest,
    BaseResult,
    Room,
    import_commit,
    makefile_version,
    remove_worktree,
)


@dataclass(frozen=True)
class Fetched:
    """A verified archive. ``open`` gives the kernel tarball in it as a stream."""

    version: str
    sha256: str
    origin: str
    open: Callable[[], AbstractContextManager[unpack.Packed]]
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A way to get an archive."""

    def fetch(self, cache: Cache, allow_newer: bool, ui: Ui) -> Fetched:
        """Raises Unavailable where this machine cannot use the source, other errors to stop."""


@dataclass(frozen=True)
class DebianPackage:
    """A ``linux-source`` package. ``upstream`` is the kernel release in it."""

    package: str
    version: str
    upstream: str
    suite: str
    sha256: str

    def fetch(self, cache: Cache, allow_newer: bool, ui: Ui) -> Fetched:
        """The pinned package, or a newer one of the same series where that is called for."""
        pinned = cache.downloads / f"{self.package}_{self.version}.deb"
        if pinned.is_file() and not allow_newer:
            download.verify(pinned, self.sha256)
            return self._fetched(self.version, self.sha256, pinned, ())
        apt = PrivateApt.for_suites(cache, "debian", (self.suite,))
        with cache.lock(f"tools/{apt.directory.name}", "reading package lists", ui.say):
            apt.update(ui)
            package, notes = self._choose(apt.versions(self.package), allow_newer)
            target = cache.downloads / f"{package.name}_{package.version}.deb"
            if package.version == self.version:
                # The pin must hold also if the archive's own list should say otherwise.
                package = replace(package, sha256=self.sha256)
            apt.download(package, target, ui)
        return self._fetched(package.version, package.sha256, target, notes)

    def _choose(
        self, offered: tuple[Package, ...], allow_newer: bool
    ) -> tuple[Package, tuple[str, ...]]:
        pinned = next((item for item in offered if item.version == self.version), None)
        if pinned and (not allow_newer or offered[0] == pinned):
            return pinned, ()
        if not offered:
            raise Unavailable(f"The suite {self.suite} has no package {self.package}.")
        newest = offered[0]
        if kernelorg.version_key(_upstream(newest.version)) < kernelorg.version_key(self.upstream):
            raise Unavailable(
                f"The suite {self.suite} has {self.package} {newest.version}, older than the "
                f"pinned {self.version}."
            )
        why = "it was asked for" if allow_newer else "the archive no longer has the pinned one"
        note = f"{self.package} {newest.version} stands in for the pinned {self.version}: {why}"
        return newest, (note,)

    def _fetched(self, version: str, sha256: str, path: Path, notes: tuple[str, ...]) -> Fetched:
        return Fetched(
            version=_upstream(version),
            sha256=sha256,
            origin=f"Debian package {self.package} {version} ({self.suite})",
            open=lambda: unpack.open_in_deb(path, r"/linux-source-[0-9.]+\.tar\.\w+$"),
            notes=notes,
        )


def _upstream(version: str) -> str:
    """Kernel release of a Debian version: "7.3.4-1~bpo13+1" is "7.3.4"."""
    return version.partition("-")[0]


@dataclass(frozen=True)
class KernelOrgTarball:
    """A release tarball from kernel.org."""

    version: str
    site: Callable[[], kernelorg.Site] = field(default=kernelorg.Site.default, repr=False)

    def fetch(self, cache: Cache, allow_newer: bool, ui: Ui) -> Fetched:
        """The release that is named, or a newer point release where that is called for."""
        series = ".".join(self.version.split(".")[:2])
        listed = kernelorg.releases(self.site(), series, cache, ui)
        chosen = next((item for item in listed if item.version == self.version), None)
        notes: tuple[str, ...] = ()
        if listed and (allow_newer or chosen is None) and listed[0] != chosen:
            newest = listed[0]
            why = "it was asked for" if allow_newer else "kernel.org no longer lists the pinned one"
            if kernelorg.version_key(newest.version) > kernelorg.version_key(self.version):
                chosen = newest
                notes = (f"linux {newest.version} stands in for the pinned {self.version}: {why}",)
        if chosen is None:
            raise Unavailable(f"kernel.org's checksum list does not name linux {self.version}.")
        path = kernelorg.fetch(chosen, cache, ui)
        return Fetched(
            version=chosen.version,
            sha256=chosen.sha256,
            origin=f"kernel.org {chosen.file_name}",
            open=lambda: unpack.open_tarball(path),
            notes=notes,
        )


@dataclass(frozen=True)
class ArchiveBase:
    """A base that comes as an archive; the first source that works is used. ``lacks``: what the
    suite may miss on it (by the names in selftests/harness/lacks.py).
    """

    sources: tuple[Source, ...]
    lacks: tuple[str, ...] = ()

    def pin(self) -> str:
        """Changes whenever a pinned version or digest changes."""
        return hashlib.sha256(repr(self.sources).encode()).hexdigest()

    def ensure(self, name: str, request: BaseRequest, ui: Ui) -> BaseResult:
        """See :func:`ensure_base`."""
        room = Room.of(request.cache, name)
        known = room.result(self.pin()) if not request.allow_newer else None
        if known is not None:
            return known
        with request.cache.lock(DOWNLOADS_LOCK, f"fetching base {name}", ui.say):
            fetched = self._fetch(request, ui)
            result = room.result(fetched.sha256)
            if result is None:
                result = _import_archive(room, fetched, ui)
                room.record(fetched.sha256, result)
        result = replace(result, notes=fetched.notes)
        if not request.allow_newer:
            room.record(self.pin(), result)
        return result

    def _fetch(self, request: BaseRequest, ui: Ui) -> Fetched:
        missed: list[str] = []
        for source in self.sources:
            try:
                fetched = source.fetch(request.cache, request.allow_newer, ui)
            except Unavailable as error:
                missed.append(error.message)
                continue
            if missed:
                note = f"{fetched.origin} is used: {' '.join(missed)}"
                fetched = replace(fetched, notes=(*fetched.notes, note))
            return fetched
        raise LabError(
            "No source has this base. " + " ".join(missed),
            hint="Use your own tree: --base path:DIR.",
        )


def _import_archive(room: Room, fetched: Fetched, ui: Ui) -> BaseResult:
    """Unpack into the spare worktree and commit what is there."""
    git = init_bare(room.git_dir)
    spare = room.directory / "spare"
    remove_worktree(git, spare)
    nothing = git.run("mktree", input="").stdout.strip()
    empty = git.commit_tree(nothing, "empty\n", date=IMPORT_DATE)
    git.run("worktree", "add", "-q", "--no-checkout", "--detach", spare, empty)
    with fetched.open() as packed:
        unpack.unpack(packed, spare, ui)
    makefile = spare / "Makefile"
    version = makefile_version(makefile.read_text()) if makefile.is_file() else "no kernel"
    if version != fetched.version:
        raise LabError(
            f"{fetched.origin} should contain Linux {fetched.version} but contains {version}."
        )
    tree = Git(spare)
    index = Path(tree.out("rev-parse", "--path-format=absolute", "--git-path", "index"))
    tree_id = import_directory(room.git_dir, spare, index, ui)
    digest = f"sha256:{fetched.sha256}"
    commit = import_commit(git, tree_id, version, digest)
    tree.run("update-ref", "--no-deref", "HEAD", commit)
    return BaseResult(
        name=room.name,
        version=version,
        git_dir=room.git_dir,
        commit=commit,
        digest=digest,
        origin=fetched.origin,
    )
