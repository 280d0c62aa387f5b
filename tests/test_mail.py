# SPDX-License-Identifier: MIT
"""A series from mail and back to it, through b4: offline, and no mail ever leaves."""

from __future__ import annotations

import gzip
import re
import shutil
import socket
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from urllib.parse import quote

import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode
from lab.source.git import Git, identity
from lab.source.mail_import import file_name
from lab.source.series import Series
from tests.support import CHANGES, Change, FakeSite, make_kernel, make_patches, make_repository

WORDS = "Why (all): a word.\n\n\tindented\n\n# not a comment\n\nThe end.\n"

MAINTAINER = """\
#!/bin/sh
grep -q "^+++ b/kernel/seccomp.c" || exit 0
case "$*" in
*--nol*) echo "Some One <someone@example.org>" ;;
*) echo "list@example.org" ;;
esac
"""

MORE = (*CHANGES, Change("init/empty.c", "", "not empty\n", "init: Fill"))


def write_cover(patches: Path, title: str = "Three lines") -> None:
    """Fill in the cover letter, as an author does."""
    path = patches / "0000-cover-letter.patch"
    text = path.read_text().replace("*** SUBJECT HERE ***", title)
    path.write_text(text.replace("*** BLURB HERE ***\n", WORDS))


def relabel(patches: Path, prefix: str) -> None:
    """Replace PATCH in all subjects."""
    for path in patches.glob("*.patch"):
        path.write_text(path.read_text().replace("[PATCH ", f"[{prefix} ", 1))


class Post:
    """A toy base that knows its maintainers, a series of three patches, and the lab."""

    def __init__(self, cache: Cache, kernel: Path, patches: Path) -> None:
        self.cache = cache
        self.kernel = kernel
        self.patches = patches
        self.mails = patches.parent / "mails"

    def lab(self, command: str, *arguments: str | Path) -> int:
        """``lab series COMMAND``."""
        return run_cli(["series", command, *map(str, arguments), "--cache", str(self.cache.root)])

    def send(self, *arguments: str | Path) -> int:
        """``lab series send`` to ``mails``."""
        return self.lab(
            "send", "--to-dir", self.mails, "--base", f"path:{self.kernel}",
            "--patches", self.patches, *arguments,
        )  # fmt: skip

    def take(self, source: Path, *arguments: str | Path) -> int:
        """``lab series import`` to ``taken``."""
        return self.lab("import", source, "--patches", self.taken, *arguments)

    @property
    def taken(self) -> Path:
        return self.patches.parent / "taken"

    def ids(self, directory: Path) -> list[str]:
        """git-patch-id(1) of each patch of a directory."""
        git = Git(self.kernel)
        return [
            git.run("patch-id", "--stable", input=patch.content).stdout.split()[0]
            for patch in Series.read(directory).patches
        ]

    def mailbox(self, *extra: bytes, without: str = "") -> Path:
        """What was sent as one mailbox, with other mails behind."""
        path = self.mails.parent / "thread.mbx"
        mails = [file.read_bytes() for file in sorted(self.mails.iterdir())]
        kept = [mail for mail in mails if not without or without.encode() not in mail]
        assert len(mails) - len(kept) == bool(without)
        envelope = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"
        path.write_bytes(b"".join(envelope + mail + b"\n" for mail in [*kept, *extra]))
        return path

    def message_id(self, name: str) -> str:
        """Of the mail whose file name begins so."""
        (path,) = self.mails.glob(f"{name}*")
        return str(message_from_bytes(path.read_bytes())["Message-Id"])

    def reply(self, name: str, trailer: str) -> bytes:
        """A review of the mail whose file name begins so."""
        about = self.message_id(name)
        author = trailer.partition(": ")[2]
        return (
            f"From: {author}\nDate: Tue, 24 Nov 2026 10:00:00 +0000\nSubject: Re: it\n"
            f"Message-Id: <{name}.{len(trailer)}@example.org>\nIn-Reply-To: {about}\n"
            f"References: {about}\n\nGood.\n\n{trailer}\n"
        ).encode()


@pytest.fixture
def post(cache: Cache, kernel: Path, tmp_path: Path) -> Post:
    """With nothing sent yet."""
    script = kernel / "scripts/get_maintainer.pl"
    script.write_text(MAINTAINER)
    script.chmod(0o755)
    make_repository(kernel)
    patches = make_patches(kernel, tmp_path / "patches", MORE)
    write_cover(patches)
    return Post(cache, kernel, patches)


@pytest.fixture(scope="module")
def outbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mails of the series, made once: b4 takes its time."""
    room = tmp_path_factory.mktemp("outbox")
    kernel = make_kernel(room / "kernel")
    make_repository(kernel)
    patches = make_patches(kernel, room / "patches", MORE)
    write_cover(patches)
    relabel(patches, "PATCH v2")
    post = Post(Cache.default(room / "cache"), kernel, patches)
    assert post.send() == ExitCode.PASSED
    return post.mails


@pytest.fixture
def sent(post: Post, outbox: Path) -> Post:
    """With the mails that sending has written."""
    shutil.copytree(outbox, post.mails)
    return post


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


def test_patches_are_named_as_git_names_them() -> None:
    """So that an import over patches/ renames nothing."""
    patches = Series.read(PROJECT_ROOT / "patches").patches
    assert [file_name(patch.number, patch.title) for patch in patches] == [
        patch.file for patch in patches
    ]


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


def test_a_base_that_is_no_git_repository(post: Post, tmp_path: Path) -> None:
    plain = make_kernel(tmp_path / "plain-kernel")
    post.kernel = plain
    assert post.send() == ExitCode.PASSED
    mails = [message_from_bytes(path.read_bytes()) for path in post.mails.iterdir()]
    # This tree has no get_maintainer.pl, and the patches' author is in copy.
    assert all("someone@example.org" not in str(mail["To"]) for mail in mails)
