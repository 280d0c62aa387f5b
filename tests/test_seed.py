# SPDX-License-Identifier: MIT
"""A new build directory starts as a copy of a finished one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.errors import LabError
from lab.kernel.build import LOG, STAMP
from lab.kernel.config import RECORDS
from lab.kernel.seed import graft, seed
from lab.source.git import Git, identity
from lab.source.worktree import TreeResult
from tests.support import Recorder, make_repository

OLD = 1_000_000_000
SECCOMP_C = Path("kernel/seccomp.c")


def directories(cache: Cache, stamped: bool = True) -> Path:
    """A finished build, and a directory that has a configuration only."""
    finished, fresh = cache.builds / "tree-default", cache.builds / "tree-other"
    for directory, text in ((finished, "old"), (fresh, "new")):
        (directory / RECORDS).mkdir(parents=True)
        (directory / ".config").write_text(text)
        (directory / RECORDS / "config.json").write_text(text)
        os.utime(directory / ".config", (OLD, OLD))
    (finished / "vmlinux.o").write_text("objects")
    (finished / RECORDS / LOG).touch()
    if stamped:
        (finished / RECORDS / STAMP).touch()
    return fresh


def test_objects_are_copied_and_the_configuration_is_kept(cache: Cache, recorder: Recorder) -> None:
    fresh = directories(cache)
    assert seed(cache, fresh, "tree-default", recorder.ui)
    assert (fresh / "vmlinux.o").read_text() == "objects"
    assert (fresh / ".config").read_text() == "new"
    assert (fresh / ".config").stat().st_mtime > OLD, "make has to see that it changed"
    assert sorted(path.name for path in (fresh / RECORDS).iterdir()) == ["config.json"]
    assert (fresh / RECORDS / "config.json").read_text() == "new"
    assert "copy of tree-default" in recorder.said


def test_an_unfinished_build_is_not_copied(cache: Cache, recorder: Recorder) -> None:
    assert not seed(cache, directories(cache, stamped=False), "tree-default", recorder.ui)


def test_a_directory_in_which_something_was_built_is_left_alone(
    cache: Cache, recorder: Recorder
) -> None:
    fresh = directories(cache)
    (fresh / RECORDS / LOG).touch()
    assert not seed(cache, fresh, "tree-default", recorder.ui)
    assert not seed(cache, cache.builds / "tree-default", "tree-default", recorder.ui)


def test_a_copy_that_fails_leaves_the_directory_as_it_was(
    cache: Cache, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = directories(cache)
    broken = tmp_path / "bin" / "cp"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no space >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    with pytest.raises(LabError):
        seed(cache, fresh, "tree-default", recorder.ui)
    assert (fresh / ".config").read_text() == "new"


def test_the_name_of_the_directory_is_replaced_and_nothing_grows_younger(
    cache: Cache, recorder: Recorder
) -> None:
    """objtool's commands name it, and every object depends on objtool."""
    fresh = directories(cache)
    finished = cache.builds / "tree-default"
    command = finished / ".objtool.o.cmd"
    command.write_text(f"cmd := gcc -o {finished}/tools/objtool/objtool.o\n")
    os.utime(command, (OLD, OLD))
    (finished / "objtool").write_bytes(b"\0" + f"{finished}/x".encode())
    assert seed(cache, fresh, "tree-default", recorder.ui)
    copied = fresh / command.name
    assert f"-o {fresh}/tools" in copied.read_text()
    assert f"-o {finished}/tools" in command.read_text(), "the other one is as it was"
    assert copied.stat().st_mtime == OLD
    assert f"{finished}/x".encode() in (fresh / "objtool").read_bytes()


# --- of another tree --------------------------------------------------------------------------

EARLY, LATE = 1_000_000_000, 1_100_000_000


class Trees:
    """A base in a repository, a worktree in which one file differs, and a finished build of the
    base.
    """

    def __init__(self, cache: Cache, kernel: Path, directory: Path) -> None:
        git = make_repository(kernel)
        self.kernel = kernel
        self.base = git.out("rev-parse", "HEAD")
        git.run("worktree", "add", "-q", "-b", "new", directory)
        new = Git(directory)
        (directory / SECCOMP_C).write_text("changed\n")
        new.run("commit", "-q", "-a", "-m", "change", env=identity("1700000001 +0000"))
        self.new = TreeResult(directory, new.out("rev-parse", "HEAD"), "part", ())
        for path in directory.rglob("*.[ch]"):
            os.utime(path, (LATE, LATE))
        self.build_dir = cache.builds / "part"
        self._configured(self.build_dir)
        self.finished = self.build(cache, "base", kernel, self.base)

    def _configured(self, directory: Path) -> None:
        (directory / RECORDS).mkdir(parents=True)
        (directory / ".config").touch()

    def build(self, cache: Cache, name: str, tree: Path, commit: str) -> Path:
        """A finished build of ``commit`` in ``tree``."""
        finished = cache.builds / name
        self._configured(finished)
        (finished / RECORDS / STAMP).write_text(json.dumps({"commit": commit}))
        command = finished / ".seccomp.o.cmd"
        command.write_text(f"cmd := gcc {tree}/{SECCOMP_C}\n")
        (finished / "seccomp.o").write_bytes(b"\0" + f"{tree}/{SECCOMP_C}".encode())
        for path in (command, finished / "seccomp.o"):
            os.utime(path, (EARLY, EARLY))
        return finished


@pytest.fixture
def trees(cache: Cache, kernel: Path, tmp_path: Path) -> Trees:
    return Trees(cache, kernel, tmp_path / "new")


def test_a_copy_for_another_tree_is_older_than_what_differs_in_it(
    trees: Trees, cache: Cache, recorder: Recorder
) -> None:
    new, build_dir, kernel = trees.new.path, trees.build_dir, trees.kernel

    assert graft(cache, build_dir, trees.new, {"base": kernel}, recorder.ui)

    assert f"gcc {new}/kernel" in (build_dir / ".seccomp.o.cmd").read_text()
    kept = (trees.finished / ".seccomp.o.cmd").read_text()
    assert f"gcc {kernel}/kernel" in kept, "the copied one is as it was"
    assert str(kernel).encode() in (build_dir / "seccomp.o").read_bytes()
    ages = {
        name: path.stat().st_mtime_ns
        for name, path in {
            "object": build_dir / "seccomp.o",
            "same": new / "include/linux/bpf.h",
            "differs": new / SECCOMP_C,
        }.items()
    }
    assert ages["same"] < ages["object"] <= ages["differs"]
    assert (build_dir / ".seccomp.o.cmd").stat().st_mtime_ns == ages["object"]


def test_what_the_author_has_not_committed_differs_too(
    trees: Trees, cache: Cache, recorder: Recorder
) -> None:
    header = trees.new.path / "include/linux/bpf.h"
    header.write_text("mine\n")
    os.utime(header, (LATE, LATE))
    assert graft(cache, trees.build_dir, trees.new, {"base": trees.kernel}, recorder.ui)
    assert header.stat().st_mtime_ns >= (trees.build_dir / "seccomp.o").stat().st_mtime_ns


def test_the_nearest_tree_is_taken(trees: Trees, cache: Cache, recorder: Recorder) -> None:
    """Also if nothing differs at all."""
    trees.build(cache, "same", trees.kernel, trees.new.head)
    donors = {"base": trees.kernel, "same": trees.kernel}
    assert graft(cache, trees.build_dir, trees.new, donors, recorder.ui)
    assert "copy of same" in recorder.said


def test_a_build_that_somebody_holds_is_passed_over(
    trees: Trees, cache: Cache, recorder: Recorder
) -> None:
    """Two that wait for each other's would wait for ever."""
    trees.build(cache, "further", trees.kernel, trees.base)
    donors = {"base": trees.kernel, "further": trees.kernel}
    with cache.share_entry(trees.finished):
        assert graft(cache, trees.build_dir, trees.new, donors, recorder.ui)
    assert "copy of further" in recorder.said
    assert "waiting" not in recorder.said


def test_nothing_is_copied_over_what_was_built(
    trees: Trees, cache: Cache, recorder: Recorder
) -> None:
    (trees.build_dir / RECORDS / LOG).touch()
    assert not graft(cache, trees.build_dir, trees.new, {"base": trees.kernel}, recorder.ui)


def test_what_was_built_of_a_tree_further_away_is_replaced(
    trees: Trees, cache: Cache, recorder: Recorder
) -> None:
    """A walk that begins anew has a kernel with all of the series; what guests use stays."""
    other = Git(trees.new.path)
    (other.directory / "include/linux/bpf.h").write_text("far\n")
    (other.directory / SECCOMP_C).write_text("far\n")
    other.run("commit", "-q", "-a", "-m", "far", env=identity("1700000002 +0000"))
    far = other.out("rev-parse", "HEAD")
    other.run("checkout", "-q", trees.new.head)
    (trees.build_dir / RECORDS / LOG).touch()
    (trees.build_dir / RECORDS / STAMP).write_text(json.dumps({"commit": far}))
    (trees.build_dir / "guest/set").mkdir(parents=True)

    assert graft(cache, trees.build_dir, trees.new, {"base": trees.kernel}, recorder.ui)

    assert (trees.build_dir / "seccomp.o").exists()
    assert (trees.build_dir / "guest/set").is_dir()
    assert not (trees.build_dir / RECORDS / STAMP).exists(), "nothing is built yet"


def test_a_few_sources_are_compiled_and_nothing_is_copied(
    trees: Trees, cache: Cache, recorder: Recorder
) -> None:
    (trees.build_dir / RECORDS / LOG).touch()
    (trees.build_dir / RECORDS / STAMP).write_text(json.dumps({"commit": trees.base}))
    donors = {"same": trees.kernel}
    trees.build(cache, "same", trees.kernel, trees.new.head)
    assert not graft(cache, trees.build_dir, trees.new, donors, recorder.ui)


@pytest.mark.parametrize("stamp", ["", "{}", '{"commit": ""}', '{"commit": "%s"}' % ("0" * 40)])
def test_a_build_of_which_nothing_is_known_is_no_donor(
    trees: Trees, cache: Cache, recorder: Recorder, stamp: str
) -> None:
    (trees.finished / RECORDS / STAMP).write_text(stamp)
    donors = {"base": trees.kernel, "not there": trees.kernel}
    assert not graft(cache, trees.build_dir, trees.new, donors, recorder.ui)
