# SPDX-License-Identifier: MIT
"""The private apt: reading the machine's sources lists, choosing mirrors, asking apt."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from lab.core import proc
from lab.core.cache import Cache
from lab.core.proc import Completed
from lab.core.ui import Ui
from lab.errors import LabError, Unavailable
from lab.host import apt
from lab.host.apt import ARCHIVES, IndexTarget, PrivateApt, machine_targets, mirrors
from lab.host.download import Mismatch
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
def etc_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /etc/apt."""
    need_apt()
    directory = tmp_path / "etc-apt"
    (directory / "sources.list.d").mkdir(parents=True)
    use_config(f'Dir::Etc "{directory}";\n', tmp_path, monkeypatch)
    return directory


def need_apt() -> None:
    """Skip the test where there is no apt."""
    if not proc.have("apt-get"):
        pytest.skip("there is no apt-get")


def use_config(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine's apt, apt.conf(5)."""
    path = tmp_path / "machine.conf"
    path.write_text(text)
    monkeypatch.setenv("APT_CONFIG", str(path))


def test_one_line_form(etc_apt: Path) -> None:
    (etc_apt / "sources.list").write_text(ONE_LINE)
    targets = machine_targets()
    assert IndexTarget("bookworm", "contrib", "http://mirror.example/debian") in targets
    assert mirrors(ARCHIVES["debian"], DEBIAN, targets) == ("http://mirror.example/debian",)


def test_deb822_form(etc_apt: Path) -> None:
    (etc_apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (etc_apt / "sources.list.d" / "README").write_text("deb http://not.example/ bookworm main\n")
    assert mirrors(ARCHIVES["debian"], DEBIAN, machine_targets()) == (
        "http://mirror.example/debian",
        "http://second.example/debian",
    )


def test_sources_that_apt_cannot_read_are_none(etc_apt: Path) -> None:
    (etc_apt / "sources.list").write_text(f"{ONE_LINE}deb broken\n")
    assert machine_targets() == ()


def test_testing_and_sid_are_debian_too() -> None:
    target = IndexTarget("sid", "main", "http://m.example/debian")
    assert mirrors(ARCHIVES["debian"], DEBIAN, (target,)) == ("http://m.example/debian",)


@pytest.mark.parametrize(("release", "archive", "count"), [
    (DEBIAN, "debian", 0), (UBUNTU, "ubuntu", 1), (MINT, "ubuntu", 1), (UBUNTU, "debian", 0),
    (FEDORA, "debian", 0),
])  # fmt: skip
def test_only_the_machines_own_archive_counts(release: OsRelease, archive: str, count: int) -> None:
    target = IndexTarget("noble", "main", "http://u.example/ubuntu")
    assert len(mirrors(ARCHIVES[archive], release, (target,))) == count


def test_machine_without_mirror_is_unavailable(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "machine_targets", lambda: ())
    with pytest.raises(Unavailable, match="no Debian mirror"):
        PrivateApt.for_suites(cache, "debian", ("trixie",))


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
    assert [(item.version, item.sha256) for item in private.versions("p")] == [
        ("2-1", "aa"),
        ("1-1", "bb"),
    ]


# --- fetching: the machine's own apt-get, from a server of the test's ---------------------------

DEBS = {
    "tool_1-1_all.deb": b"tool " * 100_000,
    "lib_1%3a2-1_all.deb": b"library " * 1000,
}


def stanza(deb: str, depends: str = "") -> str:
    """What a package list says of one of DEBS."""
    name, version, _ = deb.split("_")
    return (
        f"Package: {name}\nVersion: {version.replace('%3a', ':')}\nArchitecture: all\n{depends}"
        f"Filename: pool/{deb}\nSize: {len(DEBS[deb])}\n"
        f"SHA256: {hashlib.sha256(DEBS[deb]).hexdigest()}\n\n"
    )


@pytest.fixture
def offered(site: FakeSite, tmp_path: Path) -> PrivateApt:
    """A private apt for an archive with DEBS in it, lists read."""
    need_apt()
    tool, lib = DEBS
    packages = (stanza(tool, "Depends: lib\n") + stanza(lib)).encode()
    release = (
        "Suite: trixie\nCodename: trixie\nArchitectures: all\nComponents: main\nSHA256:\n"
        f" {hashlib.sha256(packages).hexdigest()} {len(packages)} main/binary-all/Packages\n"
    )
    site.files |= {f"/d/pool/{name.replace('%', '%25')}": data for name, data in DEBS.items()}
    site.files["/d/dists/trixie/Release"] = release.encode()
    site.files["/d/dists/trixie/main/binary-all/Packages"] = packages
    # Nobody has signed it.
    unsigned = replace(ARCHIVES["debian"], keyring=Path("/nonexistent"))
    private = PrivateApt(tmp_path / "apt", unsigned, (f"[trusted=yes] {site.url}/d",), ("trixie",))
    private.update(Recorder().ui)
    site.requests.clear()
    return private


def fetch(private: PrivateApt, target: Path, ui: Ui | None = None) -> bytes:
    return private.download(private.versions("tool")[0], target, ui or Recorder().ui).read_bytes()


def test_package_arrives_under_its_name_alone(
    offered: PrivateApt, tmp_path: Path, site: FakeSite
) -> None:
    target = tmp_path / "debs" / "tool.deb"
    assert fetch(offered, target) == DEBS["tool_1-1_all.deb"]
    assert list(target.parent.iterdir()) == [target]
    site.files.clear()
    assert fetch(offered, target) == DEBS["tool_1-1_all.deb"]


def test_broken_link_to_the_mirror_is_resumed(
    offered: PrivateApt, tmp_path: Path, site: FakeSite
) -> None:
    site.break_after = [300_000]
    assert fetch(offered, tmp_path / "tool.deb") == DEBS["tool_1-1_all.deb"]
    assert site.requests[-1] == ("/d/pool/tool_1-1_all.deb", "bytes=300000-")


def test_killed_fetch_is_resumed_by_the_next(
    offered: PrivateApt, tmp_path: Path, site: FakeSite
) -> None:
    whole = DEBS["tool_1-1_all.deb"]
    (tmp_path / "tool.deb.part").write_bytes(whole[:1000])
    assert fetch(offered, tmp_path / "tool.deb") == whole
    assert site.requests == [("/d/pool/tool_1-1_all.deb", "bytes=1000-")]


def test_progress_of_apt_is_counted_in_bytes(
    offered: PrivateApt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.core.ui.PLAIN_INTERVAL", 0.0)
    recorder = Recorder()
    fetch(offered, tmp_path / "tool.deb", recorder.ui)
    assert "download tool.deb: 488.3 KiB of 488.3 KiB (100%)" in recorder.said


def test_file_that_is_another_one_is_put_aside(
    offered: PrivateApt, tmp_path: Path, site: FakeSite
) -> None:
    good = site.files["/d/pool/tool_1-1_all.deb"]
    site.files["/d/pool/tool_1-1_all.deb"] = evil = b"evil " * 100_000
    with pytest.raises(Mismatch) as caught:
        fetch(offered, tmp_path / "tool.deb")
    assert caught.value.kept == tmp_path / f"tool.deb.bad-{hashlib.sha256(evil).hexdigest()}"
    assert caught.value.kept.read_bytes() == evil
    site.files["/d/pool/tool_1-1_all.deb"] = good
    assert fetch(offered, tmp_path / "tool.deb") == good


def test_file_that_went_bad_in_the_cache_is_noticed(offered: PrivateApt, tmp_path: Path) -> None:
    fetch(offered, tmp_path / "tool.deb")
    (tmp_path / "tool.deb").write_bytes(b"rot")
    with pytest.raises(Mismatch):
        fetch(offered, tmp_path / "tool.deb")


def test_pin_holds_against_the_lists(offered: PrivateApt, tmp_path: Path) -> None:
    pinned = replace(offered.versions("tool")[0], sha256="0" * 64)
    with pytest.raises(Mismatch):
        offered.download(pinned, tmp_path / "tool.deb", Recorder().ui)
    assert not (tmp_path / "tool.deb").exists()


def test_file_without_a_digest_is_refused(
    private: PrivateApt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_run(monkeypatch, {"install": "'http://m.example/a.deb' a.deb 3 MD5Sum:x\n"})
    with pytest.raises(LabError, match="no SHA-256"):
        private.closure(("a",), tmp_path / "debs", Recorder().ui)


def test_package_that_the_mirror_has_no_more_is_unavailable(
    offered: PrivateApt, tmp_path: Path, site: FakeSite
) -> None:
    site.files.clear()
    with pytest.raises(Unavailable, match="404"):
        fetch(offered, tmp_path / "tool.deb")


def test_mirror_that_is_away_is_an_infrastructure_error(
    offered: PrivateApt, tmp_path: Path, site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "RETRIES", 1)
    site.break_after = [0] * 100
    with pytest.raises(LabError, match="apt cannot fetch") as caught:
        fetch(offered, tmp_path / "tool.deb")
    assert (caught.value.exit_code, type(caught.value)) == (3, LabError)
    assert "network" in caught.value.hint


def test_closure_is_all_that_is_depended_on(
    offered: PrivateApt, tmp_path: Path, site: FakeSite
) -> None:
    found = offered.closure(("tool",), tmp_path / "debs", Recorder().ui)
    assert {path.name: path.read_bytes() for path in found} == {
        unquote(name): data for name, data in DEBS.items()
    }
    site.requests.clear()
    assert offered.closure(("tool",), tmp_path / "debs", Recorder().ui) == found
    assert site.requests == []


def test_machines_proxy_is_used(
    offered: PrivateApt, tmp_path: Path, site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_config(f'Acquire::http::Proxy "{site.url}";\n', tmp_path, monkeypatch)
    # A proxy is asked for whole URLs, RFC 9112, section 3.2.2.
    site.files = {f"http://mirror.invalid{path}": data for path, data in site.files.items()}
    behind = replace(offered, uris=("[trusted=yes] http://mirror.invalid/d",))
    behind.update(Recorder().ui)
    assert fetch(behind, tmp_path / "tool.deb") == DEBS["tool_1-1_all.deb"]
