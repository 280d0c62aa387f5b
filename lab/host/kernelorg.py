# SPDX-License-Identifier: MIT
"""Releases from kernel.org, verified against its signed list of checksums.

``sha256sums.asc`` lies beside the tarballs and is signed by the checksum autosigner; see
https://www.kernel.org/category/signatures.html, "Kernel.org checksum autosigner".
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.core import proc
from lab.core.cache import Cache, atomic_write
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable
from lab.host import download

URL_ENVIRONMENT = "SECCOMP_LAB_KERNEL_ORG"
KEYRING_ENVIRONMENT = "SECCOMP_LAB_KERNEL_ORG_KEYRING"

DEFAULT_URL = "https://cdn.kernel.org/pub/linux/kernel"
AUTOSIGNER = "autosigner@kernel.org"
AUTOSIGNER_FINGERPRINT = "B8868C80BA62A1FFFAF5FDA9632D3A06589DA6B1"


@dataclass(frozen=True)
class Site:
    """Where releases come from and whose signature counts.

    ``keyring`` None: the key is looked up by the address's web key directory, once per cache.
    """

    url: str = DEFAULT_URL
    fingerprint: str = AUTOSIGNER_FINGERPRINT
    keyring: Path | None = None

    @classmethod
    def default(cls) -> Site:
        """kernel.org, or what ``$SECCOMP_LAB_KERNEL_ORG`` and ``..._KEYRING`` say."""
        keyring = os.environ.get(KEYRING_ENVIRONMENT)
        return cls(
            url=os.environ.get(URL_ENVIRONMENT, DEFAULT_URL).rstrip("/"),
            keyring=Path(keyring) if keyring else None,
        )

    def directory(self, version: str) -> str:
        """URL of the directory of a release, such as ``.../v7.x``."""
        return f"{self.url}/v{version.partition('.')[0]}.x"


@dataclass(frozen=True)
class Release:
    """A tarball and its signed digest."""

    version: str
    url: str
    sha256: str

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


def releases(site: Site, series: str, cache: Cache, ui: Ui) -> tuple[Release, ...]:
    """Point releases of a series such as "7.3" that the signed list names, newest first.

    Raises LabError if the list cannot be had or its signature cannot be verified.
    """
    directory = site.directory(series)
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        signed = Path(scratch) / "sha256sums.asc"
        ui.say(f"reading the signed checksum list {directory}/sha256sums.asc")
        download.fetch(download.Request(f"{directory}/sha256sums.asc", signed), ui)
        text = verified_text(signed, site, cache, ui)
    pattern = rf"([0-9a-f]{{64}}) [ *](linux-({re.escape(series)}(?:\.\d+)?)\.tar\.xz)"
    found = [
        Release(version=match[3], url=f"{directory}/{match[2]}", sha256=match[1])
        for line in text.splitlines()
        if (match := re.fullmatch(pattern, line.strip()))
    ]
    return tuple(sorted(found, key=lambda release: version_key(release.version), reverse=True))


def version_key(version: str) -> tuple[int, ...]:
    """For sorting: "7.3.10" after "7.3.4"."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def verified_text(signed: Path, site: Site, cache: Cache, ui: Ui) -> str:
    """The signed part of a clear-signed file.

    Only what gpgv(1) writes out is used: lines outside of the signed part prove nothing.
    Raises LabError, saying how to go on, if the signature is not good or not of the pinned key.
    """
    if not proc.have("gpgv"):
        raise LabError(
            "kernel.org's checksum list cannot be verified: there is no gpgv on this machine.",
            hint="Install gpgv (package gpgv or gnupg).",
        )
    keyring = site.keyring or _locate_key(site, cache, ui)
    if not keyring.is_file():
        raise LabError(f"There is no keyring {keyring}.", hint=_keyring_hint(site))
    # Without a slash gpgv would look for the keyring in its home directory.
    command = ["gpgv", "--status-fd", "1", "--keyring", str(keyring.absolute())]
    text = signed.with_suffix(".txt")
    result = proc.run([*command, "--output", text, signed], check=False)
    signers = re.findall(r"^\[GNUPG:\] VALIDSIG (\S+) .*?(\S+)$", result.stdout, re.MULTILINE)
    good = any(site.fingerprint in (signing, primary) for signing, primary in signers)
    if result.returncode != 0 or not good:
        reason = (
            result.stderr.strip().splitlines()[-1:] or ["no signature of the pinned key"]
            if result.returncode != 0
            else [f"signed by {', '.join(primary for _, primary in signers) or 'nobody'}"]
        )
        raise LabError(
            f"The signature of {signed.name} is not good: {reason[0]}. Nothing of it is used.",
            hint=_keyring_hint(site),
        )
    return text.read_text()


def _locate_key(site: Site, cache: Cache, ui: Ui) -> Path:
    """The autosigner's key from its web key directory, kept in the cache."""
    keyring = cache.tools / f"kernel.org-{site.fingerprint[-16:]}.gpg"
    if keyring.is_file():
        return keyring
    ui.say(f"fetching the key of {AUTOSIGNER}")
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--no-tty"]
        locate = ["--auto-key-locate", "clear,nodefault,wkd", "--locate-keys", AUTOSIGNER]
        try:
            proc.run([*gpg, *locate], timeout=60)
            proc.run([*gpg, "--output", f"{home}/key", "--export", site.fingerprint])
            key = Path(home, "key")
            content = key.read_bytes() if key.exists() else b""
        except LabError as error:
            raise LabError(
                f"kernel.org's checksum list cannot be verified: the key of {AUTOSIGNER} "
                f"({site.fingerprint}) cannot be fetched: {error.message.splitlines()[-1].strip()}",
                hint=_keyring_hint(site),
            ) from error
    if not content:
        raise LabError(
            f"The key served for {AUTOSIGNER} is not {site.fingerprint}.", hint=_keyring_hint(site)
        )
    atomic_write(keyring, content)
    return keyring


def _keyring_hint(site: Site) -> str:
    return (
        f"Get the key {site.fingerprint} by a way you trust, `gpg --export` it into a file and "
        f"name that in ${KEYRING_ENVIRONMENT}; or use your own tree with --base path:DIR."
    )


def fetch(release: Release, cache: Cache, ui: Ui) -> Path:
    """The release's tarball, verified. Raises Mismatch, Unavailable or LabError."""
    target = cache.downloads / release.file_name
    try:
        return download.fetch(download.Request(release.url, target, release.sha256), ui)
    except Unavailable as error:
        raise LabError(
            f"kernel.org's list names {release.file_name}, but it is not there: {error.message}"
        ) from error
