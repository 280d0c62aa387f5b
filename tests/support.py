# SPDX-License-Identifier: MIT
"""What the tests build their small worlds from: a toy kernel tree, archives, patches, a server."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from lab.core.ui import Ui
from lab.source.git import Git, identity

VERSION = "7.3.4"

SECCOMP_C = "".join(f"line {number}\n" for number in range(1, 41))

FILES = {
    "Makefile": "# SPDX\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n",
    "Kconfig": "mainmenu\n",
    "MAINTAINERS": "THE REST\n",
    "COPYING": "same\n",
    "LICENSES/copy": "same\n",
    "kernel/seccomp.c": SECCOMP_C,
    "include/linux/bpf.h": "#define BPF\n",
    "init/empty.c": "",
    "lib/built.o": "ignored by the tree's own .gitignore\n",
    ".gitignore": "*.o\n/*\n",
}


@dataclass
class Recorder:
    """A Ui with what it said."""

    stream: io.StringIO = field(default_factory=io.StringIO)
    results: io.StringIO = field(default_factory=io.StringIO)

    @property
    def ui(self) -> Ui:
        return Ui(stream=self.stream, results=self.results)

    @property
    def said(self) -> str:
        return self.stream.getvalue()


def make_kernel(directory: Path, version: str = VERSION) -> Path:
    """A toy kernel tree."""
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    major, patchlevel, sublevel = version.split(".")
    (directory / "Makefile").write_text(
        f"VERSION = {major}\nPATCHLEVEL = {patchlevel}\nSUBLEVEL = {sublevel}\nEXTRAVERSION =\n"
    )
    script = directory / "scripts" / "run.sh"
    script.parent.mkdir(exist_ok=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (directory / "scripts" / "link").symlink_to("run.sh")
    (directory / "scripts" / "dirlink").symlink_to("../kernel")
    return directory


def make_tarball(tree: Path, target: Path) -> Path:
    """The tree as a tarball with a top directory, as kernel.org makes them."""
    modes: dict[str, Literal["w:xz", "w:gz"]] = {".xz": "w:xz", ".gz": "w:gz"}
    with tarfile.open(name=target, mode=modes[target.suffix]) as archive:
        archive.add(tree, arcname=target.name.removesuffix("".join(target.suffixes[-2:])))
    return target


def need_dpkg() -> None:
    """Skip the test where packages cannot be made: not on Debian or Ubuntu."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("there is no dpkg-deb")


def make_deb(tree: Path, target: Path, version: str = "7.3.4-1~bpo13+1") -> Path:
    """A Debian package like linux-source-7.3: the tarball in /usr/src."""
    need_dpkg()
    stage = target.parent / f"{target.stem}-stage"
    source = stage / "usr" / "src"
    source.mkdir(parents=True)
    make_tarball(tree, source / "linux-source-7.3.tar.xz")
    (stage / "usr" / "share").mkdir()
    (stage / "usr" / "share" / "after").write_text("comes after the tarball" * 5000)
    control = stage / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        f"Package: linux-source-7.3\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: toy\n"
    )
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", stage, target],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return target


def make_repository(directory: Path) -> Git:
    """The directory as a git repository with one commit of everything."""
    git = Git(directory)
    git.run("init", "-q", "-b", "master")
    git.run("add", "--force", "--all")
    git.run("commit", "-q", "-m", "base", env=identity("1700000000 +0000"))
    return git


@dataclass(frozen=True)
class Change:
    """A patch to make: file, what to replace by what, subject."""

    file: str
    old: str
    new: str
    subject: str


CHANGES = (
    Change("kernel/seccomp.c", "line 3\n", "line three\n", "seccomp: Change the third line"),
    Change("kernel/seccomp.c", "line 30\n", "line 30\nmore\n", "seccomp: Add after line 30 \u00fc"),
)


def make_patches(tree: Path, patches: Path, changes: tuple[Change, ...] = CHANGES) -> Path:
    """A patches directory made by git format-patch from a copy of ``tree``, a git repository."""
    work = patches.parent / f"{patches.name}-work"
    Git(patches.parent).run("clone", "-q", tree, work)
    git = Git(work)
    for number, change in enumerate(changes):
        path = work / change.file
        old = path.read_text() if path.exists() else ""
        path.parent.mkdir(exist_ok=True)
        path.write_text(old.replace(change.old, change.new) if change.old else change.new)
        git.run("add", "--force", change.file)
        message = f"{change.subject}\n\nBecause.\n\nSigned-off-by: A \u00dc <a@example.org>\n"
        env = identity(f"{1760000000 + number} +0200", ("A \u00dc", "a@example.org"))
        git.run("commit", "-q", "-F", "-", input=message, env=env)
    patches.mkdir()
    git.run(
        "format-patch", "-q", "--zero-commit", "--cover-letter", "-o", patches, "origin/master",
        env=identity("1760000000 +0000"),
    )  # fmt: skip
    write_order(patches)
    return patches


def write_order(patches: Path) -> None:
    """A ``series`` file that names what is there."""
    names = sorted(path.name for path in patches.glob("*.patch") if "0000-" not in path.name)
    (patches / "series").write_text("# the order\n" + "".join(f"{name}\n" for name in names))


@dataclass
class FakeSite:
    """A web server's content, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    """Bytes after which each of the next responses breaks off."""
    ranges: bool = True
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range header of each request."""
    url: str = ""


@contextmanager
def serve(site: FakeSite) -> Iterator[FakeSite]:
    """Serve a site on the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            site.requests.append((self.path, wanted))
            data = site.files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges else 0
            if start >= len(data) and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = data[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if site.break_after:
                body = body[: site.break_after.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
