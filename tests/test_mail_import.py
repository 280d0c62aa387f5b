# SPDX-License-Identifier: MIT
"""A series from mail, through b4."""

from __future__ import annotations

import gzip
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.errors import ExitCode
from lab.source.mail_import import file_name
from lab.source.series import Series
from tests.post import Post
from tests.support import FakeSite, make_repository


def test_patches_are_named_as_git_names_them() -> None:
    """So that an import over patches/ renames nothing."""
    patches = Series.read(PROJECT_ROOT / "patches").patches
    assert [file_name(patch.number, patch.title) for patch in patches] == [
        patch.file for patch in patches
    ]


def test_trailers_of_replies_are_put_under_the_patches(
    sent: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    one = sent.reply("0002", "Reviewed-by: Re Viewer <re@example.org>")
    every = sent.reply("0000", "Tested-by: Te Ster <te@example.org>")
    assert sent.take(sent.mailbox(one, every)) == ExitCode.PASSED
    assert "Reviewed-by: Re Viewer" in capsys.readouterr().err
    contents = [patch.content for patch in Series.read(sent.taken).patches]
    assert [b"Reviewed-by: Re Viewer <re@example.org>" in text for text in contents] == [
        False, True, False,
    ]  # fmt: skip
    assert all(b"Tested-by: Te Ster <te@example.org>" in text for text in contents)
    assert sent.ids(sent.taken) == sent.ids(sent.patches)


def test_a_missing_patch_is_named(sent: Post, capsys: pytest.CaptureFixture[str]) -> None:
    assert sent.take(sent.mailbox(without="-v2-2-")) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "lacks patch 2/3" in shown
    assert "b4 mbox" in shown
    assert not sent.taken.exists()


def test_the_newest_version_of_a_thread_is_taken(sent: Post) -> None:
    older = []
    for path in sorted(sent.mails.iterdir()):
        mail = path.read_bytes().replace(b"+not empty", b"+once empty")
        older.append(re.sub(rb"v2(?= |_)|(?<=[-<])v2(?=-)", b"v1", mail))
    thread = sent.mailbox(*older)
    assert sent.take(thread) == ExitCode.PASSED
    assert sent.ids(sent.taken) == sent.ids(sent.patches)
    shutil.rmtree(sent.taken)
    assert sent.take(thread, "-v", "1") == ExitCode.PASSED
    assert sent.ids(sent.taken)[:2] == sent.ids(sent.patches)[:2]
    assert b"+once empty" in Series.read(sent.taken).patches[2].content
    assert sent.take(thread, "-v", "7") == ExitCode.USAGE


def test_mails_that_make_no_one_series_are_named(
    sent: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    again = (
        (sent.mails / "0003-init-fill.eml")
        .read_bytes()
        .replace(b"Message-Id: <", b"Message-Id: <1.")
    )
    thread = sent.mailbox(re.sub(rb"(In-Reply-To|References): .*\n", b"", again))
    assert sent.take(thread) == ExitCode.USAGE
    assert "[PATCH v2 3/3] init: Fill, [PATCH v2 3/3] init: Fill" in capsys.readouterr().err
    assert not sent.taken.exists()


def as_maildir(post: Post) -> Path:
    path = post.mails.parent / "maildir"
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for file in post.mails.iterdir():
        shutil.copy(file, path / "cur" / f"{file.stem}:2,S")
    return path


def as_gzip(post: Post) -> Path:
    path = post.mails.parent / "t.mbox.gz"
    path.write_bytes(gzip.compress(post.mailbox().read_bytes()))
    return path


@pytest.mark.parametrize("make", [as_maildir, as_gzip, Post.mailbox])
def test_mail_is_read_however_it_is_kept(sent: Post, make: Callable[[Post], Path]) -> None:
    assert sent.take(make(sent)) == ExitCode.PASSED
    assert sent.ids(sent.taken) == sent.ids(sent.patches)


def test_what_format_patch_makes_needs_no_message_ids(post: Post, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in post.patches.glob("*.patch"):
        shutil.copy(path, plain)
    assert post.take(plain) == ExitCode.PASSED
    assert post.ids(post.taken) == post.ids(post.patches)
    assert not any(b"unsent" in path.read_bytes() for path in post.taken.iterdir())
    joined = tmp_path / "joined.mbox"
    joined.write_bytes(b"".join(path.read_bytes() for path in sorted(plain.iterdir())))
    shutil.rmtree(post.taken)
    assert post.take(joined) == ExitCode.PASSED
    assert post.ids(post.taken) == post.ids(post.patches)


def test_patches_without_numbers_are_no_series(
    post: Post, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in post.patches.glob("000[123]-*.patch"):
        text = path.read_text()
        (plain / path.name).write_text(text.replace(f"[PATCH {path.name[3]}/3]", "[PATCH]"))
    assert post.take(plain) == ExitCode.USAGE
    assert "not of one series" in capsys.readouterr().err
    assert not post.taken.exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("hello.mbx", b"hello\n", "b4 finds no series"),
        ("empty.mbx", b"", "b4 finds no series"),
        ("broken.gz", b"\x1f\x8bno", "broken.gz cannot be unpacked"),
        ("no-such-file", None, "no file, no directory and no message id"),
        ("patches", None, "is a patches directory already"),
        ("kernel", None, "has no file *.patch"),
    ],
)
def test_what_is_no_mail_is_refused(
    post: Post, name: str, content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = post.patches.parent / name
    if content is not None:
        path.write_bytes(content)
    assert post.take(path) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert not post.taken.exists()


def test_a_message_id_is_looked_up(
    sent: Post, site: FakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sent.message_id("0002").strip("<>")
    review = sent.reply("0002", "Reviewed-by: Re Viewer <re@example.org>")
    site.files[f"/all/{quote(name, safe='')}/t.mbox.gz"] = gzip.compress(
        sent.mailbox(review).read_bytes()
    )
    (tmp_path / ".gitconfig").write_text(f"[b4]\n\tmidmask = {site.url}/all/%s\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sent.lab("import", f"<{name}>", "--patches", sent.taken) == ExitCode.PASSED
    assert sent.ids(sent.taken) == sent.ids(sent.patches)
    assert b"Reviewed-by: Re Viewer" in Series.read(sent.taken).patches[1].content


def test_a_thread_that_cannot_be_fetched(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Nobody listens there now.
    (tmp_path / ".gitconfig").write_text(f"[b4]\n\tmidmask = http://127.0.0.1:{port}/%s\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert post.lab("import", "20260101-x@example.org") == ExitCode.INFRA
    shown = capsys.readouterr().err
    assert "cannot fetch the thread of 20260101-x@example.org" in shown
    assert "b4 mbox 20260101-x@example.org" in shown


def test_another_series_is_not_overwritten(sent: Post, capsys: pytest.CaptureFixture[str]) -> None:
    assert sent.take(sent.mails) == ExitCode.PASSED
    assert sent.take(sent.mails) == ExitCode.PASSED
    assert "has this series already" in capsys.readouterr().err
    review = sent.mailbox(sent.reply("0001", "Reviewed-by: Re Viewer <re@example.org>"))
    before = {path: path.read_bytes() for path in sent.taken.iterdir()}
    assert sent.take(review) == ExitCode.USAGE
    assert "--replace" in capsys.readouterr().err
    # git does not have it, and so it cannot be brought back.
    assert sent.take(review, "--replace") == ExitCode.USAGE
    assert "in no commit" in capsys.readouterr().err
    project = make_repository(sent.taken)
    (path,) = sent.taken.glob("0001-*")
    path.write_text(path.read_text() + "edited\n")
    assert sent.take(review, "--replace") == ExitCode.USAGE
    project.run("checkout", "-q", ".")
    assert {path: path.read_bytes() for path in before} == before
    assert sent.take(review, "--replace") == ExitCode.PASSED
    assert "Reviewed-by: Re Viewer" in path.read_text()


def test_without_a_name_it_is_put_where_b4_would(
    sent: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert sent.lab("import", sent.mails) == ExitCode.PASSED
    name = capsys.readouterr().out.strip()
    assert name.endswith("_three_lines.patches")
    assert sent.ids(tmp_path / name) == sent.ids(sent.patches)


def test_an_imported_series_is_applied(sent: Post) -> None:
    assert sent.take(sent.mails) == ExitCode.PASSED
    command = ["tree", "--base", f"path:{sent.kernel}", "--patches", str(sent.taken)]
    assert run_cli([*command, "--cache", str(sent.cache.root)]) == ExitCode.PASSED
    (tree,) = sent.cache.trees.glob("*-series")
    assert "line three\n" in (tree / "kernel/seccomp.c").read_text()
