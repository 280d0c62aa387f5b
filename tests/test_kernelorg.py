# SPDX-License-Identifier: MIT
"""kernel.org: the signed checksum list, with a server and a key of our own standing in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lab.core import proc
from lab.core.cache import Cache
from lab.errors import LabError
from lab.host import download, kernelorg
from lab.host.download import Mismatch
from lab.host.kernelorg import Site, releases
from tests.support import FakeSite, Recorder

TARBALL = b"not really a tarball " * 10_000


@dataclass(frozen=True)
class Key:
    """A signing key in a home of its own."""

    home: str
    fingerprint: str
    keyring: Path

    def clearsign(self, text: str) -> bytes:
        return self.gpg("--clearsign", data=text.encode())

    def gpg(self, *args: str, data: bytes = b"") -> bytes:
        return subprocess.run(
            ["gpg", "--homedir", self.home, "--batch", "--passphrase", "", *args],
            input=data, capture_output=True, check=True,
        ).stdout  # fmt: skip


def make_key(home: str, keyring: Path) -> Key:
    key = Key(home, "", keyring)
    key.gpg("--quick-generate-key", "Autosigner <autosigner@kernel.org>", "ed25519", "sign")
    listing = key.gpg("--with-colons", "--list-keys").decode()
    fingerprint = next(line for line in listing.splitlines() if line.startswith("fpr:"))
    keyring.write_bytes(key.gpg("--export"))
    return replace(key, fingerprint=fingerprint.split(":")[9])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Key, Key]]:
    """The pinned key and somebody else's. Homes with short names: gpg-agent's socket is there."""
    homes = [tempfile.mkdtemp(prefix="slk-", dir="/tmp") for _ in range(2)]
    directory = tmp_path_factory.mktemp("keys")
    first, second = (
        make_key(home, directory / f"key{number}.gpg") for number, home in enumerate(homes)
    )
    yield first, second
    for home in homes:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def checksums(*names: str, data: bytes = TARBALL) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return "".join(f"{digest}  {name}\n" for name in names)


@pytest.fixture
def origin(site: FakeSite, keys: tuple[Key, Key]) -> Site:
    """A stand-in for kernel.org with two point releases of 7.3."""
    key = keys[0]
    listed = checksums(
        "linux-7.3.tar.xz", "linux-7.3.10.tar.xz", "linux-7.3.4.tar.xz", "linux-7.2.9.tar.xz",
        "linux-7.3.4.tar.gz", "patch-7.3.4.xz",
    )  # fmt: skip
    site.files["/v7.x/sha256sums.asc"] = key.clearsign(listed)
    site.files["/v7.x/linux-7.3.4.tar.xz"] = TARBALL
    return Site(site.url, key.fingerprint, key.keyring)


def test_point_releases_come_newest_first(origin: Site, cache: Cache) -> None:
    found = releases(origin, "7.3", cache, Recorder().ui)
    assert [item.version for item in found] == ["7.3.10", "7.3.4", "7.3"]


def test_tarball_is_resumed_and_verified(origin: Site, cache: Cache, site: FakeSite) -> None:
    release = releases(origin, "7.3", cache, Recorder().ui)[1]
    site.break_after = [100_000]
    assert kernelorg.fetch(release, cache, Recorder().ui).read_bytes() == TARBALL
    assert site.requests[-1] == ("/v7.x/linux-7.3.4.tar.xz", "bytes=100000-")


def test_wrong_checksum_is_an_error(origin: Site, cache: Cache, site: FakeSite) -> None:
    release = releases(origin, "7.3", cache, Recorder().ui)[1]
    site.files["/v7.x/linux-7.3.4.tar.xz"] = b"evil"
    with pytest.raises(Mismatch) as caught:
        kernelorg.fetch(release, cache, Recorder().ui)
    assert caught.value.kept.read_bytes() == b"evil"


def test_listed_but_absent_tarball_is_an_error(origin: Site, cache: Cache) -> None:
    newest = releases(origin, "7.3", cache, Recorder().ui)[0]
    with pytest.raises(LabError, match=r"names linux-7\.3\.10\.tar\.xz, but it is not there"):
        kernelorg.fetch(newest, cache, Recorder().ui)


def refusal(origin: Site, cache: Cache) -> LabError:
    with pytest.raises(LabError) as caught:
        releases(origin, "7.3", cache, Recorder().ui)
    assert "SECCOMP_LAB_KERNEL_ORG_KEYRING" in caught.value.hint
    return caught.value


def test_changed_list_is_refused(origin: Site, cache: Cache, site: FakeSite) -> None:
    signed = site.files["/v7.x/sha256sums.asc"]
    site.files["/v7.x/sha256sums.asc"] = signed.replace(b"linux-7.3.4", b"linux-7.3.5")
    assert "not good" in refusal(origin, cache).message


def test_list_without_a_signature_is_refused(origin: Site, cache: Cache, site: FakeSite) -> None:
    site.files["/v7.x/sha256sums.asc"] = checksums("linux-7.3.4.tar.xz").encode()
    assert "not good" in refusal(origin, cache).message


def test_list_of_another_signer_is_refused(
    origin: Site, cache: Cache, site: FakeSite, keys: tuple[Key, Key]
) -> None:
    site.files["/v7.x/sha256sums.asc"] = keys[1].clearsign(checksums("linux-7.3.4.tar.xz"))
    assert "not good" in refusal(origin, cache).message


def test_key_in_the_keyring_must_be_the_pinned_one(
    origin: Site, cache: Cache, site: FakeSite, keys: tuple[Key, Key]
) -> None:
    site.files["/v7.x/sha256sums.asc"] = keys[1].clearsign(checksums("linux-7.3.4.tar.xz"))
    error = refusal(replace(origin, keyring=keys[1].keyring), cache)
    assert f"signed by {keys[1].fingerprint}" in error.message


def test_lines_outside_of_the_signed_part_do_not_count(
    origin: Site, cache: Cache, site: FakeSite
) -> None:
    forged = checksums("linux-7.3.99.tar.xz", data=b"evil").encode()
    site.files["/v7.x/sha256sums.asc"] += forged
    try:
        found = releases(origin, "7.3", cache, Recorder().ui)
    except LabError:
        return  # a gpgv that refuses such a file altogether
    assert [item.version for item in found] == ["7.3.10", "7.3.4", "7.3"]


def test_missing_keyring_file_is_an_error(origin: Site, cache: Cache, tmp_path: Path) -> None:
    error = refusal(replace(origin, keyring=tmp_path / "absent.gpg"), cache)
    assert "no keyring" in error.message


def test_key_is_looked_up_once_and_kept(
    origin: Site, cache: Cache, keys: tuple[Key, Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up itself needs the network: a gpg that hands out our key stands in for it."""
    real, looked = proc.run, []

    def run(cmd: list[str], **options: Any) -> object:
        if "--locate-keys" in cmd:
            looked.append(cmd)
            home = cmd[cmd.index("--homedir") + 1]
            return real(["gpg", "--homedir", home, "--batch", "--import", keys[0].keyring])
        return real(cmd, **options)

    monkeypatch.setattr(proc, "run", run)
    wkd = replace(origin, keyring=None)
    releases(wkd, "7.3", cache, Recorder().ui)
    releases(wkd, "7.3", cache, Recorder().ui)
    assert len(looked) == 1
    # Somebody else's key served under that address is not taken.
    other = replace(wkd, fingerprint=keys[1].fingerprint)
    assert "cannot be" in refusal(other, cache).message or "is not" in refusal(other, cache).message


def test_failed_look_up_says_how_to_go_on(
    origin: Site, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = proc.run

    def run(cmd: list[str], **options: Any) -> object:
        if "--locate-keys" in cmd:
            raise LabError("gpg: error retrieving via WKD: No data")
        return real(cmd, **options)

    monkeypatch.setattr(proc, "run", run)
    assert "No data" in refusal(replace(origin, keyring=None), cache).message


def test_unreachable_site_is_an_infrastructure_error(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)
    with pytest.raises(LabError, match="Cannot fetch"):
        releases(Site("http://127.0.0.1:9"), "7.3", cache, Recorder().ui)


def test_environment_names_site_and_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECCOMP_LAB_KERNEL_ORG", "http://mirror.example/linux/")
    monkeypatch.setenv("SECCOMP_LAB_KERNEL_ORG_KEYRING", "/k.gpg")
    site = Site.default()
    assert site.directory("7.3") == "http://mirror.example/linux/v7.x"
    assert site.keyring == Path("/k.gpg")
    assert site.fingerprint == kernelorg.AUTOSIGNER_FINGERPRINT
