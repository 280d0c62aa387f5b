# SPDX-License-Identifier: MIT
"""The cache: where it is, atomic writes, locks between processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lab.core.cache import Cache, atomic_write
from lab.errors import UsageError

HOLD = """
import sys, time
from pathlib import Path
from lab.core.cache import Cache
with Cache(Path(sys.argv[1])).lock(sys.argv[2], "building"):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


def holder(cache: Cache, name: str, seconds: float) -> subprocess.Popen[str]:
    """Another process that holds a lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache.root), name, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_option_beats_environment_beats_xdg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Cache.default().root == tmp_path / "xdg" / "seccomp-lab"
    monkeypatch.setenv("SECCOMP_LAB_CACHE", str(tmp_path / "environment"))
    assert Cache.default().root == tmp_path / "environment"
    assert Cache.default(tmp_path / "option").root == tmp_path / "option"


def test_cache_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used"):
        Cache.default(tmp_path / "file")


def test_atomic_write_leaves_the_old_file_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file"
    atomic_write(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, b"new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_second_process_waits_and_says_for_what(cache: Cache) -> None:
    said: list[str] = []
    with holder(cache, "trees/x", 0.5) as process:
        started = time.monotonic()
        with cache.lock("trees/x", say=said.append):
            assert time.monotonic() - started > 0.2
    assert said == [f"waiting for lock trees/x, held by process {process.pid} (building)"]


def test_lock_of_a_killed_process_is_free(cache: Cache) -> None:
    with holder(cache, "bases/x", 60) as process:
        process.kill()
    with cache.try_lock("bases/x") as free:
        assert free


def test_try_lock_tells_that_another_holds_it(cache: Cache) -> None:
    with holder(cache, "runs/x", 60) as process:
        with cache.try_lock("runs/x") as free:
            assert not free
        process.kill()


def test_same_process_may_lock_twice_and_release_once_more(cache: Cache) -> None:
    with cache.lock("a"):
        with cache.lock("a"):
            pass
        done = subprocess.run(
            [sys.executable, "-c", "import sys\nfrom pathlib import Path\n"
             "from lab.core.cache import Cache\n"
             "with Cache(Path(sys.argv[1])).try_lock('a') as free: print(free)", str(cache.root)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == "False\n"


def test_threads_of_one_process_exclude_each_other(cache: Cache) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with cache.lock("t", say=lambda _: None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_use_is_recorded_per_entry(cache: Cache) -> None:
    entry = cache.builds / "x" / "deep"
    entry.mkdir(parents=True)
    with cache.lock_entry(entry):
        pass
    assert time.time() - cache.last_used(cache.builds / "x") < 5
    cache.forget(entry)
    os.utime(cache.builds / "x", (1000, 1000))
    assert cache.last_used(cache.builds / "x") == 1000


def test_readers_of_an_entry_do_not_wait_for_each_other(cache: Cache) -> None:
    said: list[str] = []
    entry = cache.trees / "tree"
    with cache.share_entry(entry, "building", said.append), cache.share_entry(entry, "too"):
        pass
    assert said == []


def test_a_reader_waits_for_who_writes(cache: Cache) -> None:
    said: list[str] = []
    process = holder(cache, "trees/tree", 0.5)
    with cache.share_entry(cache.trees / "tree", "reading", said.append):
        assert process.wait(5) == 0
    assert "waiting for lock trees/tree" in said[0]


def test_a_writer_does_not_get_what_is_read(cache: Cache) -> None:
    with cache.share_entry(cache.trees / "tree"), cache.try_lock("trees/tree") as free:
        assert not free
    with cache.try_lock("trees/tree") as free:
        assert free
