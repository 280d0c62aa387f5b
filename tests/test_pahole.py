# SPDX-License-Identifier: MIT
"""A new enough pahole: the host's, or one in a private prefix with its own loader."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.errors import LabError, Unavailable
from lab.host import pahole
from lab.host.apt import PrivateApt
from tests.support import Recorder, need_dpkg


def put(directory: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory.mkdir(exist_ok=True)
    tool = directory / "pahole"
    tool.write_text(f"#!/bin/sh\necho {version}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    return tool


def make_package(directory: Path, version: str) -> Path:
    """A package with a toy pahole, and a toy loader that runs what it is given."""
    need_dpkg()
    stage = directory / "stage"
    (stage / "usr" / "bin").mkdir(parents=True)
    (stage / "usr" / "lib64").mkdir()
    (stage / "usr" / "lib" / "triplet").mkdir(parents=True)
    (stage / "usr" / "lib" / "triplet" / "libdw.so.1").write_text("")
    program = stage / "usr" / "bin" / "pahole"
    program.write_text(f"#!/bin/sh\necho {version} $*\n")
    loader = stage / "usr" / "lib64" / "ld-linux-toy.so.2"
    # ld.so --library-path DIRECTORIES PROGRAM ARGUMENTS
    loader.write_text('#!/bin/sh\n[ -e "$2/libdw.so.1" ] || exit 127\nshift 2\nexec "$@"\n')
    for path in (program, loader):
        path.chmod(0o755)
    (stage / "DEBIAN").mkdir()
    (stage / "DEBIAN" / "control").write_text(
        "Package: pahole\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\n"
        "Description: toy\n"
    )
    subprocess.run(
        ["dpkg-deb", "--build", stage, directory / "p.deb"], check=True, stdout=subprocess.DEVNULL
    )
    return directory / "p.deb"


class FakeApt:
    """An archive with one package."""

    def __init__(self, deb: Path | None, directory: Path) -> None:
        self.deb = deb
        self.directory = directory
        self.asked = 0

    def for_suites(self, cache: Cache, name: str, suites: tuple[str, ...]) -> FakeApt:
        del cache, suites
        self.asked += 1
        if self.deb is None:
            raise Unavailable(f"This machine's apt has no {name.capitalize()} mirror.")
        return self

    def update(self, ui: object) -> None:
        del ui

    def closure(self, packages: tuple[str, ...], into: Path, ui: object) -> tuple[Path, ...]:
        del ui, into
        assert packages == ("pahole",)
        assert self.deb is not None
        return (self.deb,)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeApt]:
    class Installed(FakeApt):
        def __init__(self, deb: Path | None) -> None:
            super().__init__(deb, tmp_path / "apt")
            monkeypatch.setattr(PrivateApt, "for_suites", self.for_suites)

    return Installed


def test_new_enough_host_pahole_is_used(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = put(tmp_path / "bin", "v1.26", monkeypatch)
    assert pahole.provide(cache, Recorder().ui) == tool


@pytest.mark.parametrize("host", ["v1.24", "", None])
def test_old_broken_or_absent_host_pahole_is_replaced(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str | None, use: type
) -> None:
    archive = use(make_package(tmp_path, "v1.30"))
    if host is None:
        real = shutil.which
        monkeypatch.setattr(
            shutil, "which", lambda name, **more: None if name == "pahole" else real(name, **more)
        )
    else:
        put(tmp_path / "bin", host, monkeypatch)
    own = pahole.provide(cache, Recorder().ui)
    assert own == pahole.private(cache)
    done = subprocess.run([own, "-J", "a b"], capture_output=True, text=True, check=True)
    assert done.stdout == "v1.30 -J a b\n"
    assert pahole.provide(cache, Recorder().ui) == own
    assert archive.asked == 1


def test_too_old_package_is_not_put_in_place(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: type
) -> None:
    put(tmp_path / "bin", "v1.24", monkeypatch)
    use(make_package(tmp_path, "v1.25"))
    with pytest.raises(LabError, match="does not run as it should"):
        pahole.provide(cache, Recorder().ui)
    assert not pahole.private(cache).exists()
    assert list(pahole.private(cache).parent.iterdir()) == []


def test_without_any_source_the_next_step_is_named(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: type
) -> None:
    put(tmp_path / "bin", "v1.24", monkeypatch)
    use(None)
    with pytest.raises(LabError, match="no Debian mirror") as caught:
        pahole.provide(cache, Recorder().ui)
    assert "dwarves" in caught.value.hint
