# SPDX-License-Identifier: MIT
"""A toy series that goes by mail: a plugin of the tests that has it as fixtures."""

from __future__ import annotations

import shutil
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode
from lab.source import b4
from lab.source.git import Git
from lab.source.series import Series
from tests import forked_b4
from tests.support import CHANGES, Change, make_kernel, make_patches, make_repository

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


REAL = ("test_what_was_sent_comes_back_as_it_was", "test_a_mail_server_is_not_asked")
"""Tests in which b4 is a program of its own, as it is for a user."""


@pytest.fixture
def imported_b4(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """b4 that need not be imported for each command."""
    if request.node.name not in REAL:
        monkeypatch.setattr(b4, "proc", SimpleNamespace(run=forked_b4.run))


@pytest.fixture
def post(cache: Cache, kernel: Path, tmp_path: Path, imported_b4: None) -> Post:  # noqa: ARG001
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
