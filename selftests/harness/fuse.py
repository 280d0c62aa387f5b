# SPDX-License-Identifier: MIT
"""A file whose content never comes: the smallest FUSE server, which does not answer READ.

include/uapi/linux/fuse.h has the messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selftests.harness import child
from selftests.harness.mounts import MNT_DETACH

MNT_FORCE = 1

ROOT, FILE = 1, 2
NAME = "late"
SIZE = 1 << 16

LOOKUP, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT = 1, 3, 14, 15, 18, 25, 26

_LIBC = ctypes.CDLL(None, use_errno=True)


def _attributes(node: int) -> bytes:
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
    # struct fuse_attr
    return struct.pack("=6Q10I", node, SIZE, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _reply(opcode: int, node: int) -> bytes | int | None:
    """The body of the answer, or an errno, or nothing at all."""
    if opcode == INIT:
        return struct.pack("=IIIIHHIIHHII6I", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0, 0, *[0] * 6)
    if opcode == LOOKUP:
        return struct.pack("=QQQQII", FILE, 0, 60, 60, 0, 0) + _attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("=QII", 60, 0, 0) + _attributes(node)
    if opcode == OPEN:
        return struct.pack("=QIi", 1, 0, 0)
    if opcode == READ:
        return None
    return b"" if opcode == RELEASE else errno.ENOSYS


def _serve(device: int, asked: int) -> None:
    while True:
        request = os.read(device, 1 << 17)
        _, opcode, unique, node = struct.unpack_from("=IIQQ", request)
        if opcode == READ:
            os.write(asked, b"r")
        body = _reply(opcode, node)
        if body is None:
            continue
        error = -body if isinstance(body, int) else 0
        data = b"" if isinstance(body, int) else body
        os.write(device, struct.pack("=IiQ", 16 + len(data), error, unique) + data)


@contextlib.contextmanager
def late_file() -> Iterator[tuple[Path, int]]:
    """The file, and a pipe that gets a byte for each READ that is asked for and not answered."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with tempfile.TemporaryDirectory() as place:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if _LIBC.mount(b"lab", place.encode(), b"fuse", ctypes.c_ulong(0), options):
            raise OSError(ctypes.get_errno(), "mount")
        try:
            # Once it is mounted: before that the device gives EPERM to who reads it.
            with child.running(lambda: _serve(device, writer)):
                yield Path(place, NAME), reader
        finally:
            # By force: who waits for a page cannot even be killed before the connection is cut.
            _LIBC.umount2(place.encode(), MNT_FORCE | MNT_DETACH)
            for fd in (device, reader, writer):
                os.close(fd)
