# SPDX-License-Identifier: MIT
"""A private apt: packages of suites other than the machine's own, without touching its own.

Sources list, package lists, cache and dpkg status are the lab's; the mirror's address, proxies,
passwords and the archive's keys are the machine's. apt itself fetches; what has arrived is verified
by the digests in the signed lists.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from lab.core import proc
from lab.core.cache import Cache, atomic_write
from lab.core.ui import Progress, Ui
from lab.errors import LabError, Unavailable
from lab.host import download
from lab.host.osrelease import OsRelease

T = TypeVar("T")

LISTS_FRESH_SECONDS = 3600.0
"""Package lists younger than this are not fetched again."""


HELPER = "/usr/lib/apt/apt-helper"
"""Its ``download-file`` continues what a killed run has left; ``apt-get download`` begins anew."""

RETRIES = 5
"""Times that apt-get continues a file whose link broke; it pauses longer each time."""


@dataclass(frozen=True)
class Archive:
    """A distribution's package archive as this lab uses it."""

    name: str
    keyring: Path
    components: str
    aliases: frozenset[str]
    """Suite names by which a sources list may follow a release without naming it."""


ARCHIVES = {
    "debian": Archive(
        "debian",
        Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
        "main",
        frozenset({"stable", "testing", "unstable", "sid", "oldstable"}),
    ),
    "ubuntu": Archive(
        "ubuntu",
        Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
        "main universe",
        frozenset({"devel"}),
    ),
}


@dataclass(frozen=True)
class IndexTarget:
    """A component of a suite that the machine's apt reads, and where from."""

    suite: str
    component: str
    uri: str


def machine_targets() -> tuple[IndexTarget, ...]:
    """What the machine's own apt reads, in apt's order; nothing where there is no apt, or its
    sources lists cannot be read.
    """
    if not proc.have("apt-get"):
        return ()
    # Without release info: also what has never been fetched.
    command = ["apt-get", "indextargets", "--no-release-info", "--format",
               "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]  # fmt: skip
    rows = [line.split(" ", 2) for line in proc.run(command, check=False).stdout.splitlines()]
    return tuple(IndexTarget(suite, component, uri.rstrip("/")) for suite, component, uri in rows)


def mirrors(
    archive: Archive, release: OsRelease, targets: tuple[IndexTarget, ...]
) -> tuple[str, ...]:
    """URIs from which the machine gets its own release of ``archive``, without repeats."""
    if release.archive != archive.name:
        return ()
    suites = {release.codename, f"{release.codename}-updates", *archive.aliases}
    main = archive.components.split()[0]
    found = [
        target.uri
        for target in targets
        if target.component == main
        and target.suite in suites
        and not target.uri.startswith(("cdrom:", "file:", "copy:"))
    ]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Package:
    """A binary package as the signed lists describe it."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class PackageFile:
    """A package's file as ``apt-get --print-uris`` names it; ``size`` in bytes."""

    url: str
    name: str
    size: int
    sha256: str


FIELD = re.compile(r"^(Package|Version|SHA256): (.*)$", re.MULTILINE)
"""A field of a stanza of a package list, deb822(5)."""

STATUS = re.compile(r"dlstatus:\d+:([\d.]+):")
"""apt's ``APT::Status-Fd`` while it fetches: percent of all bytes."""


@dataclass(frozen=True)
class PrivateApt:
    """apt with a directory of its own. Callers hold a lock on it (``Cache.lock``)."""

    directory: Path
    archive: Archive
    uris: tuple[str, ...]
    suites: tuple[str, ...]

    @classmethod
    def for_suites(cls, cache: Cache, name: str, suites: tuple[str, ...]) -> PrivateApt:
        """A private apt for suites of archive ``name``, from the mirror that the machine uses.

        Raises Unavailable where the machine has no such mirror.
        """
        archive = ARCHIVES[name]
        uris = mirrors(archive, OsRelease.read(), machine_targets())
        if not uris:
            raise Unavailable(f"This machine's apt has no {name.capitalize()} mirror.")
        return cls(cache.tools / f"apt-{name}-{'-'.join(suites)}", archive, uris, suites)

    def sources(self) -> str:
        """The private sources.list."""
        keyring = f"[signed-by={self.archive.keyring}] " if self.archive.keyring.exists() else ""
        return "".join(
            f"deb {keyring}{uri} {suite} {self.archive.components}\n"
            for suite in self.suites
            for uri in self.uris[:1]
        )

    def update(self, ui: Ui) -> None:
        """Fetch the lists, unless they are fresh. Raises Unavailable if the mirror lacks them."""
        stamp = self.directory / "updated"
        sources = self.directory / "sources.list"
        if (
            sources.is_file()
            and sources.read_text() == self.sources()
            and stamp.exists()
            and time.time() - stamp.stat().st_mtime < LISTS_FRESH_SECONDS
        ):
            return
        self._prepare()
        ui.say(f"reading package lists: {self.archive.name} {', '.join(self.suites)}")
        try:
            # Without this a suite that cannot be read is a mere warning.
            proc.run([*self._command("apt-get"), "-o", "APT::Update::Error-Mode=any", "update"])
        except proc.CommandError as error:
            raise Unavailable(
                f"The machine's {self.archive.name} mirror does not serve "
                f"{', '.join(self.suites)}: {_reasons(error)}"
            ) from error
        stamp.touch()

    def versions(self, package: str) -> tuple[Package, ...]:
        """Versions of a package that the lists offer, newest first."""
        result = proc.run([*self._command("apt-cache"), "show", package], check=False)
        found = [dict(FIELD.findall(stanza)) for stanza in result.stdout.split("\n\n")]
        return tuple(
            Package(package, row["Version"], row.get("SHA256", ""))
            for row in found
            if row.get("Package") == package and "Version" in row
        )

    def download(self, package: Package, target: Path, ui: Ui) -> Path:
        """Fetch one package file. Raises what :func:`lab.host.download.fetch` does."""
        files = self._files("download", f"{package.name}={package.version}")
        if len(files) != 1:
            raise LabError(f"apt names {len(files)} files for {package.name} {package.version}.")
        return self._fetch(replace(files[0], sha256=package.sha256), target, ui)

    def closure(self, packages: tuple[str, ...], into: Path, ui: Ui) -> tuple[Path, ...]:
        """Fetch packages with all that they depend on, as on a machine that has nothing."""
        files = self._files("install", "-y", "--no-install-recommends", *packages)
        if not files:
            raise LabError(f"apt names no files for {', '.join(packages)}.")
        return tuple(self._fetch(file, into / file.name, ui) for file in files)

    def _files(self, *args: str) -> tuple[PackageFile, ...]:
        return parse_uris(proc.run([*self._command("apt-get"), "--print-uris", *args]).stdout)

    def _fetch(self, file: PackageFile, target: Path, ui: Ui) -> Path:
        if not file.sha256:
            raise LabError(f"The archive's lists give no SHA-256 for {file.name}.")

        def bring(request: download.Request, part: Path, progress: Progress) -> None:
            def on_line(line: str) -> None:
                if percent := STATUS.match(line):
                    progress.update(round(file.size * float(percent[1]) / 100), file.size)

            options = ["-o", "APT::Status-Fd=1", "-o", f"Acquire::Retries={RETRIES}"]
            command = [*self._command(HELPER), *options, "download-file", request.url, str(part)]
            try:
                proc.run(command, on_line=on_line)
            except proc.CommandError as error:
                reasons = _reasons(error)
                if re.search(r" (403|404|410) ", reasons):
                    raise Unavailable(reasons) from error
                raise LabError(f"apt cannot fetch this: {reasons}", download.HINT) from error

        return download.fetch(download.Request(file.url, target, file.sha256), ui, bring)

    def _prepare(self) -> None:
        for name in ("lists/partial", "cache/archives/partial"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        atomic_write(self.directory / "sources.list", self.sources())
        atomic_write(self.directory / "status", "")
        settings = {
            "Dir::Etc::sourcelist": self.directory / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::lists": self.directory / "lists",
            "Dir::State::status": self.directory / "status",
            "Dir::State::extended_states": self.directory / "extended_states",
            "Dir::Cache": self.directory / "cache",
            "APT::Default-Release": "",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            # `install --print-uris` prints MD5 sums otherwise.
            "Acquire::ForceHash": "SHA256",
            "Debug::NoLocking": "true",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
        # The machine's hooks are about the machine's own lists.
        text += "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        text += "#clear DPkg::Post-Invoke;\n"
        atomic_write(self.directory / "apt.conf", text)

    def _command(self, tool: str) -> list[str]:
        return [tool, "-c", str(self.directory / "apt.conf")]


def parse_uris(text: str) -> tuple[PackageFile, ...]:
    """Lines ``'URI' file size SHA256:digest`` of ``--print-uris``; other lines are skipped."""
    rows = re.findall(r"^'([^']+)' (\S+) (\d+)(?: SHA256:(\w+))?", text, re.MULTILINE)
    return tuple(PackageFile(url, unquote(name), int(size), sha) for url, name, size, sha in rows)


def _reasons(error: proc.CommandError) -> str:
    """apt's error messages."""
    lines = [line.strip() for line in error.message.splitlines()]
    return " ".join([line for line in lines if line.startswith("E:")] or lines[-1:])


@dataclass(frozen=True)
class Release:
    """A release of a distribution that has what the host's own has not, or has too old."""

    archive: str
    suite: str

    def __str__(self) -> str:
        return f"{self.archive} {self.suite}"


def from_first(
    releases: Iterable[Release],
    open_: Callable[[Cache, str, tuple[str, ...]], PrivateApt],
    cache: Cache,
    ui: Ui,
    fetch: Callable[[PrivateApt, Release], T],
) -> tuple[Release, T]:
    """What ``fetch`` brings from the first release that has it, package lists fresh and held.

    Raises Unavailable with the reasons of all if none has.
    """
    missed = []
    for release in releases:
        try:
            apt = open_(cache, release.archive, (release.suite,))
            with cache.lock(f"tools/{apt.directory.name}", "reading package lists", ui.say):
                apt.update(ui)
                return release, fetch(apt, release)
        except Unavailable as error:
            missed.append(error.message)
    raise Unavailable(" ".join(missed))
