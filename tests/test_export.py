# SPDX-License-Identifier: MIT
"""From a worktree's commits to patches/ and back: nothing changes by itself, nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode
from lab.source.export import written_words
from lab.source.git import Git, identity
from lab.source.series import Series
from tests.support import Change, make_kernel, make_patches, make_repository

THIRD = Change("init/empty.c", "", "not empty\n", "init: Fill")


class Desk:
    """A toy base, patches for it, and the lab called on both."""

    def __init__(self, cache: Cache, kernel: Path, patches: Path) -> None:
        self.cache = cache
        self.kernel = kernel
        self.patches = patches

    def lab(self, command: str, *arguments: str) -> int:
        """``lab series COMMAND``."""
        options = ["--base", f"path:{self.kernel}", "--patches", str(self.patches)]
        return run_cli(["series", command, *arguments, *options, "--cache", str(self.cache.root)])

    @property
    def git(self) -> Git:
        """The worktree."""
        (tree,) = self.cache.trees.glob("*-series")
        return Git(tree)

    def files(self) -> dict[str, bytes]:
        """What is in patches/."""
        return {path.name: path.read_bytes() for path in self.patches.iterdir()}

    def commit(self, change: Change, *options: str) -> None:
        """Edit a file in the worktree and commit it, as an author does."""
        path = self.git.directory / change.file
        path.write_text(path.read_text().replace(change.old, change.new))
        message = ("-m", change.subject) if change.subject else ("--no-edit",)
        env = identity("1770000000 +0000", ("B", "b@example.org"))
        self.git.run("commit", "-q", "-a", *message, *options, env=env)


@pytest.fixture
def desk(cache: Cache, kernel: Path, tmp_path: Path) -> Desk:
    """With a worktree, and patches as the lab writes them."""
    make_repository(kernel)
    made = Desk(cache, kernel, make_patches(kernel, tmp_path / "patches"))
    assert made.lab("edit") == 0
    assert made.lab("export") == 0
    return made


def test_export_without_a_change_writes_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = desk.files(), {path: path.stat().st_mtime_ns for path in desk.patches.iterdir()}
    assert desk.lab("export") == 0
    assert capsys.readouterr().out == "nothing to write: worktree and patches agree\n"
    after = desk.files(), {path: path.stat().st_mtime_ns for path in desk.patches.iterdir()}
    assert after == before
    assert desk.lab("status") == ExitCode.PASSED


def test_edit_puts_the_commits_on_a_branch(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.lab("edit") == 0
    assert capsys.readouterr().out == f"{desk.git.directory}\n"
    assert desk.git.out("symbolic-ref", "--short", "HEAD") == "series"
    assert len(desk.git.out("log", "--format=%s", "-3").splitlines()) == 3


def test_an_amended_commit_changes_its_patch_alone(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = desk.files()
    desk.commit(Change("kernel/seccomp.c", "more\n", "much more\n", ""), "--amend")
    capsys.readouterr()
    assert desk.lab("status") == ExitCode.FAILED
    assert "changed  0002-seccomp-Add-after-line-30.patch" in capsys.readouterr().out
    assert desk.lab("export") == 0
    after = desk.files()
    assert {name for name in after if after[name] != before.get(name)} == {
        "0002-seccomp-Add-after-line-30.patch",
    }
    assert b"+much more" in after["0002-seccomp-Add-after-line-30.patch"]
    # The worktree is what patches/ says, on the author's branch: the next edit goes on from there.
    assert desk.lab("status") == ExitCode.PASSED
    assert desk.git.out("symbolic-ref", "--short", "HEAD") == "series"


def test_a_new_commit_is_a_new_patch_in_order_and_cover(desk: Desk) -> None:
    cover = desk.patches / "0000-cover-letter.patch"
    cover.write_text(cover.read_text().replace("*** BLURB HERE ***", "Why (all): a word."))
    assert desk.lab("edit") == 0
    path = desk.git.directory / THIRD.file
    path.write_text(THIRD.new)
    desk.commit(Change(THIRD.file, THIRD.new, THIRD.new, THIRD.subject))
    assert desk.lab("export") == 0
    series = Series.read(desk.patches)
    assert [patch.title for patch in series.patches][2:] == [THIRD.subject]
    assert (desk.patches / "series").read_text().startswith("# the order\n0001-")
    text = cover.read_text()
    assert "[PATCH 0/3] *** SUBJECT HERE ***" in text
    assert "Why (all): a word." in text
    assert "init: Fill" in text
    assert text.count("files changed") == 1
    assert "base-commit: " in text


def test_a_commit_that_is_dropped_leaves_no_file(desk: Desk) -> None:
    desk.git.run("reset", "-q", "--hard", "HEAD~1")
    assert desk.lab("export") == 0
    assert [patch.number for patch in Series.read(desk.patches).patches] == [1]
    assert len(list(desk.patches.glob("*.patch"))) == 2


def test_uncommitted_work_is_refused_by_name(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    path = desk.git.directory / "kernel" / "seccomp.c"
    path.write_text("mine\n")
    before = desk.files()
    assert desk.lab("export") == ExitCode.USAGE
    assert "kernel/seccomp.c" in capsys.readouterr().err
    assert (desk.files(), path.read_text()) == (before, "mine\n")


@pytest.mark.parametrize("command", ["status", "export"])
def test_a_new_file_that_was_not_added_is_named(
    desk: Desk, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Also if the base ignores everything, as a distribution's .gitignore may."""
    exclude = Path(
        desk.git.out("rev-parse", "--path-format=absolute", "--git-path", "info/exclude")
    )
    exclude.parent.mkdir(parents=True, exist_ok=True)
    exclude.write_text("/*\n")
    (desk.git.directory / "include/linux/new.h").write_text("mine\n")
    assert desk.lab(command) == ExitCode.PASSED
    assert "in no commit: include/linux/new.h" in capsys.readouterr().err


def test_a_rebase_that_is_not_finished_is_refused(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    env = identity("1770000000 +0000") | {"GIT_SEQUENCE_EDITOR": "sed -i 1s/^pick/edit/"}
    desk.git.run("rebase", "-q", "-i", "HEAD~2", env=env, check=False)
    assert desk.lab("export") == ExitCode.USAGE
    assert "rebase is not finished" in capsys.readouterr().err


def test_patches_that_were_edited_too_are_not_overwritten(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.commit(Change("kernel/seccomp.c", "more\n", "much more\n", ""), "--amend")
    mail = desk.patches / "0001-seccomp-Change-the-third-line.patch"
    mail.write_text(mail.read_text().replace("Because.", "Because of that."))
    before = desk.files()
    assert desk.lab("export") == ExitCode.USAGE
    assert "was edited since" in capsys.readouterr().err
    assert desk.files() == before


def test_a_branch_with_commits_of_the_authors_is_not_moved(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.commit(Change("kernel/seccomp.c", "more\n", "much more\n", ""), "--amend")
    mine = desk.git.out("rev-parse", "HEAD")
    made = desk.git.out("for-each-ref", "--format=%(objectname)", "refs/lab/series").split()
    desk.git.run("checkout", "-q", "--detach", made[-1])
    if desk.git.ok("diff", "--quiet", mine, "HEAD"):
        pytest.fail("the lab's commit has the author's change")
    desk.lab("edit")
    assert "commits of yours" in capsys.readouterr().err
    assert desk.git.out("rev-parse", "series") == mine


def test_commits_elsewhere_are_no_series(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.git.run("checkout", "-q", "--orphan", "else")
    desk.git.run("commit", "-q", "-m", "alone", env=identity("1770000000 +0000"))
    assert desk.lab("export") == ExitCode.USAGE
    assert "not on top of the base" in capsys.readouterr().err


def test_without_a_worktree_the_next_step_is_named(
    cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = make_kernel(tmp_path / "other")
    make_repository(kernel)
    fresh = Desk(cache, kernel, make_patches(kernel, tmp_path / "patches"))
    assert fresh.lab("export") == ExitCode.USAGE
    assert "lab series edit" in capsys.readouterr().err


def test_two_series_are_compared_patch_by_patch(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    shutil.copytree(desk.patches, old)
    desk.commit(Change("kernel/seccomp.c", "more\n", "much more\n", ""), "--amend")
    assert desk.lab("export") == 0
    capsys.readouterr()
    assert desk.lab("compare", str(desk.patches)) == ExitCode.PASSED
    assert desk.lab("compare", str(old)) == ExitCode.FAILED
    shown = capsys.readouterr().out
    assert "= 1: " in shown
    assert "! 2: " in shown
    assert "-+more" in shown


def test_a_commit_names_the_series_that_it_has(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Git(desk.patches.parent)
    project.run("init", "-q")
    project.run("add", desk.patches.name)
    project.run("commit", "-q", "-m", "patches", env=identity("1770000000 +0000"))
    desk.git.run("reset", "-q", "--hard", "HEAD~1")
    assert desk.lab("export") == 0
    assert desk.lab("compare", "HEAD") == ExitCode.FAILED
    assert "< -:" in capsys.readouterr().out
    assert desk.lab("compare", "nonsense") == ExitCode.USAGE
    assert "'nonsense' is no directory" in capsys.readouterr().err


def test_what_is_made_anew_in_a_cover_letter_is_found() -> None:
    authors = "A B (1):\n  x: Do\n\nC (2):\n  y: Do\n  z: Do\n\n f.c | 1 +\n"
    assert written_words("Some (two):\n  words\n\nmore\n\n" + authors) == (
        "Some (two):\n  words\n\nmore\n\n"
    )
    # As b4 sends it.
    by_b4 = "---\n" + authors.replace("  ", "      ") + "---\nbase-commit: 1\n"
    assert written_words("Words\n\n" + by_b4) == "Words\n\n"
    assert written_words("Words\n") == "Words\n\n"
