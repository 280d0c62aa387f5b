# SPDX-License-Identifier: MIT
"""Bring a directory's files into a git repository, fast.

git hashes with a collision-detecting SHA-1 on one core, and so do ``git add`` and ``git
fast-import``; the latter leaves an index to be filled, for which git reads and hashes every file
once more. The same pack and index, written with dulwich's format functions and OpenSSL's SHA-1,
take less than half of the processor's time. Collision detection guards against somebody who chooses
both of two files; these come from one archive whose SHA-256 is known.

For the 96 057 files of Linux 7.3.4, 1.6 GB, processor seconds on 27 November 2026, git 2.39.5:

| this module | 22 |
| `git fast-import`, `git read-tree`, `git update-index --refresh` | 49 |
| `git add`, uncompressed into one pack (``core.bigFileThreshold=1``) | 64 |

The formats are in gitformat-pack(5) and gitformat-index(5).
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

from lab.core.ui import Progress, Ui
from lab.errors import LabError
from lab.source.git import Git

BLOB = 3
"""Type number of a blob in a pack."""

REPORT_EVERY = 500
"""Files between two updates of the progress display."""


@dataclass(frozen=True)
class Imported:
    """One file: path below the directory, object id, mode as git has it, status for the index."""

    path: bytes
    sha: bytes
    mode: int
    status: os.stat_result


@dataclass(frozen=True)
class PackEntry:
    """Where an object lies in the pack."""

    sha: bytes
    offset: int
    crc: int


def import_directory(repository: Path, directory: Path, index: Path, ui: Ui) -> str:
    """Import all files below ``directory``, ignored ones too; the id of the tree object.

    The objects go into one pack of ``repository``; ``index`` becomes an index for which all files
    are up to date. A ``.git`` at the top is left out. Raises LabError if there is nothing to
    import.
    """
    top = os.fsencode(directory)
    paths = sorted(_walk(top, b""))
    if not paths:
        raise LabError(f"{directory} holds no files to import.")
    packs = repository / "objects" / "pack"
    descriptor, name = tempfile.mkstemp(dir=packs, prefix="tmp_pack_")
    os.close(descriptor)
    try:
        with (
            Path(name).open("w+b") as pack,
            ui.progress("import into git", len(paths), "files") as progress,
        ):
            files, entries = _write_objects(pack, top, paths, progress)
            checksum = _finish_pack(pack, len(entries))
        _install_pack(Path(name), entries, checksum)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    _write_index(index, files)
    return Git(repository, index=index).out("write-tree")


def _walk(top: bytes, below: bytes) -> Iterator[bytes]:
    """Paths of all files and symbolic links; bytes, because that is what git sorts by."""
    with os.scandir(os.path.join(top, below) if below else top) as found:  # noqa: PTH118
        for entry in found:
            if not below and entry.name == b".git":
                continue
            path = below + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(top, path + b"/")
            elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                yield path


def _write_objects(
    pack: BufferedRandom, top: bytes, paths: list[bytes], progress: Progress
) -> tuple[list[Imported], list[PackEntry]]:
    """Write every distinct content once. The pack's header is left for the end, see there."""
    from dulwich.object_format import SHA1
    from dulwich.pack import pack_object_header, write_pack_header

    write_pack_header(pack.write, 0)
    offset = pack.tell()
    files: list[Imported] = []
    entries: dict[bytes, PackEntry] = {}
    for number, path in enumerate(paths, 1):
        file, content = _read(top, path)
        files.append(file)
        if file.sha not in entries:
            header = bytes(pack_object_header(BLOB, None, len(content), SHA1))
            data = header + zlib.compress(content, 0)
            entries[file.sha] = PackEntry(file.sha, offset, zlib.crc32(data))
            pack.write(data)
            offset += len(data)
        if number % REPORT_EVERY == 0:
            progress.update(number)
    progress.update(len(paths))
    return files, list(entries.values())


def _read(top: bytes, path: bytes) -> tuple[Imported, bytes]:
    full = top + b"/" + path
    status = os.lstat(full)
    if stat.S_ISLNK(status.st_mode):
        content, mode = os.readlink(full), 0o120000  # noqa: PTH115
    else:
        with open(full, "rb") as file:  # noqa: PTH123
            content = file.read()
        mode = 0o100755 if status.st_mode & stat.S_IXUSR else 0o100644
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    digest.update(content)
    return Imported(path, digest.digest(), mode, status), content


def _finish_pack(pack: BufferedRandom, count: int) -> bytes:
    """Put in the header, now that the number of objects is known, and append the checksum.

    The checksum covers the header, so it is taken once over the whole file at the end.
    """
    from dulwich.pack import write_pack_header

    pack.seek(0)
    write_pack_header(pack.write, count)
    pack.seek(0)
    checksum = hashlib.file_digest(pack, "sha1").digest()
    pack.seek(0, os.SEEK_END)
    pack.write(checksum)
    return checksum


def _install_pack(pack: Path, entries: list[PackEntry], checksum: bytes) -> None:
    """Give the pack its name and its .idx; the .pack first, since git looks for .idx files."""
    from dulwich.pack import write_pack_index_v2

    final = pack.with_name(f"pack-{checksum.hex()}.pack")
    pack.chmod(0o444)
    rows = sorted((entry.sha, entry.offset, entry.crc) for entry in entries)
    partial_index = pack.with_suffix(".idx_tmp")
    with partial_index.open("wb", buffering=1 << 20) as file:
        write_pack_index_v2(file, rows, checksum)
    partial_index.chmod(0o444)
    pack.replace(final)
    partial_index.replace(final.with_suffix(".idx"))


def _write_index(index: Path, files: list[Imported]) -> None:
    """An index in which every file is known to be unchanged, as git would have written it."""
    from dulwich.index import IndexChecksumWriter, SerializedIndexEntry, write_index
    from dulwich.objects import ObjectID

    rows = []
    for file in files:
        status = file.status
        row = SerializedIndexEntry(
            name=file.path,
            ctime=divmod(status.st_ctime_ns, 1_000_000_000),
            mtime=divmod(status.st_mtime_ns, 1_000_000_000),
            dev=status.st_dev,
            ino=status.st_ino,
            mode=file.mode,
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size & 0xFFFFFFFF,
            sha=ObjectID(file.sha.hex().encode()),
            flags=0,
            extended_flags=0,
        )
        rows.append(row)
    partial = index.with_name(f"{index.name}.tmp")
    with partial.open("wb", buffering=1 << 20) as stream:
        writer = IndexChecksumWriter(stream)
        write_index(writer, rows, version=2)
        writer.write_checksum()
    partial.replace(index)
