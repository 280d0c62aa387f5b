# SPDX-License-Identifier: MIT
"""The private apt: reading the machine's sources lists, choosing mirrors, asking apt."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core import proc
from lab.core.cache import Cache
from lab.core.proc import Completed
from lab.errors import LabError, Unavailable
from lab.host import apt
from lab.host.apt import ARCHIVES, PrivateApt, SourceEntry, machine_entries, mirrors, parse_uris
from lab.host.osrelease import OsRelease
from tests.support import FakeSite, Recorder

DEBIAN = OsRelease({"ID": "debian", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian 12"})
UBUNTU = OsRelease({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_CODENAME": "noble"})
MINT = OsRelease({
    "ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_CODENAME": "wilma",
    "UBUNTU_CODENAME": "noble",
})  # fmt: skip
FEDORA = OsRelease({"ID": "fedora", "VERSION_ID": "42"})

ONE_LINE = """
# a comment
deb http://mirror.example/debian bookworm main contrib # trailing
deb [arch=amd64 signed-by=/k.gpg] http://other.example/x nodistro main
deb-src http://mirror.example/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
deb http://security.example/debian-security bookworm-security main
"""

DEB822 = """\
Types: deb deb-src
URIs: http://mirror.example/debian
 http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

# off
Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


@pytest.fixture
def etc_apt(tmp_path: Path) -> Path:
    directory = tmp_path / "etc-apt"
    (directory / "sources.list.d").mkdir(parents=True)
    return directory


def test_one_line_form(etc_apt: Path) -> None:
    (etc_apt / "sources.list").write_text(ONE_LINE)
    entries = machine_entries(etc_apt)
    assert (
        SourceEntry(("deb",), ("http://mirror.example/debian",), ("bookworm",), ("main", "contrib"))
        in entries
    )
    assert mirrors(ARCHIVES["debian"], DEBIAN, entries) == ("http://mirror.example/debian",)


def test_deb822_form(etc_apt: Path) -> None:
    (etc_apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (etc_apt / "sources.list.d" / "README").write_text("deb http://not.example/ bookworm main\n")
    entries = machine_entries(etc_apt)
    assert mirrors(ARCHIVES["debian"], DEBIAN, entries) == (
        "http://mirror.example/debian",
        "http://second.example/debian",
    )


def test_testing_and_sid_are_debian_too() -> None:
    entry = SourceEntry(("deb",), ("http://m.example/debian",), ("sid",), ("main",))
    assert mirrors(ARCHIVES["debian"], DEBIAN, (entry,)) == ("http://m.example/debian",)


@pytest.mark.parametrize(("release", "archive", "count"), [
    (DEBIAN, "debian", 0), (UBUNTU, "ubuntu", 1), (MINT, "ubuntu", 1), (UBUNTU, "debian", 0),
    (FEDORA, "debian", 0),
])  # fmt: skip
def test_only_the_machines_own_archive_counts(release: OsRelease, archive: str, count: int) -> None:
    entry = SourceEntry(("deb",), ("http://u.example/ubuntu",), ("noble",), ("main", "universe"))
    assert len(mirrors(ARCHIVES[archive], release, (entry,))) == count


def test_machine_without_mirror_is_unavailable(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "machine_entries", lambda: ())
    with pytest.raises(Unavailable, match="no Debian mirror"):
        PrivateApt.for_suites(cache, "debian", ("trixie",))


def test_uris_of_apt() -> None:
    text = (
        "Reading package lists...\n"
        "'http://m.example/pool/a_1%253a2_all.deb' a_1%3a2_all.deb 12 SHA256:abc\n"
        "'http://m.example/pool/b.deb' b.deb 5 MD5Sum:no\n"
    )
    first, second = parse_uris(text)
    assert (first.url, first.name, first.sha256) == (
        "http://m.example/pool/a_1%253a2_all.deb", "a_1:2_all.deb", "abc",
    )  # fmt: skip
    assert second.sha256 == ""


@pytest.fixture
def private(tmp_path: Path) -> PrivateApt:
    return PrivateApt(tmp_path / "apt", ARCHIVES["debian"], ("http://m.example/d",), ("trixie",))


def fake_run(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], failing: str = ""
) -> list[list[str]]:
    """Replace apt by canned answers; the commands asked for."""
    asked: list[list[str]] = []

    def run(cmd: list[str], **_: object) -> Completed:
        asked.append([str(part) for part in cmd])
        line = " ".join(asked[-1])
        if failing and failing in line:
            raise proc.CommandError(
                Completed(tuple(asked[-1]), 100, "", "E: no Release file\nE: disabled", 0)
            )
        text = next((text for key, text in answers.items() if key in line), "")
        return Completed(tuple(asked[-1]), 0, text, "", 0)

    monkeypatch.setattr(proc, "run", run)
    return asked


def test_lists_are_read_once_an_hour(private: PrivateApt, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_run(monkeypatch, {})
    private.update(Recorder().ui)
    private.update(Recorder().ui)
    assert len(asked) == 1
    conf = (private.directory / "apt.conf").read_text()
    assert f'Dir::State::status "{private.directory / "status"}";' in conf
    assert "trusted=yes" not in private.sources()
    assert "trixie main\n" in private.sources()


def test_suite_that_the_mirror_lacks_is_unavailable(
    private: PrivateApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_run(monkeypatch, {}, failing="update")
    with pytest.raises(Unavailable, match="does not serve trixie: E: no Release file"):
        private.update(Recorder().ui)
    assert not (private.directory / "updated").exists()


def test_versions_are_read_from_the_signed_lists(
    private: PrivateApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = (
        "Package: p\nVersion: 2-1\nSize: 7\nSHA256: aa\nDescription: x\n more\n .\n y\n\n"
        "Package: p\nVersion: 1-1\nSize: 6\nSHA256: bb\n"
    )
    fake_run(monkeypatch, {"show": show})
    assert [(item.version, item.sha256, item.size) for item in private.versions("p")] == [
        ("2-1", "aa", 7),
        ("1-1", "bb", 6),
    ]


def test_closure_is_fetched_and_verified(
    private: PrivateApt, monkeypatch: pytest.MonkeyPatch, site: FakeSite, tmp_path: Path
) -> None:
    site.files["/a.deb"] = b"deb"
    digest = "5cca6dfb18ffdd6ff8e9e4e6bd42bd9a24cc0d9e0e4e2ba5d0e4bc1ab1d9a4b2"
    fake_run(monkeypatch, {"install": f"'{site.url}/a.deb' a.deb 3 SHA256:{digest}\n"})
    with pytest.raises(LabError, match="wrong SHA-256"):
        private.closure(("a",), tmp_path / "debs", Recorder().ui)


def test_file_without_a_digest_is_refused(
    private: PrivateApt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_run(monkeypatch, {"install": "'http://m.example/a.deb' a.deb 3 MD5Sum:x\n"})
    with pytest.raises(LabError, match="no SHA-256"):
        private.closure(("a",), tmp_path / "debs", Recorder().ui)


def test_machines_proxy_is_used(private: PrivateApt, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run(monkeypatch, {"apt-config": "proxy='http://p.example:3128'\n"})
    assert private._proxy("http://m.example/x") == "http://p.example:3128"
    fake_run(monkeypatch, {})
    assert private._proxy("http://m.example/x") is None
