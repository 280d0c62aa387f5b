# SPDX-License-Identifier: MIT
"""Unpack a kernel source archive into a directory, with progress."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.core import proc
from lab.core.ui import Ui
from lab.errors import LabError

CHUNK = 1 << 20

DECOMPRESSORS = {".xz": "--xz", ".gz": "--gzip", ".zst": "--zstd", ".bz2": "--bzip2", ".tar": ""}
"""Archive suffix to the option that GNU tar needs for it on a pipe."""


@dataclass(frozen=True)
class Packed:
    """A compressed tar archive as a stream: its name, its size in bytes."""

    name: str
    size: int
    stream: IO[bytes]


@contextmanager
def open_tarball(path: Path) -> Iterator[Packed]:
    """A tar archive that is a file."""
    with path.open("rb") as stream:
        yield Packed(path.name, path.stat().st_size, stream)


@contextmanager
def open_in_deb(path: Path, member: str) -> Iterator[Packed]:
    """The one archive in a Debian package whose name matches regular expression ``member``.

    Raises LabError if there is none.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    with proc.spawn(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as package:
            for entry in package:
                if entry.isfile() and re.search(member, entry.name):
                    stream = package.extractfile(entry)
                    assert stream is not None
                    yield Packed(Path(entry.name).name, entry.size, stream)
                    shutil.copyfileobj(process.stdout, _Sink())
                    break
            else:
                raise LabError(f"{path.name} holds no file matching {member!r}.")


class _Sink:
    """Swallows the rest of a package, so that dpkg-deb does not die of a broken pipe."""

    def write(self, data: bytes) -> int:
        return len(data)


def unpack(packed: Packed, into: Path, ui: Ui) -> None:
    """Unpack below ``into``, without the archive's top directory.

    Through tar(1), which decompresses in a process of its own: on two cores twice as fast as
    :mod:`tarfile`. Raises LabError if the archive is damaged.
    """
    option = DECOMPRESSORS.get(Path(packed.name).suffix)
    if option is None:
        raise LabError(f"{packed.name} is of no archive format the lab knows.")
    into.mkdir(parents=True, exist_ok=True)
    command = ["tar", "--extract", "--strip-components=1", "--no-same-owner", "-C", str(into)]
    command += [option] if option else []
    with (
        ui.progress(f"unpack {packed.name}", packed.size, "bytes") as progress,
        proc.spawn(
            command,
            env={"XZ_DEFAULTS": "--threads=0"},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            while chunk := packed.stream.read(CHUNK):
                process.stdin.write(chunk)
                progress.advance(len(chunk))
            process.stdin.close()
        except BrokenPipeError:
            pass  # tar gave up: its status and message say why
        complaint = process.stderr.read().decode("utf-8", "backslashreplace").strip()
    if process.returncode != 0:
        raise LabError(f"Unpacking {packed.name} failed: {complaint or 'tar gave no reason'}")
