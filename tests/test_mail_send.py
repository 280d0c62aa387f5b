# SPDX-License-Identifier: MIT
"""A series as mails, through b4: offline, and no mail ever leaves."""

from __future__ import annotations

import socket
from email import message_from_bytes
from pathlib import Path

import pytest

from lab.errors import ExitCode
from lab.source.git import Git, identity
from lab.source.series import Series
from tests.post import MORE, WORDS, Post, relabel
from tests.support import make_kernel


def test_what_was_sent_comes_back_as_it_was(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    assert post.send() == ExitCode.PASSED
    assert capsys.readouterr().out == f"{post.mails}\n"
    assert post.take(post.mails) == ExitCode.PASSED
    assert capsys.readouterr().out == f"{post.taken}\n"
    assert {path.name for path in post.taken.iterdir()} == {
        path.name for path in post.patches.iterdir()
    }
    assert post.ids(post.taken) == post.ids(post.patches)
    assert [patch.title for patch in Series.read(post.taken).patches] == [
        change.subject for change in MORE
    ]
    cover = (post.taken / "0000-cover-letter.patch").read_text()
    assert "[PATCH 0/3] Three lines" in cover
    assert WORDS in cover
    base = ("--base", f"path:{post.kernel}", "--patches", post.patches)
    # The dates are when it was sent.
    assert post.lab("compare", post.taken, *base) == ExitCode.PASSED
    assert "! 1" not in capsys.readouterr().out


def test_mails_name_maintainers_version_and_thread(post: Post) -> None:
    relabel(post.patches, "RFC PATCH bpf-next v3")
    assert post.send() == ExitCode.PASSED
    mails = [message_from_bytes(path.read_bytes()) for path in sorted(post.mails.iterdir())]
    assert len(mails) == 4
    subjects = [" ".join(str(mail["Subject"]).split()) for mail in mails]
    assert subjects[0] == "[PATCH RFC bpf-next v3 0/3] Three lines"
    assert subjects[3] == "[PATCH RFC bpf-next v3 3/3] init: Fill"
    for mail in mails:
        assert mail["To"] == "Some One <someone@example.org>"
        assert "list@example.org" in str(mail["Cc"])
    assert {mail["In-Reply-To"] for mail in mails[1:]} == {mails[0]["Message-Id"]}
    assert len({mail["Message-Id"] for mail in mails}) == 4
    text = mails[0].get_payload(decode=True)
    assert isinstance(text, bytes)
    assert WORDS.encode() in text
    assert text.count(b"files changed") == 1


def test_a_mail_server_is_not_asked(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its author's git is told about sending."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        sent = tmp_path / "sent"
        command = tmp_path / "sendmail"
        command.write_text(f"#!/bin/sh\ncat >> {sent}\n")
        command.chmod(0o755)
        (tmp_path / ".gitconfig").write_text(
            f"[sendemail]\n\tsmtpserver = 127.0.0.1\n"
            f"\tsmtpserverport = {server.getsockname()[1]}\n\tsendmailcmd = {command}\n"
            f"[b4]\n\tsend-endpoint-web = http://127.0.0.1:{server.getsockname()[1]}/\n"
        )
        monkeypatch.setenv("HOME", str(tmp_path))
        assert post.send() == ExitCode.PASSED
        with pytest.raises(TimeoutError):
            server.accept()
    assert not sent.exists()


def test_the_authors_repositories_stay_as_they_were(post: Post) -> None:
    def state() -> list[str]:
        room = next(post.cache.bases.glob("*/repo.git"))
        shown = ("for-each-ref", "config --list --local", "worktree list")
        return [Git(room).out(*command.split()) for command in shown]

    base = ("--base", f"path:{post.kernel}", "--patches", post.patches)
    assert post.lab("edit", *base) == ExitCode.PASSED
    before = state(), {path: path.read_bytes() for path in post.patches.iterdir()}
    assert post.send() == ExitCode.PASSED
    assert before == (state(), {path: path.read_bytes() for path in post.patches.iterdir()})


def test_work_that_is_not_exported_is_not_left_out_silently(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("--base", f"path:{post.kernel}", "--patches", post.patches)
    assert post.lab("edit", *base) == ExitCode.PASSED
    (tree,) = post.cache.trees.glob("*-series")
    (tree / "init/empty.c").write_text("another line\n")
    assert post.send() == ExitCode.USAGE
    assert "init/empty.c" in capsys.readouterr().err
    env = identity("1770000000 +0000", ("B", "b@example.org"))
    Git(tree).run("commit", "-q", "-a", "-m", "init: More", env=env)
    assert post.send() == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "init: More" in shown
    assert "lab series export" in shown
    assert not post.mails.exists()
    assert post.lab("export", *base) == ExitCode.PASSED
    assert post.send() == ExitCode.PASSED
    assert len(list(post.mails.iterdir())) == 5


def test_a_cover_letter_has_to_be_written(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    cover = post.patches / "0000-cover-letter.patch"
    cover.write_text(cover.read_text().replace("Three lines", "*** SUBJECT HERE ***"))
    assert post.send() == ExitCode.USAGE
    assert "'*** SUBJECT HERE ***'" in capsys.readouterr().err
    cover.unlink()
    assert post.send() == ExitCode.USAGE
    assert "no cover letter" in capsys.readouterr().err
    assert not post.mails.exists()


def test_mails_of_two_series_are_not_mixed(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    post.mails.mkdir()
    (post.mails / "0001-other.eml").write_text("other")
    assert post.send() == ExitCode.USAGE
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in post.mails.iterdir()] == ["0001-other.eml"]


def test_a_patch_that_does_not_apply_is_named(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = post.patches.glob("0002-*")
    path.write_text(path.read_text().replace(" line 29\n", " line 92\n"))
    assert post.send() == ExitCode.USAGE
    assert "does not apply: kernel/seccomp.c, hunk #1" in capsys.readouterr().err
    assert not post.mails.exists()


def test_a_base_that_is_no_git_repository(post: Post, tmp_path: Path) -> None:
    plain = make_kernel(tmp_path / "plain-kernel")
    post.kernel = plain
    assert post.send() == ExitCode.PASSED
    mails = [message_from_bytes(path.read_bytes()) for path in post.mails.iterdir()]
    # This tree has no get_maintainer.pl, and the patches' author is in copy.
    assert all("someone@example.org" not in str(mail["To"]) for mail in mails)
