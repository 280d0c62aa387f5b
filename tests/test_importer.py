# SPDX-License-Identifier: MIT
"""The fast import gives what git itself would have made; unpacking gives what was packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.host.unpack import open_in_deb, open_tarball, unpack
from lab.source.git import Git, init_bare
from lab.source.importer import import_directory
from tests.support import FILES, Recorder, make_deb, make_kernel, make_tarball


def tree_by_git(directory: Path, repository: Path) -> str:
    """What `git add` makes of a directory."""
    git = Git(init_bare(repository).directory, repository / "index", directory)
    git.run("add", "--force", "--all")
    return git.out("write-tree")


def test_tree_and_index_are_those_of_git_add(kernel: Path, tmp_path: Path) -> None:
    (kernel / "lib.c").write_text("sorts after lib/\n")
    (kernel / "lib-x.c").write_text("sorts before lib/\n")
    (kernel / "odd \u00e4\udcff name").write_bytes(b"\0\xff")
    (kernel / "Big").write_bytes(b"x" * 200_000)
    git = init_bare(tmp_path / "repo.git")
    index = tmp_path / "repo.git" / "index"
    tree = import_directory(git.directory, kernel, index, Recorder().ui)
    assert tree == tree_by_git(kernel, tmp_path / "other.git")
    assert not git.out("fsck", "--strict", "--no-dangling", "--no-progress")
    # All files are known to be unchanged: nothing would have to be read again.
    stale = Git(git.directory, index, kernel).out("diff-files", "--name-only")
    assert stale == ""


def test_changed_file_shows_against_the_imported_index(kernel: Path, tmp_path: Path) -> None:
    git = init_bare(tmp_path / "repo.git")
    index = tmp_path / "repo.git" / "index"
    import_directory(git.directory, kernel, index, Recorder().ui)
    (kernel / "kernel" / "seccomp.c").write_text("other\n")
    stale = Git(git.directory, index, kernel).out("diff-files", "--name-only")
    assert stale == "kernel/seccomp.c"


def test_git_directory_of_a_worktree_is_left_out(kernel: Path, tmp_path: Path) -> None:
    (kernel / ".git").write_text("gitdir: /elsewhere\n")
    git = init_bare(tmp_path / "repo.git")
    tree = import_directory(git.directory, kernel, tmp_path / "index", Recorder().ui)
    assert ".git\n" not in git.out("ls-tree", "--name-only", tree) + "\n"


def test_empty_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    git = init_bare(tmp_path / "repo.git")
    with pytest.raises(LabError, match="no files"):
        import_directory(git.directory, tmp_path / "empty", tmp_path / "index", Recorder().ui)
    assert not list((git.directory / "objects" / "pack").glob("tmp_pack*"))


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
def test_tarball_is_unpacked_without_its_top_directory(
    kernel: Path, tmp_path: Path, suffix: str
) -> None:
    archive = make_tarball(kernel, tmp_path / f"linux-7.3.4.tar{suffix}")
    with open_tarball(archive) as packed:
        unpack(packed, tmp_path / "out", Recorder().ui)
    for name, content in FILES.items():
        if name != "Makefile":
            assert (tmp_path / "out" / name).read_text() == content
    assert (tmp_path / "out" / "scripts" / "link").is_symlink()


def test_tarball_in_a_debian_package_is_streamed_out(kernel: Path, tmp_path: Path) -> None:
    deb = make_deb(kernel, tmp_path / "linux-source.deb")
    with open_in_deb(deb, r"/linux-source-[0-9.]+\.tar\.\w+$") as packed:
        assert packed.name == "linux-source-7.3.tar.xz"
        unpack(packed, tmp_path / "out", Recorder().ui)
    assert (tmp_path / "out" / ".gitignore").read_text() == FILES[".gitignore"]


def test_package_without_the_tarball_is_an_error(kernel: Path, tmp_path: Path) -> None:
    deb = make_deb(kernel, tmp_path / "linux-source.deb")
    with pytest.raises(LabError, match="holds no file"), open_in_deb(deb, "absent"):
        pass


def test_damaged_archive_is_an_error_with_tars_reason(tmp_path: Path) -> None:
    kernel = make_kernel(tmp_path / "kernel")
    archive = make_tarball(kernel, tmp_path / "linux-7.3.4.tar.xz")
    archive.write_bytes(archive.read_bytes()[:-200])
    with (
        pytest.raises(LabError, match=r"Unpacking linux-7\.3\.4\.tar\.xz failed"),
        open_tarball(archive) as packed,
    ):
        unpack(packed, tmp_path / "out", Recorder().ui)


def test_unknown_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "linux.zip").write_bytes(b"PK")
    with (
        pytest.raises(LabError, match="no archive format"),
        open_tarball(tmp_path / "linux.zip") as packed,
    ):
        unpack(packed, tmp_path / "out", Recorder().ui)
