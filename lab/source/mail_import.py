# SPDX-License-Identifier: MIT
"""From a thread of mails to a patches directory, by way of ``b4 am``.

b4 finds the patches of the newest version among the mails, brings them into order, and puts the
trailers under them that replies gave (Reviewed-by, Tested-by; those on the cover letter under all).
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tempfile
import zlib
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

from lab.core.ui import Ui
from lab.errors import LabError, UsageError
from lab.source import b4
from lab.source.export import Exported
from lab.source.git import Git
from lab.source.series import ORDER_FILE
from lab.source.worktree import some

MAILS = (".patch", ".eml", ".mbx", ".mbox")
"""What the files of a directory are called that are read as mail: by git format-patch, b4, others.
"""

MESSAGE_ID = re.compile(r"<?[^\s/<>]+@[^\s/<>]+>?|https?://\S+")

UNSENT = "unsent.seccomp-ebpf.invalid"
"""Domain of the Message-IDs that the lab gives to mails without one, such as git format-patch
makes; b4 reads no mail without."""

NUMBERS = re.compile(r"\[[^\]]*?(\d+)/(\d+)\]")
PREFIX = re.compile(r"^(\[[^\]]*\]\s*)+")
GZIP = b"\x1f\x8b"
DIFF = re.compile(rb"^diff --git a/", re.M)

NAME_LENGTH = 52
"""How much of a title git format-patch puts into a file name."""


@dataclass(frozen=True)
class Imported:
    """``name``: what ``b4 am --quilt-ready`` calls the directory. ``said``: b4's words about it."""

    name: str
    files: Exported
    said: tuple[str, ...]


@dataclass(frozen=True)
class Mail:
    """A mail with a Message-ID; ``unsent`` if the lab has given it."""

    content: bytes
    message_id: str
    subject: str
    unsent: bool

    @classmethod
    def parse(cls, content: bytes, number: int) -> Mail:
        """``number``: among all of them, so that no two get the same Message-ID."""
        # The line that begins a mail in a mailbox is none of its headers.
        content = re.sub(rb"\AFrom .*\n", b"", content)
        headers = message_from_bytes(content, policy=policy.default)
        subject = " ".join(str(headers["Subject"] or "").split())
        if headers["Message-ID"]:
            return cls(content, str(headers["Message-ID"]).strip("<> \n"), subject, False)
        made = f"{number}.{hashlib.sha256(content).hexdigest()[:16]}@{UNSENT}"
        return cls(f"Message-ID: <{made}>\n".encode() + content, made, subject, True)


def import_series(source: str, revision: int | None, ui: Ui) -> Imported:
    """The series in ``source``: a mailbox, maildir, directory of mails, or a message id.

    ``revision``: which version of the series, else the newest. Raises UsageError if there is no
    series in it or a patch of it is missing, LabError if a message id cannot be looked up.
    """
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as name:
        scratch = Path(name)
        path = Path(source) if Path(source).exists() else _download(source, scratch, ui)
        mails = [Mail.parse(mail, number) for number, mail in enumerate(_split(path, scratch))]
        thread = _maildir(mails, scratch / "mails")
        out = scratch / "out"
        chosen = () if revision is None else ("--use-version", str(revision))
        done = b4.run(
            *("am", "--use-local-mbox", thread, "--outdir", out, *chosen),
            cwd=scratch,
            home=scratch,
            check=False,
        )
        said = b4.said(done)
        mailbox = next(out.glob("*.mbx"), None)
        if done.returncode != 0 or mailbox is None:
            raise UsageError(
                f"b4 finds no series{f' v{revision}' if revision else ''} in {source}: "
                + ("; ".join(said[-3:]) or "it has no mail with a patch"),
                hint="Give the mails of a whole thread: a mailbox, a maildir, a directory with "
                f"{', '.join(MAILS)} files, or a message id.",
            )
        patches = _number(source, _split(mailbox, scratch), mails)
        cover = mailbox.with_suffix(".cover")
        if cover.is_file():
            patches["0000-cover-letter.patch"] = _clean(cover.read_bytes())
    order = "".join(f"{name}\n" for name in patches if not name.startswith("0000-"))
    files = Exported({**patches, ORDER_FILE: order.encode()})
    # The rest is about b4's own files, which are gone.
    kept = [
        line for line in said if not re.match(r"Running in OFFLINE|Cover:| Link:| +git am", line)
    ]
    return Imported(f"{mailbox.stem}.patches", files, tuple(kept))


def _download(source: str, scratch: Path, ui: Ui) -> Path:
    """The maildir with the thread of a message id."""
    if not MESSAGE_ID.fullmatch(source):
        raise UsageError(
            f"{source} is no file, no directory and no message id.",
            hint="A message id looks like 20260101-title-v1-0-0123abcd@example.org.",
        )
    maildir = scratch / "thread"
    ui.say(f"b4 fetches the thread of {source}")
    done = b4.download(source.strip("<>"), maildir)
    if done.returncode != 0 or not maildir.is_dir():
        reason = b4.said(done)
        raise LabError(
            f"b4 cannot fetch the thread of {source}: {reason[-1] if reason else 'no message'}",
            hint=f"Where there is a network, `b4 mbox {source}` saves it as a mailbox; give that.",
        )
    return maildir


def _split(path: Path, scratch: Path) -> list[bytes]:
    """The mails of a mailbox, a maildir, or the files of a directory."""
    files = _mail_files(path)
    found = []
    for file in files:
        with tempfile.TemporaryDirectory(dir=scratch) as out:
            kind: tuple[str, ...] = ()
            if file.is_file():
                data = file.read_bytes()
                if data.startswith(GZIP):
                    data = _unpack(file, data)
                    file = scratch / "unpacked"
                    file.write_bytes(data)
                kind = ("--mboxrd",) if data.startswith(b"From mboxrd@") else ()
            Git(scratch).run("mailsplit", "-b", *kind, f"-o{out}", file.resolve(), check=False)
            found += [mail.read_bytes() for mail in sorted(Path(out).iterdir())]
    return found


def _unpack(path: Path, data: bytes) -> bytes:
    """As mailboxes are offered by archives for download."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{path} cannot be unpacked: {error}.", hint="Download it again."
        ) from error


def _mail_files(path: Path) -> list[Path]:
    """What git-mailsplit(1) is to read: files, or one maildir."""
    if path.is_file() or (path / "cur").is_dir():
        return [path]
    if (path / ORDER_FILE).is_file():
        raise UsageError(
            f"{path} is a patches directory already: there is a file {ORDER_FILE} in it.",
            hint=f"Take it as it is: `lab test --patches {path}`.",
        )
    files = sorted(file for file in path.iterdir() if file.suffix in MAILS)
    if not files:
        raise UsageError(f"{path} is no maildir, and has no file *{', *'.join(MAILS)}.")
    return files


def _maildir(mails: list[Mail], path: Path) -> Path:
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for number, mail in enumerate(mails):
        (path / "new" / f"{number:05}").write_bytes(mail.content)
    return path


def _number(source: str, chosen: list[bytes], mails: list[Mail]) -> dict[str, bytes]:
    """File name to patch, in order. Raises UsageError if one is missing or b4 has left one out."""
    parsed = [Mail.parse(content, 0) for content in chosen]
    matches = [NUMBERS.match(mail.subject) for mail in parsed]
    total = max((int(match[2]) for match in matches if match), default=1)
    there = [int(match[1]) if match else 1 for match in matches]
    missing = [f"{number}/{total}" for number in range(1, total + 1) if number not in there]
    if missing:
        raise UsageError(
            f"{source} lacks patch {some(missing)} of the series. Nothing was written.",
            hint="Get the whole thread, as `b4 mbox MSGID` does, and import that.",
        )
    if there != list(range(1, total + 1)):
        raise UsageError(
            f"b4 makes more than one series of {source}, or none in order: "
            f"{some([mail.subject for mail in parsed])}. Nothing was written.",
            hint="Take the mails out that do not belong to the series, such as other versions.",
        )
    taken = {mail.message_id for mail in parsed}
    left = [
        mail.subject
        for mail in mails
        if mail.unsent and DIFF.search(mail.content) and mail.message_id not in taken
    ]
    if left:
        raise UsageError(
            f"{source} has patches that are not of one series: b4 leaves out {some(left)}. "
            "Nothing was written.",
            hint="One `git format-patch` makes a series, with subjects like [PATCH 1/2].",
        )
    for mail, content in zip(parsed, chosen, strict=True):
        if not DIFF.search(content):
            raise UsageError(
                f"{mail.subject!r} in {source} has no `diff --git` line, so no git made it.",
                hint="Ask its author for what `git format-patch` writes.",
            )
    return {
        file_name(number, PREFIX.sub("", mail.subject)): _clean(content)
        for number, (mail, content) in enumerate(zip(parsed, chosen, strict=True), 1)
    }


def _clean(mail: bytes) -> bytes:
    """Without a Message-ID that was never sent anywhere."""
    return re.sub(rb"(?mi)^Message-ID: <\S*@%b>\n" % re.escape(UNSENT.encode()), b"", mail, count=1)


def file_name(number: int, title: str) -> str:
    """As git format-patch names a patch."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", title).lstrip("-").rstrip("-.")
    return f"{number:04}-{slug[:NAME_LENGTH]}.patch"


def place(imported: Imported, directory: Path, replace: bool) -> dict[str, str]:
    """Write the patches; what was done, as Exported.write says it.

    Raises UsageError if that would overwrite or remove something, unless ``replace`` and git has
    all of it.
    """
    changes = imported.files.changes(directory)
    lost = [name for name, change in changes.items() if change != "new"]
    if lost and not replace:
        raise UsageError(
            f"{directory} has another series: {some(lost)} would be lost. Nothing was written.",
            hint="Name a new directory with --patches, or say --replace.",
        )
    if lost and not _is_committed(directory, lost):
        raise UsageError(
            f"{directory} has changes that are in no commit, and would be lost. "
            "Nothing was written.",
            hint="Commit them, or name a new directory with --patches.",
        )
    return imported.files.write(directory)


def _is_committed(directory: Path, names: list[str]) -> bool:
    """Whether git can bring back each of the files."""
    git = Git(directory)
    if not git.ok("ls-files", "--error-unmatch", "--", *names):
        return False
    return git.ok("diff", "--quiet", "HEAD", "--", *names)
