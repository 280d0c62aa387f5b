# SPDX-License-Identifier: MIT
"""The series on another base: how each patch fits, and ports of those that do not."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, UsageError
from lab.host import unpack
from lab.kernel.pipeline import Source
from lab.source import archive
from lab.source.apply import check_port
from lab.source.bases import BASES, MAIN_BASE, ensure_base, resolve
from lab.source.git import Git, identity
from lab.source.port import Outcome, try_series
from lab.source.room import BaseRequest
from lab.source.series import Series
from lab.source.tree import ensure_tree
from lab.source.worktree import TreeRequest
from tests.support import (
    SECCOMP_C,
    Change,
    Recorder,
    make_kernel,
    make_patches,
    make_repository,
    make_tarball,
)

CLEAN = Change("kernel/seccomp.c", "line 3\n", "line three\n", "seccomp: Change the third line")
MERGED = Change("kernel/seccomp.c", "line 30\n", "line 30\nmore\n", "seccomp: Add after line 30")
CONFLICT = Change("kernel/seccomp.c", "line 20\n", "line twenty\n", "seccomp: Change line 20")
AGAIN = Change("kernel/seccomp.c", "line twenty\n", "line XX\n", "seccomp: Change line 20 again")
PRESENT = Change("init/empty.c", "", "not empty\n", "init: Fill")
MISSING = Change("include/linux/bpf.h", "BPF", "BPF 2", "bpf: Define")
ALL = (CLEAN, MERGED, CONFLICT, AGAIN, PRESENT, MISSING)


class World:
    """The base of the series and another one, patches, and the lab called on the other one."""

    def __init__(self, tmp_path: Path, cache: Cache) -> None:
        self.cache = cache
        self.kernel = make_kernel(tmp_path / "linux")
        self.tmp_path = tmp_path
        self.other = make_kernel(tmp_path / "other", "6.12.1")
        text = SECCOMP_C.replace("line 33\n", "line 33 there\n").replace("line 20\n", "other 20\n")
        (self.other / "kernel/seccomp.c").write_text(text)
        (self.other / "init/empty.c").write_text("not empty\n")
        (self.other / "include/linux/bpf.h").unlink()
        (self.other / "include/linux/new.h").write_text("#define NEW\n")
        make_repository(self.other)
        self.spec = f"path:{self.other}"
        self.name = resolve(self.spec)[0]
        self.patches = tmp_path / "patches"

    def make(self, *changes: Change) -> None:
        make_patches(self.kernel, self.patches, changes)

    @property
    def series(self) -> Series:
        return Series.read(self.patches, self.name)

    @property
    def request(self) -> TreeRequest:
        ready = ensure_base(BaseRequest(self.spec, self.cache), Recorder().ui)
        return TreeRequest(ready, self.series, self.cache)

    def lab(self, *arguments: str) -> int:
        options = ["--base", self.spec, "--patches", str(self.patches)]
        return run_cli([*arguments, *options, "--cache", str(self.cache.root)])

    @property
    def ports(self) -> Path:
        return self.patches / "ports" / self.name

    @property
    def worktree(self) -> Git:
        return Git(self.cache.trees / f"{self.name}-port")

    def resolve(self, text: str) -> None:
        """What an author does at a conflict in seccomp.c."""
        path = self.worktree.directory / "kernel/seccomp.c"
        before, _, rest = path.read_text().partition("<<<<<<<")
        path.write_text(before + text + rest.partition(">>>>>>>")[2].partition("\n")[2])
        self.worktree.run("add", "-u")
        env = identity("1770000000 +0000") | {"GIT_EDITOR": "true"}
        self.worktree.run("am", "--continue", env=env, check=False)

    def port(self) -> None:
        """The port of CONFLICT, made as an author makes it."""
        assert self.lab("series", "port", "--edit") == ExitCode.PASSED
        self.resolve("other twenty\n")
        assert self.lab("series", "port", "--save") == ExitCode.PASSED


@pytest.fixture
def world(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, cache)
    tarball = make_tarball(made.kernel, tmp_path / "linux-7.3.4.tar.xz")
    fetched = archive.Fetched("7.3.4", "0" * 64, "toy", lambda: unpack.open_tarball(tarball))
    monkeypatch.setattr(archive.ArchiveBase, "_fetch", lambda *_: fetched)
    ensure_base(BaseRequest(MAIN_BASE, cache), Recorder().ui)
    make_repository(made.kernel)
    return made


def outcomes(world: World) -> list[Outcome]:
    return list(try_series(world.request, Recorder().ui).outcomes)


def test_each_patch_is_said_to_fit_or_not(world: World) -> None:
    world.make(*ALL)
    assert [outcome.state for outcome in outcomes(world)] == [
        "clean", "3-way", "conflict", "conflict", "already applied", "conflict",
    ]  # fmt: skip


def test_the_cache_may_lie_on_another_file_system_than_scratch_files(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where /tmp is in memory: git renames a pack from where the repository is."""
    places = [path for path in (Path("/dev/shm"), Path("/tmp")) if path.is_dir()]
    here = world.tmp_path.stat().st_dev
    other = next((path for path in places if path.stat().st_dev != here), None)
    if other is None:
        pytest.skip("there is one file system only")
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    world.make(*ALL)
    assert outcomes(world)[2].places


def test_a_conflict_names_file_hunk_and_lines(world: World) -> None:
    world.make(*ALL)
    third, again, missing = (outcomes(world)[index].places for index in (2, 3, 5))
    # git puts the markers around lines 20 of both, of which each is one line.
    assert [str(place) for place in third] == [
        "kernel/seccomp.c, hunk #1 (line 17): lines 20-24 of the merged file"
    ]
    assert str(again[0]).endswith("(where patch 3 is left out)")
    assert [str(place) for place in missing] == ["include/linux/bpf.h, a file that is not there"]


def test_a_damaged_patch_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.make(*ALL)
    (path,) = world.patches.glob("0003-*")
    path.write_text(re.sub(r"^@@ -.* @@", "@@ lost @@", path.read_text(), flags=re.MULTILINE))
    assert world.lab("series", "port") == ExitCode.USAGE
    assert f"{path.name} is damaged" in capsys.readouterr().err


def test_what_else_a_patch_changes_is_there_for_the_next(world: World, tmp_path: Path) -> None:
    """Only the files in conflict are left out."""
    world.make(CONFLICT)
    git = Git(tmp_path / "patches-work")
    path = git.directory / "kernel/other.c"
    path.write_text("one\ntwo\nthree\n")
    git.run("add", "--force", "kernel/other.c")
    git.run("commit", "-q", "--amend", "--no-edit", env=identity("1760000000 +0000"))
    path.write_text("one\n2\nthree\n")
    git.run("commit", "-q", "-a", "-m", "other: Count", env=identity("1760000000 +0000"))
    shutil.rmtree(world.patches)
    world.patches.mkdir()
    git.run("format-patch", "-q", "-o", world.patches, "origin/master")
    names = sorted(path.name for path in world.patches.iterdir())
    (world.patches / "series").write_text("\n".join(names))
    assert [outcome.state for outcome in outcomes(world)] == ["conflict", "clean"]


def test_the_command_says_so_and_ends_with_1(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.make(*ALL)
    assert world.lab("series", "port") == ExitCode.FAILED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["0001", "clean", *CLEAN.subject.split()]
    assert not (world.cache.trees / f"{world.name}-series").exists()


def test_a_series_that_fits_ends_with_0_and_is_the_tree(world: World) -> None:
    world.make(CLEAN, MERGED)
    assert world.lab("series", "port") == ExitCode.PASSED
    text = (ensure_tree(world.request, Recorder().ui).path / "kernel/seccomp.c").read_text()
    assert "line 30\nmore\n" in text
    assert "line 33 there\n" in text


def test_a_patch_that_is_there_already_is_a_commit_without_a_change(world: World) -> None:
    world.make(PRESENT, CLEAN)
    assert [outcome.state for outcome in outcomes(world)] == ["already applied", "clean"]
    # Also where there is nothing to merge with.
    shutil.rmtree(world.cache.bases / MAIN_BASE)
    git = Git(ensure_tree(world.request, Recorder().ui).path)
    assert git.out("log", "--format=%s", "-2").splitlines() == [CLEAN.subject, PRESENT.subject]
    assert git.ok("diff", "--quiet", "HEAD~2", "HEAD~1")


def test_what_is_lent_outlasts_the_lender(world: World) -> None:
    """A patched file may be the same on both bases: the other one has a copy of its own."""
    shutil.copy(world.kernel / "kernel/seccomp.c", world.other / "kernel/seccomp.c")
    Git(world.other).run("commit", "-qam", "same", env=identity("1700000000 +0000"))
    world.make(CLEAN, MERGED)
    head = ensure_tree(world.request, Recorder().ui).head
    shutil.rmtree(world.cache.bases / MAIN_BASE)
    git = Git(world.request.base.git_dir)
    assert git.ok("fsck", "--connectivity-only", head)


def test_without_the_files_of_the_series_base_nothing_is_merged(world: World) -> None:
    world.make(CLEAN, MERGED)
    shutil.rmtree(world.cache.bases / MAIN_BASE)
    recorder = Recorder()
    trial = try_series(world.request, recorder.ui)
    assert [outcome.state for outcome in trial.outcomes] == ["clean", "conflict"]
    assert f"`lab base {MAIN_BASE}` fetches it" in recorder.said


# --- ports -----------------------------------------------------------------------------------


def test_a_conflict_is_resolved_once_and_kept_as_a_port(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.make(CLEAN, CONFLICT, MERGED)
    names = {path.name: path.read_bytes() for path in world.patches.iterdir()}
    world.port()
    (port,) = world.ports.iterdir()
    assert port.name == "0002-seccomp-Change-line-20.patch"
    mail = port.read_text()
    assert "+other twenty\n" in mail
    assert "[PATCH 2/3] seccomp: Change line 20\n" in mail
    assert {name: (world.patches / name).read_bytes() for name in names} == names
    assert not world.worktree.directory.exists()
    capsys.readouterr()
    assert world.lab("series", "port") == ExitCode.PASSED
    assert "0002 clean, ported" in capsys.readouterr().out


def test_a_port_has_the_patchs_author_date_and_message(world: World) -> None:
    world.make(CONFLICT)
    world.port()
    request = world.request
    result = ensure_tree(request, Recorder().ui)
    log = Git(result.path).out("log", "-1", "--format=%an %ai%n%B").splitlines()
    assert log[0] == "A \u00dc 2025-10-09 10:53:20 +0200"
    assert log[1:4] == [CONFLICT.subject, "", "Because."]
    assert "other twenty\n" in (result.path / "kernel/seccomp.c").read_text()


def test_a_port_is_part_of_what_was_tested(world: World) -> None:
    world.make(CONFLICT)
    plain = Series.read(world.patches)
    world.port()
    assert Series.read(world.patches).digest == plain.digest
    assert world.series.digest != plain.digest
    tree = ensure_tree(world.request, Recorder().ui)
    (row,) = Source(world.request.base, tree, world.series).describe()["patches"]
    assert row["file"] == f"ports/{world.name}/0001-seccomp-Change-line-20.patch"
    content = world.series.patches[0].content
    shown = Git(tree.path).run("patch-id", "--stable", input=content).stdout
    assert row["patch_id"] == shown.split()[0]


def test_a_port_of_an_older_version_is_refused(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.make(CONFLICT)
    world.port()
    ensure_tree(world.request, Recorder().ui)
    patch = world.patches / "0001-seccomp-Change-line-20.patch"
    patch.write_text(patch.read_text().replace("line twenty", "line of twenty"))
    assert world.lab("tree") == ExitCode.USAGE
    error = capsys.readouterr().err
    assert f"{world.ports / patch.name} is the port of another version of {patch.name}" in error
    assert "--edit" in error
    assert world.lab("series", "port") == ExitCode.FAILED
    assert "0001 stale port, ported" in capsys.readouterr().out
    # The way out is the way in.
    assert world.lab("series", "port", "--edit") == ExitCode.PASSED
    world.resolve("other of twenty\n")
    assert world.lab("series", "port", "--save") == ExitCode.PASSED
    assert "+other of twenty\n" in (world.ports / patch.name).read_text()


def test_a_port_that_is_not_needed_any_more_goes(world: World) -> None:
    world.make(CONFLICT)
    world.port()
    text = (world.other / "kernel/seccomp.c").read_text().replace("other 20\n", "line 20\n")
    (world.other / "kernel/seccomp.c").write_text(text)
    Git(world.other).run("commit", "-qam", "as here", env=identity("1700000000 +0000"))
    assert world.lab("series", "port", "--edit") == ExitCode.PASSED
    assert world.lab("series", "port", "--save") == ExitCode.PASSED
    assert list(world.ports.iterdir()) == []


def test_what_is_amended_in_the_tree_is_saved_as_well(world: World) -> None:
    world.make(CLEAN)
    assert world.lab("series", "edit") == ExitCode.PASSED
    git = Git(world.cache.trees / f"{world.name}-series")
    path = git.directory / "kernel/seccomp.c"
    path.write_text(path.read_text().replace("line three\n", "line 3 of other\n"))
    git.run("commit", "-qa", "--amend", "--no-edit", env=identity("1770000000 +0000"))
    assert world.lab("series", "port", "--save") == ExitCode.PASSED
    (port,) = world.ports.iterdir()
    assert "+line 3 of other\n" in port.read_text()
    assert git.directory.exists()


def test_a_ported_tree_is_not_exported_over_the_patches(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.make(CONFLICT)
    world.port()
    assert world.lab("series", "edit") == ExitCode.PASSED
    for command in ("export", "status"):
        assert world.lab("series", command) == ExitCode.USAGE
        assert "--save" in capsys.readouterr().err


def test_a_port_of_no_patch_is_refused(world: World) -> None:
    world.make(CLEAN)
    world.ports.mkdir(parents=True)
    shutil.copy(world.patches / "0001-seccomp-Change-the-third-line.patch", world.ports / "x.patch")
    with pytest.raises(UsageError, match=r"holds x.patch, and .*series names no such patch"):
        Series.read(world.patches, world.name)
    assert Series.read(world.patches, "another").ported == ()


def test_a_port_by_another_name_is_refused(world: World) -> None:
    world.make(CLEAN)
    world.ports.mkdir(parents=True)
    name = "0001-seccomp-Change-the-third-line.patch"
    text = (world.patches / name).read_text().replace("third", "fourth")
    (world.ports / name).write_text(text)
    with pytest.raises(UsageError, match="is called"):
        Series.read(world.patches, world.name)


def test_commits_that_are_not_the_series_are_not_saved(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.make(CLEAN, CONFLICT)
    assert world.lab("series", "port", "--edit") == ExitCode.PASSED
    world.worktree.run("am", "--skip", env=identity("1770000000 +0000"))
    assert world.lab("series", "port", "--save") == ExitCode.USAGE
    assert "The 1 commits" in capsys.readouterr().err
    assert not world.ports.exists()


def test_work_under_way_is_not_overwritten(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.make(CONFLICT)
    assert world.lab("series", "port", "--edit") == ExitCode.PASSED
    assert world.lab("series", "port", "--edit") == ExitCode.USAGE
    assert "is there already" in capsys.readouterr().err
    assert world.lab("series", "port", "--save") == ExitCode.USAGE
    assert "not finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--edit",), "nothing to resolve"),
        (("--save",), "no worktree"),
        (("--edit", "--save"), "--edit is the first step"),
        (("--control",), "leave out --control"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    world: World, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    world.make(CLEAN)
    assert world.lab("series", "port", *options) == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_an_unknown_base_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.make(CLEAN)
    arguments = ["series", "port", "--base", "linux-9.9", "--patches", str(world.patches)]
    assert run_cli([*arguments, "--cache", str(world.cache.root)]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "linux-9.9" in error
    assert "linux-6.12" in error


# --- the project's own -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", sorted(path.name for path in (PROJECT_ROOT / "patches/ports").iterdir())
)
def test_the_ports_of_the_series_are_of_its_patches_as_they_are(name: str) -> None:
    assert name in BASES
    series = Series.read(PROJECT_ROOT / "patches", name)
    assert series.ported
    for patch in series.ported:
        check_port(Git(PROJECT_ROOT), patch)
        assert f"\n[port to {name.removeprefix('linux-')}: ".encode() in patch.content
