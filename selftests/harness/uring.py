# SPDX-License-Identifier: MIT
"""Just so much of io_uring as it takes to keep files in a ring, pass them on, and take them out."""

from __future__ import annotations

import mmap
import os
import struct

from selftests.harness.bpf import Fd
from selftests.harness.sys import address, buffer, syscall

# The same on all architectures: include/uapi/asm-generic/unistd.h
NR_SETUP, NR_ENTER, NR_REGISTER = 425, 426, 427

# include/uapi/linux/io_uring.h
SETUP_NO_SQARRAY = 1 << 16
ENTER_GETEVENTS = 1 << 0
REGISTER_FILES, REGISTER_FILES_UPDATE = 2, 6
OFF_SQES = 0x10000000
OP_MSG_RING, OP_FIXED_FD_INSTALL = 40, 54
SQE_FIXED_FILE = 1 << 0
MSG_SEND_FD = 1
MSG_RING_CQE_SKIP = 1 << 0

ENTRIES = 4
PARAMS = struct.Struct("=10I8IQ8IQ")
SQE = struct.Struct("=BBHiQQIIQHHIQQ")
CQE = struct.Struct("=QiI")


class Ring(Fd):
    """A ring with one slot for a file, empty."""

    def __init__(self) -> None:
        params = buffer(PARAMS.pack(0, 0, SETUP_NO_SQARRAY, *[0] * 25))
        super().__init__(syscall(NR_SETUP, ENTRIES, params))
        _, entries, *rest = PARAMS.unpack(params.raw)
        self._sq_tail, self._sq_mask = rest[9], rest[10]
        self._cq_head, self._cq_mask, self._cqes = rest[17], rest[19], rest[22]
        self._rings = mmap.mmap(self.fd, self._cqes + entries * CQE.size)
        self._sqes = mmap.mmap(self.fd, ENTRIES * SQE.size, offset=OFF_SQES)
        self._register(REGISTER_FILES, struct.pack("=i", -1), 1)

    def _register(self, command: int, argument: bytes, count: int) -> None:
        syscall(NR_REGISTER, self.fd, command, buffer(argument), count)

    def keep(self, fd: int) -> None:
        """Put a file into the slot. Whoever has the ring can. Raises OSError."""
        keep = buffer(struct.pack("=i", fd))
        # struct io_uring_files_update: offset, padding, pointer
        self._register(REGISTER_FILES_UPDATE, struct.pack("=IIQ", 0, 0, address(keep)), 1)

    def install(self) -> int:
        """A descriptor of what is in the slot. Raises OSError."""
        return self._submit(OP_FIXED_FD_INSTALL, SQE_FIXED_FILE)

    def send(self, to: Fd) -> None:
        """Pass on what is in the slot, to the slot of another ring. Raises OSError."""
        self._submit(
            OP_MSG_RING, 0, fd=to.fd, argument=MSG_SEND_FD, flags=MSG_RING_CQE_SKIP, slot=1
        )

    def _number(self, place: int) -> int:
        return int(struct.unpack_from("=I", self._rings, place)[0])

    def _submit(
        self, op: int, sqe_flags: int, fd: int = 0, argument: int = 0, flags: int = 0, slot: int = 0
    ) -> int:
        tail = self._number(self._sq_tail)
        SQE.pack_into(
            self._sqes,
            (tail & self._number(self._sq_mask)) * SQE.size,
            *(op, sqe_flags, 0, fd, 0, argument, 0, flags, 0, 0, 0, slot, 0, 0),
        )
        struct.pack_into("=I", self._rings, self._sq_tail, tail + 1)
        syscall(NR_ENTER, self.fd, 1, 1, ENTER_GETEVENTS, 0, 0)
        head = self._number(self._cq_head)
        place = self._cqes + (head & self._number(self._cq_mask)) * CQE.size
        _, result, _ = CQE.unpack_from(self._rings, place)
        struct.pack_into("=I", self._rings, self._cq_head, head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)
