# SPDX-License-Identifier: MIT
"""Stage 1, base: the kernel source that the series is applied to, as a git commit.

A base that comes as an archive is fetched once, verified, unpacked and imported as one commit whose
id depends on the content alone. It is unpacked into a git worktree, ``spare``, which the tree stage
takes over: nothing is written twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from lab.core.cache import DOWNLOADS_LOCK, Cache, atomic_write
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable, UsageError
from lab.host import download, kernelorg, unpack
from lab.host.apt import Package, PrivateApt
from lab.source.git import Git, fetch_with_progress, init_bare
from lab.source.importer import import_directory

BPF_NEXT_ENVIRONMENT = "SECCOMP_LAB_BPF_NEXT_URL"

IMPORT_DATE = "1767225600 +0000"
"""Date of every import commit: the same archive gives the same commit id, always."""

TREE_FILES = ("Makefile", "Kconfig", "MAINTAINERS")
"""What makes a directory a kernel tree (scripts/checkpatch.pl, top_of_kernel_tree, looks for more;
these are enough to tell a mistyped path)."""


@dataclass(frozen=True)
class BaseResult:
    """A base, ready.

    ``digest`` says what it is made of: ``sha256:`` of the archive, ``git:`` commit, or ``tree:``
    git tree id of a plain directory. ``notes`` are what was said aloud about it.
    """

    name: str
    version: str
    git_dir: Path
    commit: str
    digest: str
    origin: str
    notes: tuple[str, ...] = ()

    @property
    def spare(self) -> Path:
        """A worktree of the base that nobody has taken yet; may not exist."""
        return self.git_dir.parent / "spare"


@dataclass(frozen=True)
class BaseRequest:
    """Which base. ``spec_name``: a key of BASES, ``NAME@COMMIT`` of a git one, or ``path:DIR``."""

    spec_name: str
    cache: Cache
    allow_newer: bool = False


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


@dataclass(frozen=True)
class GitBase:
    """A base that is a branch of a git repository; ``commit`` None means its tip."""

    url: Callable[[], str]
    branch: str
    commit: str | None = None

    def ensure(self, name: str, request: BaseRequest, ui: Ui) -> BaseResult:
        """See :func:`ensure_base`. The tip is looked up the first time and with ``allow_newer``."""
        room = Room.of(request.cache, name)
        git = init_bare(room.git_dir)
        key = self.commit or "tip"
        known = room.result(key) if self.commit or not request.allow_newer else None
        if known is not None:
            return known
        commit = self._fetch(git, ui)
        git.run("update-ref", f"refs/lab/base/{commit}", commit)
        result = BaseResult(
            name=name,
            version=source_version(git, commit),
            git_dir=room.git_dir,
            commit=commit,
            digest=f"git:{commit}",
            origin=f"git {self.url()} {self.commit or self.branch}",
        )
        room.record(key, result)
        return result

    def _fetch(self, git: Git, ui: Ui) -> str:
        what = self.commit or f"refs/heads/{self.branch}"
        if self.commit and not re.fullmatch(r"[0-9a-f]{40}", self.commit):
            raise UsageError(
                f"{self.commit!r} is not a full commit id.",
                hint="Give all 40 hex digits: a server hands out whole names only.",
            )
        ui.say(f"fetching {what} of {self.url()}")
        failure = fetch_with_progress(git, self.url(), what, depth=1, ui=ui)
        if failure and self.commit:
            # A server may refuse to hand out a commit that is no branch's tip: take the branch.
            ui.say("the server does not give single commits: fetching the whole branch")
            whole = fetch_with_progress(git, self.url(), f"refs/heads/{self.branch}", None, ui)
            failure = whole or ("" if git.has_commit(self.commit) else failure)
        if failure:
            raise LabError(f"Cannot fetch {what} of {self.url()}: {failure}")
        commit = git.resolve(self.commit or "FETCH_HEAD")
        if commit is None:
            raise LabError(f"{self.url()} sent no commit for {what}.")
        return commit


@dataclass(frozen=True)
class PathBase:
    """The caller's own tree. Nothing is written into it."""

    directory: Path

    def ensure(self, name: str, request: BaseRequest, ui: Ui) -> BaseResult:
        """See :func:`ensure_base`. A git tree gives its HEAD, another its files as they are."""
        missing = [file for file in TREE_FILES if not (self.directory / file).is_file()]
        if missing:
            raise UsageError(
                f"{self.directory} is no kernel source tree: there is no {', '.join(missing)}.",
                hint="Name the top directory of a Linux tree: --base path:DIR.",
            )
        room = Room.of(request.cache, name)
        common = self._git_common_dir()
        if common is None:
            return self._import(room, ui)
        return self._borrow(room, common)

    def _git_common_dir(self) -> Path | None:
        """The tree's git directory; None if it is no git tree (or a part of somebody else's)."""
        git = Git(self.directory)
        top = git.run("rev-parse", "--show-toplevel", check=False)
        if top.returncode != 0 or Path(top.stdout.strip()).resolve() != self.directory.resolve():
            return None
        if git.resolve("HEAD") is None:
            return None
        return Path(git.out("rev-parse", "--path-format=absolute", "--git-common-dir"))

    def _borrow(self, room: Room, common: Path) -> BaseResult:
        """Use the objects where they are, through git's alternates (gitrepository-layout(5))."""
        git = init_bare(room.git_dir)
        info = room.git_dir / "objects" / "info"
        atomic_write(info / "alternates", f"{common / 'objects'}\n")
        if (common / "shallow").is_file():
            shutil.copyfile(common / "shallow", room.git_dir / "shallow")
        theirs = Git(self.directory)
        commit = theirs.out("rev-parse", "HEAD")
        changed = theirs.out(
            "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"
        ).splitlines()
        notes: tuple[str, ...] = ()
        if changed:
            names = ", ".join(line[3:] for line in changed[:3]) + (", ..." if changed[3:] else "")
            notes = (
                f"{self.directory} has uncommitted changes ({names}): its last commit is used "
                "without them",
            )
        git.run("update-ref", f"refs/lab/base/{commit}", commit)
        return BaseResult(
            name=room.name,
            version=source_version(git, commit),
            git_dir=room.git_dir,
            commit=commit,
            digest=f"git:{commit}",
            origin=f"path {self.directory}",
            notes=notes,
        )

    def _import(self, room: Room, ui: Ui) -> BaseResult:
        if (self.directory / ".config").exists() or (self.directory / "include/generated").exists():
            raise UsageError(
                f"{self.directory} has been built in: its build products would become source.",
                hint="`make mrproper` there, or name a clean copy.",
            )
        git = init_bare(room.git_dir)
        index = room.directory / "index"
        if index.exists():
            git = Git(room.git_dir, index=index, work_tree=self.directory)
            git.run("-c", "core.looseCompression=0", "add", "--force", "--all")
            tree = git.out("write-tree")
        else:
            tree = import_directory(room.git_dir, self.directory, index, ui)
        version = makefile_version((self.directory / "Makefile").read_text(errors="replace"))
        commit = _commit(Git(room.git_dir), tree, version, f"tree:{tree}")
        return BaseResult(
            name=room.name,
            version=version,
            git_dir=room.git_dir,
            commit=commit,
            digest=f"tree:{tree}",
            origin=f"path {self.directory}",
        )


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


@dataclass(frozen=True)
class Room:
    """The directory of one base in the cache: repository, spare worktree and what is recorded."""

    name: str
    directory: Path

    @classmethod
    def of(cls, cache: Cache, name: str) -> Room:
        return cls(name, cache.bases / name)

    @property
    def git_dir(self) -> Path:
        return self.directory / "repo.git"

    @property
    def records(self) -> Path:
        """What is ready; written after everything else, so what is named there is whole."""
        return self.directory / "base.json"

    def result(self, key: str) -> BaseResult | None:
        """What was recorded under ``key`` (a pin or a digest), if its commit is still there."""
        row = self._rows().get(key)
        if row is None or not Git(self.git_dir).has_commit(row["commit"]):
            return None
        return BaseResult(
            **{**row, "git_dir": self.git_dir, "name": self.name, "notes": tuple(row["notes"])}
        )

    def last(self) -> BaseResult | None:
        """What was recorded last."""
        keys = list(self._rows())
        return self.result(keys[-1]) if keys else None

    def record(self, key: str, result: BaseResult) -> None:
        """Remember a finished base."""
        row = {**asdict(result), "git_dir": "", "notes": list(result.notes)}
        atomic_write(self.records, json.dumps({**self._rows(), key: row}, indent=2) + "\n")

    def _rows(self) -> dict[str, dict]:  # type: ignore[type-arg]
        try:
            rows = json.loads(self.records.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return rows if isinstance(rows, dict) else {}


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
        raise LabError(f"{fetched.origin} was to hold Linux {fetched.version}, holds {version}.")
    tree = Git(spare)
    index = Path(tree.out("rev-parse", "--path-format=absolute", "--git-path", "index"))
    tree_id = import_directory(room.git_dir, spare, index, ui)
    digest = f"sha256:{fetched.sha256}"
    commit = _commit(git, tree_id, version, digest)
    tree.run("update-ref", "--no-deref", "HEAD", commit)
    return BaseResult(
        name=room.name,
        version=version,
        git_dir=room.git_dir,
        commit=commit,
        digest=digest,
        origin=fetched.origin,
    )


def _commit(git: Git, tree: str, version: str, digest: str) -> str:
    commit = git.commit_tree(tree, f"Linux {version}\n\nImported from {digest}\n", date=IMPORT_DATE)
    git.run("update-ref", f"refs/lab/base/{commit}", commit)
    return commit


def remove_worktree(git: Git, path: Path) -> None:
    """Remove a worktree, also one that was left half made."""
    if path.exists():
        shutil.rmtree(path)
    git.run("worktree", "prune")


def makefile_version(text: str) -> str:
    """Release from a kernel's top Makefile: VERSION, PATCHLEVEL, SUBLEVEL, EXTRAVERSION."""

    def value(name: str) -> str:
        match = re.search(rf"^{name} *= *(\S*)", text, re.MULTILINE)
        return match[1] if match else ""

    sublevel = value("SUBLEVEL")
    numbers = [value("VERSION"), value("PATCHLEVEL"), "" if sublevel == "0" else sublevel]
    return ".".join(number for number in numbers if number) + value("EXTRAVERSION")


def source_version(git: Git, commit: str) -> str:
    """Release of a commit's source. Raises UsageError if the commit is no kernel tree."""
    shown = git.run("show", f"{commit}:Makefile", check=False)
    version = makefile_version(shown.stdout) if shown.returncode == 0 else ""
    if not version:
        raise UsageError(f"Commit {commit} is no kernel source tree: no version in its Makefile.")
    return version
