# SPDX-License-Identifier: MIT
"""Stage tree: real commits, only changed files touched, nothing of the author's overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.errors import UsageError
from lab.source import apply
from lab.source import tree as module
from lab.source.bases import ensure_base
from lab.source.git import IDENTITY_NAME, Git
from lab.source.room import BaseRequest
from lab.source.series import Series
from lab.source.tree import ensure_tree
from lab.source.worktree import TreeRequest, TreeResult
from tests.support import (
    CHANGES,
    Change,
    Recorder,
    make_kernel,
    make_patches,
    make_repository,
    make_tarball,
)
from tests.trees import World, age, inodes, touched

NEW_FILE = Change("kernel/new.c", "", "new\n", "kernel: Add a file")
THIRD = Change("init/empty.c", "", "not empty\n", "init: Fill")


@pytest.fixture
def world(cache: Cache, kernel: Path, tmp_path: Path) -> World:
    make_repository(kernel)
    base = ensure_base(BaseRequest(f"path:{kernel}", cache), Recorder().ui)
    return World(base, cache, kernel, tmp_path)


def test_series_becomes_commits_with_the_mails_author_and_message(world: World) -> None:
    result = world.tree(world.series())
    git = Git(result.path)
    assert git.out("log", "--format=%an|%ae|%ai|%cn|%ci|%s", "-2", "--reverse").splitlines() == [
        f"A \u00dc|a@example.org|2025-10-09 10:53:2{number} +0200|{IDENTITY_NAME}|"
        f"2025-10-09 10:53:2{number} +0200|{change.subject}"
        for number, change in enumerate(CHANGES)
    ]
    body = "Because.\n\nSigned-off-by: A \u00dc <a@example.org>"
    assert git.out("log", "-1", "--format=%b").rstrip() == body
    assert git.out("rev-parse", "HEAD~2") == world.base.commit
    assert git.out("status", "--porcelain", "--ignored") == ""
    assert "line three\n" in (result.path / "kernel" / "seccomp.c").read_text()
    assert (result.kind, result.local) == ("series", ())


def test_commits_have_the_trees_of_git_am(world: World, tmp_path: Path) -> None:
    series = world.series(*CHANGES, NEW_FILE)
    result = world.tree(series)
    Git(tmp_path).run("clone", "-q", world.kernel, tmp_path / "am")
    am = Git(tmp_path / "am")
    files = [patch.path for patch in series.patches]
    am.run("-c", "user.name=x", "-c", "user.email=x@x", "am", "-q", "--3way", *files)
    ours = Git(result.path).out("log", "--format=%T %an %ae %at %B", "-3")
    assert am.out("log", "--format=%T %an %ae %at %B", "-3") == ours


def test_patch_ids_are_those_of_the_commits(world: World) -> None:
    result = world.tree(world.series())
    git = Git(result.path)
    shown = git.run("log", "-p", "--reverse", "-2").stdout
    ids = git.run("patch-id", "--stable", input=shown).stdout.split()[::2]
    assert [patch.patch_id for patch in result.patches] == ids
    assert [patch.number for patch in result.patches] == [1, 2]


def test_same_input_gives_the_same_commit_in_every_cache(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = world.series()
    first = world.tree(series)
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody")
    cache = Cache(tmp_path / "other")
    base = ensure_base(BaseRequest(f"path:{world.kernel}", cache), Recorder().ui)
    assert ensure_tree(TreeRequest(base, series, cache), Recorder().ui).head == first.head


def test_nothing_changed_applies_nothing_and_touches_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = world.series()
    first = world.tree(series)
    before = inodes(first.path)
    monkeypatch.setattr(apply, "apply_diff", None)
    assert world.tree(series) == first
    assert touched(first.path, before) == set()


def test_changed_patch_touches_the_files_it_changes(world: World) -> None:
    first = world.tree(world.series(*CHANGES, THIRD))
    before = age(first.path)
    second = world.tree(world.series(*CHANGES, Change("init/empty.c", "", "other\n", "init: Fill")))
    assert second.path == first.path
    assert touched(first.path, before) == {"init/empty.c"}


def test_patch_dropped_and_file_added(world: World) -> None:
    first = world.tree(world.series(*CHANGES, NEW_FILE))
    assert (first.path / "kernel" / "new.c").exists()
    before = age(first.path)
    world.tree(world.series(CHANGES[0]))
    assert touched(first.path, before) == {"kernel/new.c", "kernel/seccomp.c"}


def test_changed_message_alone_touches_no_file(world: World) -> None:
    first = world.tree(world.series(CHANGES[0]))
    before = age(first.path)
    old = CHANGES[0]
    second = world.tree(world.series(Change(old.file, old.old, old.new, "seccomp: Say it better")))
    assert second.head != first.head
    assert touched(first.path, before) == set()


def test_control_tree_is_the_base_beside_the_series(world: World) -> None:
    series = world.tree(world.series())
    control = world.tree(None)
    assert control.path != series.path
    assert (control.kind, control.head, control.patches) == ("base", world.base.commit, ())
    assert "line 3\n" in (control.path / "kernel" / "seccomp.c").read_text()
    assert Git(control.path).out("status", "--porcelain") == ""


def test_trees_leave_the_base_s_records_alone(world: World) -> None:
    """The control's tree is of kind "base": its state once had the name of the base's record."""
    record = world.base.git_dir.parent / "base.json"
    record.write_text("what lab.base has written")
    first = world.tree(None)
    world.tree(world.series())
    assert record.read_text() == "what lab.base has written"
    assert world.tree(None) == first


def test_unpacked_files_of_an_archive_are_taken_over(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base was unpacked once: its files become the tree's, they are not written again."""
    from lab.host import unpack
    from lab.source import archive

    kernel = make_kernel(tmp_path / "linux")
    tarball = make_tarball(kernel, tmp_path / "linux-7.3.4.tar.xz")
    fetched = archive.Fetched("7.3.4", "0" * 64, "toy", lambda: unpack.open_tarball(tarball))
    monkeypatch.setattr(archive.ArchiveBase, "_fetch", lambda *_: fetched)
    ready = ensure_base(BaseRequest("linux-7.3", cache), Recorder().ui)
    before = inodes(ready.spare)
    make_repository(kernel)
    series = Series.read(make_patches(kernel, tmp_path / "patches"))
    result = ensure_tree(TreeRequest(ready, series, cache), Recorder().ui)
    assert touched(result.path, before) == {"kernel/seccomp.c"}
    assert not ready.spare.exists()
    control = ensure_tree(TreeRequest(ready, None, cache), Recorder().ui)
    assert Git(control.path).out("status", "--porcelain") == ""


# --- patches that do not apply --------------------------------------------------------------


def misfit(world: World) -> Series:
    """Two hunks; the second does not fit the base."""
    series = world.series(CHANGES[0])
    text = series.patches[0].content.decode()
    extra = "@@ -30,3 +30,3 @@ line 29\n line 30\n-no such line\n+other\n line 32\n"
    text = text.replace("-- \n", f"{extra}-- \n")
    series.patches[0].path.write_text(text)
    return Series.read(series.directory)


def test_patch_that_does_not_apply_names_file_and_hunk(world: World) -> None:
    with pytest.raises(UsageError) as caught:
        world.tree(misfit(world))
    message = caught.value.message
    assert "0001-seccomp-Change-the-third-line.patch" in message
    assert "kernel/seccomp.c, hunk #2 (line 30)" in message
    assert not (world.cache.trees / f"{world.base.name}-series").exists()


def test_tree_stays_as_it_was_when_a_patch_does_not_apply(world: World) -> None:
    series = world.series()
    first = world.tree(series)
    before = inodes(first.path)
    with pytest.raises(UsageError, match="does not apply"):
        world.tree(misfit(world))
    assert touched(first.path, before) == set()
    assert world.tree(series) == first


def test_patch_to_an_absent_file_says_so(world: World) -> None:
    series = world.series(NEW_FILE, Change("kernel/new.c", "new\n", "newer\n", "kernel: Change"))
    (series.directory / "series").write_text(f"{series.patches[1].file}\n")
    series.patches[0].path.unlink()
    with pytest.raises(UsageError, match=r"kernel/new\.c: does not exist in index"):
        world.tree(Series.read(series.directory))


def test_patch_for_a_base_with_moved_context_is_merged(world: World) -> None:
    """3-way, as git am does it: the lines around have changed in between."""
    series = world.series(CHANGES[0])
    seccomp = world.kernel / "kernel" / "seccomp.c"
    seccomp.write_text(seccomp.read_text().replace("line 5\n", "line five\n"))
    git = Git(world.kernel)
    git.run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-a", "-m", "moved")
    world.base = ensure_base(BaseRequest(f"path:{world.kernel}", world.cache), Recorder().ui)
    text = (world.tree(series).path / "kernel" / "seccomp.c").read_text()
    assert "line three\n" in text
    assert "line five\n" in text


# --- the author's own changes ---------------------------------------------------------------


def edit(result: TreeResult, text: str = "the author was here\n") -> Path:
    path = result.path / "kernel" / "seccomp.c"
    path.write_text(path.read_text() + text)
    return path


def commit(result: TreeResult, subject: str = "my idea") -> str:
    git = Git(result.path)
    git.run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-a", "-m", subject)
    return git.out("rev-parse", "HEAD")


def test_uncommitted_change_is_built_and_said_aloud(world: World) -> None:
    series = world.series()
    path = edit(world.tree(series))
    result = world.tree(series)
    assert result.local == ("kernel/seccomp.c",)
    assert "tree has local changes: building them: kernel/seccomp.c" in world.recorder.said
    assert path.read_text().endswith("the author was here\n")


def test_own_commit_is_built_and_said_aloud(world: World) -> None:
    series = world.series()
    first = world.tree(series)
    edit(first)
    head = commit(first)
    result = world.tree(series)
    assert result.head == head
    assert result.local == (f"commit {head[:7]} my idea",)
    assert result.patches == first.patches


@pytest.mark.parametrize("committed", [False, True])
def test_change_of_tree_and_patches_is_refused(world: World, committed: bool) -> None:
    first = world.tree(world.series())
    path = edit(first)
    if committed:
        commit(first)
    head = Git(first.path).out("rev-parse", "HEAD")
    with pytest.raises(UsageError) as caught:
        world.tree(world.series(*CHANGES, THIRD))
    assert ("commit" if committed else "kernel/seccomp.c") in caught.value.message
    assert "stash" in caught.value.hint
    assert path.read_text().endswith("the author was here\n")
    assert Git(first.path).out("rev-parse", "HEAD") == head
    assert (first.path / "init" / "empty.c").read_text() == ""


def test_change_that_went_into_the_patches_is_taken_as_such(world: World) -> None:
    """Edit the tree, commit, format-patch into patches/: the usual round of an author."""
    first = world.tree(world.series())
    (first.path / "init" / "empty.c").write_text("not empty\n")
    commit(first)
    Git(first.path).run("branch", "mine")
    mine = Git(first.path).out("rev-parse", "mine")
    before = age(first.path)
    result = world.tree(world.series(*CHANGES, THIRD))
    assert (len(result.patches), result.local) == (3, ())
    assert touched(first.path, before) == set()
    assert Git(first.path).out("rev-parse", "HEAD", "mine").split() == [result.head, mine]
    assert Git(first.path).out("status", "--porcelain") == ""


def test_local_change_does_not_survive_its_removal(world: World) -> None:
    series = world.series()
    first = world.tree(series)
    edit(first)
    world.tree(series)
    Git(first.path).run("checkout", "-q", "--", ".")
    assert world.tree(series).local == ()
    assert world.tree(world.series(*CHANGES, THIRD)).local == ()


def test_untracked_file_in_the_way_is_not_overwritten(world: World) -> None:
    series = world.series()
    first = world.tree(series)
    mine = first.path / "kernel" / "new.c"
    mine.write_text("mine\n")
    with pytest.raises(UsageError, match=r"kernel/new\.c"):
        world.tree(world.series(*CHANGES, NEW_FILE))
    assert mine.read_text() == "mine\n"
    mine.unlink()
    assert world.tree(series) == first


def test_untracked_build_products_are_no_change(world: World) -> None:
    series = world.series()
    first = world.tree(series)
    (first.path / "notes.txt").write_text("todo\n")
    assert world.tree(series).local == ()


# --- interruptions ----------------------------------------------------------------------------


def interrupted(world: World, series: Series, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move that is killed half way: some files moved, HEAD not, git's lock left behind."""
    real = Git.run

    def run(self: Git, *args: str, **options: object) -> object:
        if args[:1] == ("checkout",):
            path = self.directory / "init" / "empty.c"
            path.write_text("not empty\n")
            lock = Path(self.out("rev-parse", "--path-format=absolute", "--git-path", "index.lock"))
            lock.write_text("")
            raise KeyboardInterrupt
        return real(self, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Git, "run", run)
        world.tree(series)


def test_killed_move_is_ended_by_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.tree(world.series())
    series = world.series(*CHANGES, THIRD, NEW_FILE)
    interrupted(world, series, monkeypatch)
    result = world.tree(series)
    assert (result.local, result.path) == ((), first.path)
    assert Git(result.path).out("status", "--porcelain") == ""
    assert (result.path / "kernel" / "new.c").read_text() == "new\n"


def test_killed_move_with_an_edit_since_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.tree(world.series())
    series = world.series(*CHANGES, THIRD)
    interrupted(world, series, monkeypatch)
    path = first.path / "COPYING"
    path.write_text("edited\n")
    with pytest.raises(UsageError, match=r"interrupted, and COPYING changed since"):
        world.tree(series)
    assert path.read_text() == "edited\n"


def test_tree_that_was_removed_is_made_again(world: World) -> None:
    series = world.series()
    first = world.tree(series)
    shutil.rmtree(first.path)
    assert world.tree(series) == first


def test_killed_creation_is_ended_by_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = world.series()

    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(module, "run_with_progress", killed)
        world.tree(series)
    result = world.tree(series)
    assert result.local == ()
    assert Git(result.path).out("status", "--porcelain") == ""


def test_directory_of_somebody_else_is_not_taken(world: World) -> None:
    path = world.cache.trees / f"{world.base.name}-series"
    path.mkdir(parents=True)
    (path / "precious").write_text("x")
    with pytest.raises(UsageError, match="in the way"):
        world.tree(world.series())
    assert (path / "precious").read_text() == "x"
