# SPDX-License-Identifier: MIT
"""A series as the mails that would be sent, written to files by ``b4 send --output-dir``.

b4 sends from a branch that ``b4 prep`` has prepared. That is done in a repository of its own which
borrows the base's objects, so that neither the author's branch nor his configuration is touched.
Mail cannot leave it: the only mail command that it knows is false(1), there is no web endpoint, and
no key to sign with.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.core.cache import atomic_write
from lab.core.ui import Ui
from lab.errors import LabError, UsageError
from lab.source import b4
from lab.source.export import BLURB, written_words
from lab.source.git import Git
from lab.source.room import BaseResult
from lab.source.series import COVER_LETTER, Series

BASE_BRANCH = "base"

PLACEHOLDER = re.compile(rf"\*\*\* SUBJECT HERE \*\*\*|{re.escape(BLURB.strip())}")

CONFIG = {
    # The cover letter and b4's notes lie in the branch's description: no commit is made for them.
    "b4.prep-cover-strategy": "branch-description",
    # Nothing can be sent. In a kernel tree without a mail command b4 would take the kernel.org
    # web endpoint.
    "sendemail.sendmailcmd": "false",
    "b4.send-endpoint-web": "",
}


@dataclass(frozen=True)
class Cover:
    """The cover letter's title, the author's words, and who sends."""

    title: str
    words: str
    sender: tuple[str, str]


@dataclass(frozen=True)
class Label:
    """What stands in brackets before the titles, beside PATCH and the numbers."""

    revision: int
    prefixes: tuple[str, ...]

    @classmethod
    def of(cls, series: Series) -> Label:
        """As in the first patch: "PATCH RFC bpf-next v2"."""
        match = re.search(rb"^Subject: \[([^\]]*)\]", series.patches[0].content, re.M)
        words = match[1].decode("utf-8", "replace").split() if match else []
        versions = [int(word[1:]) for word in words if re.fullmatch(r"v\d+", word)]
        rest = (word for word in words if not re.fullmatch(r"PATCH|v\d+|\d+/\d+", word))
        return cls(versions[0] if versions else 1, tuple(rest))


def write_mails(base: BaseResult, head: str, series: Series, target: Path, ui: Ui) -> list[str]:
    """Write the mails of the commits ``base..head`` to ``target``; their file names, in order.

    Raises UsageError if there is no cover letter or ``target`` has files; LabError if b4 fails.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            f"{target} is there already, and not empty.",
            hint="Name a new directory: mails of two series would be mixed.",
        )
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as name:
        scratch = Path(name)
        git = _borrow(base, scratch / "tree")
        cover = _read_cover(git, series, scratch)
        branch = re.sub(r"\W+", "-", cover.title, flags=re.A).strip("-").lower() or "series"
        _check_out(git, base.commit, head, branch)
        settings = {
            **CONFIG,
            "user.name": cover.sender[0],
            "user.email": cover.sender[1],
            # b4 drops lines that begin with "#", and takes ">" from those that begin with ">#".
            f"branch.{branch}.description": cover.title
            + "\n\n"
            + re.sub(r"^#", ">#", cover.words.strip(), flags=re.M),
        }
        for key, value in settings.items():
            git.run("config", key, value)
        out = scratch / "out"
        _prepare(git, Label.of(series), scratch, ui)
        b4.run(
            *("send", "--output-dir", out, "--no-sign", "--force-cover-letter"),
            cwd=git.directory,
            home=scratch,
        )
        mails = sorted(path.name for path in out.iterdir())
        if len(mails) != len(series.patches) + 1:
            raise LabError(
                f"b4 wrote {len(mails)} mails for a cover and {len(series.patches)} patches, "
                f"which were not kept: {', '.join(mails)}."
            )
        shutil.copytree(out, target, dirs_exist_ok=True)
    return mails


def _borrow(base: BaseResult, directory: Path) -> Git:
    """An empty repository that has the base's objects."""
    directory.mkdir()
    git = Git(directory)
    git.run("init", "-q", "--template=", ".")
    atomic_write(git.directory / ".git/objects/info/alternates", f"{base.git_dir / 'objects'}\n")
    if (base.git_dir / "shallow").is_file():
        shutil.copyfile(base.git_dir / "shallow", git.directory / ".git/shallow")
    return git


def _check_out(git: Git, base: str, head: str, branch: str) -> None:
    """What get_maintainer.pl needs of the tree: the files at its top, scripts/, and that the other
    directories are there. All of it would take many times as long.
    """
    git.run("sparse-checkout", "set", "scripts")
    git.run("branch", BASE_BRANCH, base)
    git.run("checkout", "-q", "-b", branch, head)
    for name in git.out("ls-tree", "-d", "--name-only", "HEAD").splitlines():
        (git.directory / name).mkdir(exist_ok=True)


def _read_cover(git: Git, series: Series, scratch: Path) -> Cover:
    """Raises UsageError if there is none, or one that nobody has written yet."""
    path = next(series.directory.glob(COVER_LETTER), None)
    if path is None:
        raise UsageError(
            f"There is no cover letter in {series.directory}.",
            hint=f"Write one: `git format-patch --cover-letter` makes a {COVER_LETTER} to fill in.",
        )
    above, below = scratch / "above", scratch / "below"
    info = git.run("mailinfo", "--encoding=UTF-8", above, below, input=path.read_bytes()).stdout
    fields = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
    absent = [name for name in ("Author", "Email", "Subject") if not fields.get(name)]
    if absent:
        raise UsageError(f"{path} is not a mail: there is no {', '.join(absent)} in its headers.")
    words = written_words(above.read_text("utf-8") + below.read_text("utf-8"))
    if left := PLACEHOLDER.search(fields["Subject"] + words):
        raise UsageError(
            f"The cover letter is not written: there is {left[0]!r} in {path}.",
            hint="Say there what the series is for.",
        )
    return Cover(fields["Subject"], words, (fields["Author"], fields["Email"]))


def _prepare(git: Git, label: Label, scratch: Path, ui: Ui) -> None:
    """``b4 prep``: have it know branch, version and prefixes, then whom the tree names."""
    prefixes = ("--set-prefixes", *label.prefixes) if label.prefixes else ()
    b4.run(
        *("prep", "--force-revision", str(label.revision), *prefixes, "--enroll", BASE_BRANCH),
        cwd=git.directory,
        home=scratch,
    )
    ui.say("asking the tree's scripts/get_maintainer.pl for To and Cc of each patch")
    b4.run("prep", "--auto-to-cc", cwd=git.directory, home=scratch)
