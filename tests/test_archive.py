# SPDX-License-Identifier: MIT
"""Bases that come as archives: fetched, verified, imported once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.errors import LabError, Unavailable
from lab.host import kernelorg
from lab.host.apt import Package, PrivateApt
from lab.host.download import Mismatch
from lab.host.kernelorg import Release, Site
from lab.source import archive as module
from lab.source.archive import ArchiveBase, DebianPackage, KernelOrgTarball
from lab.source.bases import BASES, BaseSpec, ensure_base
from lab.source.git import Git
from lab.source.room import BaseRequest, BaseResult
from tests.support import Recorder, make_deb, make_kernel, make_tarball

PINNED = "7.3.4-1~bpo13+1"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class FakeArchive:
    """A package archive: versions on offer, newest first, and how often it was asked."""

    offers: list[tuple[str, Path]] = field(default_factory=list)
    updates: int = 0
    missing: str = ""

    def for_suites(self, cache: Cache, name: str, suites: tuple[str, ...]) -> FakeArchive:
        if self.missing:
            raise Unavailable(self.missing)
        self.directory = cache.tools / f"apt-{name}-{'-'.join(suites)}"
        return self

    def update(self, ui: object) -> None:
        del ui
        self.updates += 1

    def versions(self, package: str) -> tuple[Package, ...]:
        return tuple(Package(package, v, sha256(path)) for v, path in self.offers)

    def download(self, package: Package, target: Path, ui: object) -> Path:
        del ui
        from lab.host.download import verify

        path = dict(self.offers)[package.version]
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
        verify(target, package.sha256)
        return target


@pytest.fixture
def deb(tmp_path: Path, kernel: Path) -> Path:
    return make_deb(kernel, tmp_path / "pinned.deb", PINNED)


@pytest.fixture
def archive(deb: Path, monkeypatch: pytest.MonkeyPatch) -> FakeArchive:
    fake = FakeArchive([(PINNED, deb)])
    monkeypatch.setattr(PrivateApt, "for_suites", fake.for_suites)
    return fake


def package(deb: Path) -> DebianPackage:
    return DebianPackage("linux-source-7.3", PINNED, "7.3.4", "trixie-backports", sha256(deb))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseSpec], None]:
    """Put another spec in place of linux-7.3."""
    return lambda spec: monkeypatch.setitem(BASES, "linux-7.3", spec)


@pytest.fixture
def pinned(archive: FakeArchive, deb: Path, use: Callable[[BaseSpec], None]) -> FakeArchive:
    """linux-7.3 is the fake archive's package alone."""
    use(ArchiveBase((package(deb),)))
    return archive


def ready(cache: Cache, name: str = "linux-7.3", newer: bool = False) -> BaseResult:
    return ensure_base(BaseRequest(name, cache, newer), Recorder().ui)


@pytest.mark.parametrize("name", ["linux-7.3", "linux-7.2", "linux-6.12"])
def test_table_names_pin_and_fallback(name: str) -> None:
    spec = BASES[name]
    assert isinstance(spec, ArchiveBase)
    first, second = spec.sources
    assert isinstance(first, DebianPackage)
    assert isinstance(second, KernelOrgTarball)
    assert first.package == name.replace("linux-", "linux-source-")
    assert first.upstream == second.version == first.version.partition("-")[0]
    assert f"linux-{'.'.join(first.upstream.split('.')[:2])}" == name
    assert len(bytes.fromhex(first.sha256)) == 32


def test_package_becomes_one_commit_and_a_spare_worktree(
    pinned: FakeArchive, cache: Cache, kernel: Path, deb: Path
) -> None:
    result = ready(cache)
    assert (result.version, result.digest) == ("7.3.4", f"sha256:{sha256(deb)}")
    assert result.origin == f"Debian package linux-source-7.3 {PINNED} (trixie-backports)"
    git = Git(result.git_dir)
    assert git.out("rev-list", "--count", result.commit) == "1"
    assert (
        git.out("show", f"{result.commit}:.gitignore") == (kernel / ".gitignore").read_text()[:-1]
    )
    assert "lib/built.o" in git.out("ls-tree", "-r", "--name-only", result.commit).split()
    spare = Git(result.spare)
    assert spare.out("rev-parse", "HEAD") == result.commit
    assert spare.out("status", "--porcelain") == ""
    assert spare.out("diff-files", "--name-only") == ""
    assert pinned.updates == 1


def test_nothing_is_fetched_twice(pinned: FakeArchive, cache: Cache) -> None:
    first = ready(cache)
    pinned.missing = "offline"
    assert ready(cache) == first
    assert pinned.updates == 1


def test_downloaded_package_is_enough_without_network(pinned: FakeArchive, cache: Cache) -> None:
    first = ready(cache)
    shutil.rmtree(cache.bases)
    pinned.missing = "offline"
    assert ready(cache) == first


def test_same_archive_gives_the_same_commit_in_every_cache(
    pinned: FakeArchive, tmp_path: Path
) -> None:
    del pinned
    commits = {ready(Cache(tmp_path / name)).commit for name in ("one", "two")}
    assert len(commits) == 1


def test_callers_git_configuration_does_not_matter(
    pinned: FakeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del pinned
    first = ready(Cache(tmp_path / "one")).commit
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n\tautocrlf = true\n[user]\n\tname = X\n[commit]\n\tgpgsign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    assert ready(Cache(tmp_path / "two")).commit == first


def test_wrong_digest_stops_and_is_kept_aside(
    archive: FakeArchive, cache: Cache, deb: Path, use: Callable[[BaseSpec], None]
) -> None:
    del archive
    use(ArchiveBase((replace(package(deb), sha256="0" * 64), KernelOrgTarball("7.3.4"))))
    with pytest.raises(Mismatch) as caught:
        ready(cache)
    assert caught.value.kept.is_file()
    assert caught.value.kept.parent == cache.downloads
    assert not (cache.bases / "linux-7.3" / "base.json").exists()


def test_newer_release_is_not_taken_unasked(
    pinned: FakeArchive, cache: Cache, tmp_path: Path
) -> None:
    newer = make_deb(make_kernel(tmp_path / "newer", "7.3.9"), tmp_path / "newer.deb", "7.3.9-1")
    pinned.offers.insert(0, ("7.3.9-1", newer))
    assert ready(cache).version == "7.3.4"


def test_newer_release_is_taken_when_asked_for_and_said_aloud(
    pinned: FakeArchive, cache: Cache, tmp_path: Path
) -> None:
    newer = make_deb(make_kernel(tmp_path / "newer", "7.3.9"), tmp_path / "newer.deb", "7.3.9-1")
    pinned.offers.insert(0, ("7.3.9-1", newer))
    recorder = Recorder()
    result = ensure_base(BaseRequest("linux-7.3", cache, allow_newer=True), recorder.ui)
    assert result.version == "7.3.9"
    assert result.notes == (
        f"linux-source-7.3 7.3.9-1 stands in for the pinned {PINNED}: it was asked for",
    )
    assert f"lab: warning: {result.notes[0]}" in recorder.said
    # Asking for it once does not make it the base of later runs.
    again = ready(cache)
    assert (again.version, again.notes) == ("7.3.4", ())


def test_newer_release_stands_in_when_the_pinned_one_is_gone(
    pinned: FakeArchive, cache: Cache, tmp_path: Path
) -> None:
    newer = make_deb(make_kernel(tmp_path / "newer", "7.3.9"), tmp_path / "newer.deb", "7.3.9-1")
    pinned.offers[:] = [("7.3.9-1", newer)]
    first = ready(cache)
    assert "no longer has the pinned one" in first.notes[0]
    # Later runs use what is there, and go on saying so.
    pinned.missing = "offline"
    recorder = Recorder()
    assert ensure_base(BaseRequest("linux-7.3", cache), recorder.ui) == first
    assert "no longer has the pinned one" in recorder.said


def test_older_release_never_stands_in(pinned: FakeArchive, cache: Cache, tmp_path: Path) -> None:
    older = make_deb(make_kernel(tmp_path / "older", "7.3.1"), tmp_path / "older.deb", "7.3.1-1")
    pinned.offers[:] = [("7.3.1-1", older)]
    with pytest.raises(LabError, match="older than the pinned"):
        ready(cache)


def test_changed_pin_is_a_new_base(
    pinned: FakeArchive, cache: Cache, tmp_path: Path, use: Callable[[BaseSpec], None]
) -> None:
    old = ready(cache)
    newer = make_deb(make_kernel(tmp_path / "newer", "7.3.9"), tmp_path / "newer.deb", "7.3.9-1")
    pinned.offers.insert(0, ("7.3.9-1", newer))
    row = DebianPackage("linux-source-7.3", "7.3.9-1", "7.3.9", "trixie-backports", sha256(newer))
    use(ArchiveBase((row,)))
    new = ready(cache)
    assert new.version == "7.3.9"
    assert Git(new.git_dir).has_commit(old.commit)


def test_package_that_holds_another_release_is_an_error(
    archive: FakeArchive, cache: Cache, tmp_path: Path, use: Callable[[BaseSpec], None]
) -> None:
    wrong = make_deb(make_kernel(tmp_path / "wrong", "7.2.0"), tmp_path / "wrong.deb", PINNED)
    archive.offers[:] = [(PINNED, wrong)]
    use(ArchiveBase((package(wrong),)))
    with pytest.raises(LabError, match=r"should contain Linux 7\.3\.4 but contains 7\.2"):
        ready(cache)


def test_kill_in_the_middle_of_an_import_is_mended_by_the_next_run(
    pinned: FakeArchive, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    del pinned

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(module, "import_directory", killed)
        ready(cache)
    result = ready(cache)
    assert Git(result.spare).out("status", "--porcelain") == ""


def test_kernel_org_is_the_fallback_and_it_is_said(
    archive: FakeArchive, cache: Cache, tmp_path: Path, deb: Path, kernel: Path,
    use: Callable[[BaseSpec], None], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    archive.missing = "This machine's apt has no Debian mirror."
    tarball = make_tarball(kernel, tmp_path / "linux-7.3.4.tar.xz")
    release = Release("7.3.4", "http://x.example/linux-7.3.4.tar.xz", sha256(tarball))
    monkeypatch.setattr(kernelorg, "releases", lambda *_: (release,))
    monkeypatch.setattr(kernelorg, "fetch", lambda *_: tarball)
    use(ArchiveBase((package(deb), KernelOrgTarball("7.3.4", Site))))
    result = ready(cache)
    assert result.origin == "kernel.org linux-7.3.4.tar.xz"
    assert result.notes == (
        "kernel.org linux-7.3.4.tar.xz is used: This machine's apt has no Debian mirror.",
    )


@pytest.mark.parametrize(("listed", "newer", "version", "word"), [
    (("7.3.9", "7.3.4"), False, "7.3.4", ""),
    (("7.3.9", "7.3.4"), True, "7.3.9", "asked for"),
    (("7.3.9",), False, "7.3.9", "no longer lists"),
])  # fmt: skip
def test_kernel_org_point_releases(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    listed: tuple[str, ...], newer: bool, version: str, word: str,
) -> None:  # fmt: skip
    found = tuple(Release(item, f"http://x.example/linux-{item}.tar.xz", "0") for item in listed)
    monkeypatch.setattr(kernelorg, "releases", lambda *_: found)
    monkeypatch.setattr(kernelorg, "fetch", lambda *_: tmp_path)
    fetched = KernelOrgTarball("7.3.4", Site).fetch(cache, newer, Recorder().ui)
    assert fetched.version == version
    assert word in " ".join(fetched.notes)
    assert bool(fetched.notes) == bool(word)


def test_no_source_at_all_says_what_each_one_said(
    archive: FakeArchive, cache: Cache, deb: Path, use: Callable[[BaseSpec], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    archive.missing = "This machine's apt has no Debian mirror."
    monkeypatch.setattr(kernelorg, "releases", lambda *_: ())
    use(ArchiveBase((package(deb), KernelOrgTarball("7.3.4", Site))))
    with pytest.raises(LabError, match=r"no Debian mirror.*does not name linux 7\.3\.4") as caught:
        ready(cache)
    assert "path:DIR" in caught.value.hint


def test_private_apt_is_what_the_package_is_asked_from() -> None:
    """The fake above has the methods of the real one."""
    for name in ("for_suites", "update", "versions", "download"):
        assert callable(getattr(PrivateApt, name))


def test_broken_record_is_made_anew(pinned: FakeArchive, cache: Cache) -> None:
    first = ready(cache)
    record = cache.bases / "linux-7.3" / "base.json"
    of_another_lab = {key: {"name": "linux-7.3"} for key in json.loads(record.read_text())}
    record.write_text(json.dumps(of_another_lab))
    assert ready(cache) == first
    record.write_text("{broken")
    assert ready(cache) == first
    rows = json.loads((cache.bases / "linux-7.3" / "base.json").read_text())
    assert first.commit in {row["commit"] for row in rows.values()}
    assert pinned.updates == 1
