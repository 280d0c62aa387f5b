# SPDX-License-Identifier: MIT
"""Bases from git and from the user's own tree, and the names of bases."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.errors import LabError, UsageError
from lab.source.bases import BASES, ensure_base, resolve
from lab.source.git import Git
from lab.source.remote import GitBase
from lab.source.room import BaseRequest, BaseResult, makefile_version
from tests.support import Recorder, make_kernel, make_repository

PINNED = "7.3.4-1~bpo13+1"


def ready(cache: Cache, name: str = "linux-7.3", newer: bool = False) -> BaseResult:
    return ensure_base(BaseRequest(name, cache, newer), Recorder().ui)


# --- git -------------------------------------------------------------------------------------


@pytest.fixture
def upstream(kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository standing in for bpf-next, with two commits."""
    git = make_repository(kernel)
    (kernel / "kernel" / "seccomp.c").write_text("second\n")
    git.run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-a", "-m", "second")
    bare = tmp_path / "bpf-next.git"
    Git(tmp_path).run("clone", "-q", "--bare", kernel, bare)
    monkeypatch.setenv("SECCOMP_LAB_BPF_NEXT_URL", f"file://{bare}")
    return Git(bare)


def test_tip_of_bpf_next_is_fetched_shallow_and_stays(cache: Cache, upstream: Git) -> None:
    tip = upstream.out("rev-parse", "master")
    result = ready(cache, "bpf-next")
    assert (result.commit, result.version, result.digest) == (tip, "7.3.4", f"git:{tip}")
    assert Git(result.git_dir).out("rev-list", "--count", tip) == "1"
    upstream.run("update-ref", "refs/heads/master", f"{tip}~1")
    assert ready(cache, "bpf-next").commit == tip
    assert ready(cache, "bpf-next", newer=True).commit == upstream.out("rev-parse", "master")


def test_named_commit_of_bpf_next(cache: Cache, upstream: Git) -> None:
    first = upstream.out("rev-parse", "master~1")
    assert ready(cache, f"bpf-next@{first}").commit == first


def test_server_that_gives_tips_only_has_its_branch_fetched(cache: Cache, upstream: Git) -> None:
    upstream.run("config", "uploadpack.allowAnySHA1InWant", "false")
    upstream.run("config", "protocol.version", "0")
    first = upstream.out("rev-parse", "master~1")
    spec = BASES["bpf-next"]
    assert isinstance(spec, GitBase)
    assert ready(cache, f"bpf-next@{first}").commit == first


@pytest.mark.parametrize(("commit", "error", "words"), [
    ("abc", UsageError, "not a full commit id"), ("0" * 40, LabError, "Cannot fetch"),
])  # fmt: skip
def test_bad_commit(
    cache: Cache, upstream: Git, commit: str, error: type[LabError], words: str
) -> None:
    del upstream
    with pytest.raises(error, match=words):
        ready(cache, f"bpf-next@{commit}")


def test_unreachable_repository_is_an_infrastructure_error(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECCOMP_LAB_BPF_NEXT_URL", f"file://{tmp_path}/absent.git")
    with pytest.raises(LabError, match="Cannot fetch") as caught:
        ready(cache, "bpf-next")
    assert caught.value.exit_code == 3


# --- the user's own tree -----------------------------------------------------------------------


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in directory.rglob("*")
    }


def test_git_tree_of_the_user_gives_its_head_and_is_left_alone(cache: Cache, kernel: Path) -> None:
    git = make_repository(kernel)
    (kernel / "kernel" / "seccomp.c").write_text("uncommitted\n")
    before = listing(kernel)
    recorder = Recorder()
    result = ensure_base(BaseRequest(f"path:{kernel}", cache), recorder.ui)
    assert listing(kernel) == before
    assert result.commit == git.out("rev-parse", "HEAD")
    assert "uncommitted changes (kernel/seccomp.c)" in recorder.said
    assert Git(result.git_dir).out("show", f"{result.commit}:kernel/seccomp.c") != "uncommitted"


def test_linked_worktree_and_shallow_clone_of_the_user(
    cache: Cache, kernel: Path, tmp_path: Path
) -> None:
    git = make_repository(kernel)
    git.run("worktree", "add", "-q", "--detach", tmp_path / "linked")
    head = git.out("rev-parse", "HEAD")
    assert ready(cache, f"path:{tmp_path / 'linked'}").commit == head
    (kernel / "kernel" / "seccomp.c").write_text("second\n")
    git.run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-a", "-m", "second")
    Git(tmp_path).run("clone", "-q", "--depth=1", f"file://{kernel}", tmp_path / "shallow")
    result = ready(cache, f"path:{tmp_path / 'shallow'}")
    assert Git(result.git_dir).out("rev-list", "--count", result.commit) == "1"


def test_plain_tree_of_the_user_is_imported_and_left_alone(cache: Cache, kernel: Path) -> None:
    before = listing(kernel)
    first = ready(cache, f"path:{kernel}")
    assert listing(kernel) == before
    assert first.digest.startswith("tree:")
    assert ready(cache, f"path:{kernel}") == first
    (kernel / "kernel" / "seccomp.c").write_text("edited\n")
    second = ready(cache, f"path:{kernel}")
    assert second.commit != first.commit
    assert Git(second.git_dir).out("show", f"{second.commit}:kernel/seccomp.c") == "edited"


def test_plain_tree_inside_somebody_elses_repository_is_a_plain_tree(
    cache: Cache, tmp_path: Path
) -> None:
    make_kernel(tmp_path / "outer" / "linux")
    make_repository(tmp_path / "outer")
    assert ready(cache, f"path:{tmp_path / 'outer' / 'linux'}").digest.startswith("tree:")


def test_plain_tree_that_was_built_in_is_refused(cache: Cache, kernel: Path) -> None:
    (kernel / ".config").write_text("")
    with pytest.raises(UsageError, match="has been built in"):
        ready(cache, f"path:{kernel}")


def test_directory_that_is_no_kernel_is_refused(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "Makefile").write_text("")
    with pytest.raises(UsageError, match="no Kconfig, MAINTAINERS"):
        ready(cache, f"path:{tmp_path / 'x'}")
    with pytest.raises(UsageError, match="no kernel source tree"):
        ready(cache, f"path:{tmp_path / 'absent'}")


# --- names -------------------------------------------------------------------------------------


def test_unknown_base_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("linux-9.9")
    assert "linux-7.3" in caught.value.hint
    with pytest.raises(UsageError, match="no git repository"):
        resolve("linux-7.3@abc")


def test_directories_of_one_name_do_not_share_a_place(tmp_path: Path) -> None:
    first, _ = resolve(f"path:{tmp_path}/a/linux")
    second, _ = resolve(f"path:{tmp_path}/b/linux")
    assert first != second
    assert first.startswith("path-linux-")


@pytest.mark.parametrize(("text", "version"), [
    ("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n", "7.3.4"),
    ("VERSION = 7\nPATCHLEVEL = 4\nSUBLEVEL = 0\nEXTRAVERSION = -rc2\n", "7.4-rc2"),
    ("all:\n", ""),
])  # fmt: skip
def test_version_in_the_makefile(text: str, version: str) -> None:
    assert makefile_version(text) == version
