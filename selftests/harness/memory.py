# SPDX-License-Identifier: MIT
"""A filter that reads the caller's memory and reports what it got.

The filter looks at ``getppid`` only. The first argument says where to read; the result of the
helper and what it left in its destination end up in a map.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from dataclasses import dataclass

from selftests.harness import seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    R8,
    R10,
    Source,
    alu,
    call,
    load,
    map_value,
    mov,
    mov_reg,
    on_syscall,
    ret,
    store,
    store_imm,
)
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.sys import no_new_privs, syscall

SIZE = 24
"""Bytes that the filter asks for: the destination's size."""
STALE = 0xAA
"""What the destination is filled with before the helper is called."""
ZEROES = bytes(SIZE)
NOT_CALLED = -(1 << 31)


@dataclass(frozen=True)
class Reading:
    """The helper's result (-errno, 0, or a string's length with its NUL) and the destination."""

    result: int
    data: bytes


def refused(code: int) -> Reading:
    """What a failed read has to look like: no byte of anything in the destination."""
    return Reading(-code, ZEROES)


def reader(report: Map, helper: int = uapi.BPF_FUNC_probe_read_user) -> list[Source]:
    """The filter; ``report`` is from :func:`report_map`."""
    stale = int.from_bytes(bytes([STALE] * 4), "little", signed=True)
    return on_syscall(
        uapi.NR.getppid,
        *(store_imm(8, R10, off, stale) for off in range(-SIZE, 0, 8)),
        load(8, R3, R6, uapi.data_arg(0)),
        mov_reg(R1, R10),
        alu("add", R1, -SIZE),
        mov(R2, SIZE),
        call(helper),
        mov_reg(R7, R0),
        map_value(R8, report.fd),
        store(8, R8, 0, R7),
        *(
            insn
            for off in range(0, SIZE, 8)
            for insn in (load(8, R1, R10, off - SIZE), store(8, R8, 8 + off, R1))
        ),
        *ret(uapi.SECCOMP_RET_ALLOW),
    )


def report_map() -> Map:
    """Where a reader reports to: an s64 and the destination."""
    report = map_create(value_size=8 + SIZE)
    forget(report)
    return report


def forget(report: Map) -> None:
    """Mark the report as not written yet."""
    report.update(struct.pack("=q", NOT_CALLED) + bytes([0x55] * SIZE))


def reading(report: Map) -> Reading:
    """The last report. Raises AssertionError if the filter has not made one."""
    result, data = struct.unpack(f"=q{SIZE}s", report.lookup())
    assert result != NOT_CALLED, "the filter has not run"
    return Reading(result, data)


def load_reader(report: Map, helper: int = uapi.BPF_FUNC_probe_read_user) -> Prog:
    """Load it with the caller's own privileges. Raises BpfError."""
    return prog_load(reader(report, helper))


@dataclass(frozen=True)
class Filtered:
    """The calling process, with a reader installed."""

    report: Map

    def read(self, place: int) -> Reading:
        """Have the filter read at an address of this process."""
        forget(self.report)
        syscall(uapi.NR.getppid, place)
        return reading(self.report)


def filtered_by(prog: Prog, report: Map) -> Filtered:
    """Install a reader on the calling process, for good."""
    no_new_privs()
    seccomp.install(prog)
    return Filtered(report)


PAGE = mmap.PAGESIZE
PROT_NONE = 0  # include/uapi/asm-generic/mman-common.h

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_LIBC.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


def _check(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def map_pages(count: int) -> int:
    """Address of fresh anonymous pages that nobody has touched: none is resident."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return _map(count * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1)


def map_code(fd: int) -> int:
    """Address of the first page of a file, to be executed."""
    return _map(PAGE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, fd)


def map_file(fd: int) -> int:
    """Address of the first page of a file, mapped to be read and not read yet."""
    return _map(PAGE, mmap.PROT_READ, mmap.MAP_SHARED, fd)


def _map(size: int, protection: int, flags: int, fd: int) -> int:
    place = _LIBC.mmap(None, size, protection, flags, fd, 0)
    if place in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    return int(place)


def unmap_page(place: int) -> None:
    """Take a page away."""
    _check(_LIBC.munmap(place, PAGE))


def protect_page(place: int) -> None:
    """Leave a page mapped, but readable by nobody."""
    _check(_LIBC.mprotect(place, PAGE, PROT_NONE))


def is_resident(place: int) -> bool:
    """mincore(2) of one page."""
    answer = (ctypes.c_ubyte * 1)()
    _check(_LIBC.mincore(place, PAGE, ctypes.addressof(answer)))
    return bool(answer[0] & 1)


def write(place: int, data: bytes) -> None:
    """Store to this process's memory."""
    ctypes.memmove(place, data, len(data))
