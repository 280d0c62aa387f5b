"""A new build directory starts as a copy of a finished one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.build import LOG, STAMP
from lab.cache import Cache
from lab.config import RECORDS
from lab.errors import LabError
from lab.seed import seed
from tests.support import Recorder

OLD = 1_000_000_000


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
