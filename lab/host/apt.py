# SPDX-License-Identifier: MIT
"""A private apt: packages of suites other than the machine's own, without touching its own.

Sources list, package lists, cache and dpkg status are the lab's; the mirror's address, proxies and
the archive's keys are the machine's. What is downloaded is verified through the signed lists.
Reads both forms of sources.list(5).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from lab.core import proc
from lab.core.cache import Cache, atomic_write
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable
from lab.host import download
from lab.host.osrelease import OsRelease

T = TypeVar("T")

LISTS_FRESH_SECONDS = 3600.0
"""Package lists younger than this are not fetched again."""


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
class SourceEntry:
    """One line or stanza of a sources list."""

    types: tuple[str, ...]
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_one_line(text: str) -> Iterator[SourceEntry]:
    """Entries of the one-line form: ``deb [options] URI suite component...``."""
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        match = re.fullmatch(r"(deb|deb-src)\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s*(.*)", line)
        if match:
            kind, uri, suite, components = match.groups()
            yield SourceEntry((kind,), (uri,), (suite,), tuple(components.split()))


def parse_deb822(text: str) -> Iterator[SourceEntry]:
    """Entries of the deb822 form: stanzas of ``Field: value`` lines."""
    for stanza in stanzas(text):
        if stanza.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        yield SourceEntry(
            tuple(stanza.get("types", "").split()),
            tuple(stanza.get("uris", "").split()),
            tuple(stanza.get("suites", "").split()),
            tuple(stanza.get("components", "").split()),
        )


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Stanzas of a deb822 file, field names in lower case; continuation lines joined by spaces."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()


def machine_entries(etc_apt: Path = Path("/etc/apt")) -> tuple[SourceEntry, ...]:
    """What the machine's own apt reads, in apt's order."""
    parts = etc_apt / "sources.list.d"
    files = [etc_apt / "sources.list"]
    files += sorted(parts.iterdir()) if parts.is_dir() else []
    entries: list[SourceEntry] = []
    for path in files:
        parser = {".list": parse_one_line, ".sources": parse_deb822}.get(path.suffix)
        if parser and path.is_file():
            entries += parser(path.read_text(errors="replace"))
    return tuple(entries)


def mirrors(
    archive: Archive, release: OsRelease, entries: tuple[SourceEntry, ...]
) -> tuple[str, ...]:
    """URIs from which the machine gets its own release of ``archive``, without repeats."""
    if release.archive != archive.name:
        return ()
    suites = {release.codename, f"{release.codename}-updates", *archive.aliases}
    main = archive.components.split()[0]
    found = [
        uri
        for entry in entries
        if "deb" in entry.types and main in entry.components and suites & set(entry.suites)
        for uri in entry.uris
        if not uri.startswith(("cdrom:", "file:", "copy:"))
    ]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Package:
    """A binary package as the signed lists describe it."""

    name: str
    version: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PackageFile:
    """A package's file as ``apt-get --print-uris`` names it."""

    url: str
    name: str
    sha256: str


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
        uris = mirrors(archive, OsRelease.read(), machine_entries())
        if not uris or not proc.have("apt-get"):
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
            lines = [
                line for line in error.message.splitlines() if line.strip().startswith("E:")
            ] or error.message.splitlines()[-1:]
            raise Unavailable(
                f"The machine's {self.archive.name} mirror does not serve "
                f"{', '.join(self.suites)}: {' '.join(line.strip() for line in lines)}"
            ) from error
        stamp.touch()

    def versions(self, package: str) -> tuple[Package, ...]:
        """Versions of a package that the lists offer, newest first."""
        result = proc.run([*self._command("apt-cache"), "show", package], check=False)
        return tuple(
            Package(
                stanza["package"],
                stanza["version"],
                int(stanza.get("size", "0")),
                stanza.get("sha256", ""),
            )
            for stanza in stanzas(result.stdout)
            if stanza.get("package") == package and "version" in stanza
        )

    def download(self, package: Package, target: Path, ui: Ui) -> Path:
        """Fetch one package file. Raises LabError if it cannot be had or is not the right one."""
        command = [*self._command("apt-get"), "download", f"{package.name}={package.version}"]
        files = parse_uris(proc.run([*command, "--print-uris"]).stdout)
        if len(files) != 1:
            raise LabError(f"apt names {len(files)} files for {package.name} {package.version}.")
        return self._fetch(files[0], target, ui)

    def closure(self, packages: tuple[str, ...], into: Path, ui: Ui) -> tuple[Path, ...]:
        """Fetch packages with all that they depend on, as on a machine that has nothing."""
        command = [*self._command("apt-get"), "install", "--print-uris", "-y", "-q"]
        result = proc.run([*command, "--no-install-recommends", *packages])
        files = parse_uris(result.stdout)
        if not files:
            raise LabError(f"apt names no files for {', '.join(packages)}.")
        return tuple(self._fetch(file, into / file.name, ui) for file in files)

    def _fetch(self, file: PackageFile, target: Path, ui: Ui) -> Path:
        if not file.sha256:
            raise LabError(f"The archive's lists give no SHA-256 for {file.name}.")
        request = download.Request(file.url, target, file.sha256, self._proxy(file.url))
        return download.fetch(request, ui)

    def _proxy(self, url: str) -> str | None:
        """The proxy that the machine's apt uses, apt.conf(5) ``Acquire::http::Proxy``."""
        scheme = url.partition(":")[0]
        query = ["apt-config", "shell", "proxy", f"Acquire::{scheme}::Proxy"]
        match = re.search(r"proxy='(.*)'", proc.run(query, check=False).stdout)
        return match[1] if match and match[1] else None

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
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"'([^']+)' (\S+) (\d+)(?: (\S*))?\s*", line)
        if match:
            url, name, _, digest = match.groups()
            sha256 = digest.removeprefix("SHA256:") if (digest or "").startswith("SHA256:") else ""
            found.append(PackageFile(url, unquote(name), sha256))
    return tuple(found)


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
