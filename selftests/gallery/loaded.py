# SPDX-License-Identifier: MIT
"""A filter of the gallery in the kernel: its counters, its events, and how to put it on."""

from __future__ import annotations

import ctypes
import struct
from typing import Self

from selftests.harness import seccomp
from selftests.harness.bpf import Map
from selftests.harness.objects import BpfObject, libbpf
from selftests.harness.sys import no_new_privs

SAMPLE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Loaded:
    """``NAME.bpf.o`` with its ``config``, b"" if it has none, loaded.

    Raises OSError if the kernel refuses it.
    """

    def __init__(self, name: str, config: bytes, program: str | None = None) -> None:
        self._object = BpfObject(name)
        if config:
            self._object.set_rodata(config)
        self._object.load()
        self._program = program or name
        self.prog = self._object.prog(self._program)

    def install(self, flags: int = 0) -> int:
        """Put it on the calling thread, for good; a listener if the flags ask for one."""
        no_new_privs()
        return seccomp.install(self.prog, flags)

    def counters(self) -> tuple[int, ...]:
        """The filter's 64-bit variables: all that it has in .bss."""
        data = self._object.map(".bss").lookup()
        return struct.unpack_from(f"={len(data) // 8}Q", data)

    def insns(self) -> int:
        """How many instructions it has."""
        return self._object.insns(self._program)

    def ring(self) -> Map:
        """The ring buffer ``events``, for a reader of one's own."""
        return self._object.map("events")

    def events(self) -> Events:
        """The ring buffer ``events``."""
        return Events(self.ring())

    def close(self) -> None:
        """Let go of it. An installed filter stays."""
        self.prog.close()
        self._object.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Events:
    """A ring buffer's records, by libbpf's ring_buffer__poll()."""

    def __init__(self, buffer: Map) -> None:
        self._records: list[bytes] = []
        # ctypes keeps no reference to it.
        self._take = SAMPLE(self._sample)
        # libbpf polls the descriptor that it is given.
        self._map = buffer
        new = libbpf().ring_buffer__new
        new.restype = ctypes.c_void_p
        new.argtypes = (ctypes.c_int, SAMPLE, ctypes.c_void_p, ctypes.c_void_p)
        self._buffer = new(self._map.fd, self._take, None, None)
        if not self._buffer:
            raise OSError(ctypes.get_errno(), "ring_buffer__new")

    def _sample(self, _: int, data: int, size: int) -> int:
        self._records.append(ctypes.string_at(data, size))
        return 0

    def fileno(self) -> int:
        """The ring buffer's descriptor: readable when there are records."""
        return self._map.fd

    def read(self, timeout: float = 0) -> list[bytes]:
        """What has come since the last time; waits up to ``timeout`` seconds for the first."""
        poll = libbpf().ring_buffer__poll
        poll.argtypes = (ctypes.c_void_p, ctypes.c_int)
        if poll(self._buffer, round(timeout * 1000)) < 0:
            raise OSError(ctypes.get_errno(), "ring_buffer__poll")
        found, self._records = self._records, []
        return found

    def close(self) -> None:
        """Give the memory back."""
        buffer, self._buffer = self._buffer, None
        if buffer:
            free = libbpf().ring_buffer__free
            free.argtypes = (ctypes.c_void_p,)
            free(buffer)
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
