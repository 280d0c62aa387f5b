# SPDX-License-Identifier: MIT
"""System calls by name, as libseccomp knows them for the machine's own architecture.

It is there wherever QEMU is, which confines itself with it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable

NO_CALL = 0xFFFFFFFF
"""gallery.h: the number of a call that the architecture does not have, as open(2) on arm64."""

CALLS_MAX = 512


@functools.cache
def library() -> ctypes.CDLL:
    """libseccomp itself. Raises OSError where it is not."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    return library


def number(name: str) -> int:
    """A call's number, NO_CALL if this architecture has no such call.

    Raises KeyError if there is no call of that name anywhere: seccomp_syscall_resolve_name(3).
    """
    found = int(library().seccomp_syscall_resolve_name(name.encode()))
    if found == -1:
        raise KeyError(name)
    # Others below zero are libseccomp's own, for calls of other architectures.
    return found if found >= 0 else NO_CALL


def name(number: int, arch: int) -> str:
    """A call's name, for an ``AUDIT_ARCH_*``; the number where nobody knows one."""
    found = library().seccomp_syscall_resolve_num_arch(ctypes.c_uint32(arch), ctypes.c_int(number))
    if not found:
        return str(number)
    text = ctypes.string_at(found).decode()
    # The caller is to free it: seccomp_syscall_resolve_num_arch(3).
    ctypes.CDLL(None).free(ctypes.c_void_p(found))
    return text


def arch_token(arch: str) -> int:
    """libseccomp's number for an architecture, such as SCMP_ARCH_X86_64: its ``AUDIT_ARCH_*``, but
    for x32, which the kernel gives no number of its own. Raises KeyError.
    """
    name = arch.removeprefix("SCMP_ARCH_").lower().encode()
    token = int(library().seccomp_arch_resolve_name(name)) & 0xFFFFFFFF
    if not token:
        raise KeyError(arch)
    return token


def number_of(name: str, arch: int) -> int | None:
    """A call's number for an :func:`arch_token`; below zero, libseccomp's own, if that has no call
    of this name or has it within another; None if nobody knows the name.
    """
    found = int(library().seccomp_syscall_resolve_name_arch(ctypes.c_uint32(arch), name.encode()))
    return None if found == -1 else found


def table(names: Iterable[str]) -> bytes:
    """``struct calls`` of gallery.h: a bit for each call. Raises KeyError."""
    bits = 0
    for one in map(number, names):
        if one < CALLS_MAX:
            bits |= 1 << one
    # The words are the machine's, bit 0 of the first is call 0.
    words = [(bits >> shift) & (2**64 - 1) for shift in range(0, CALLS_MAX, 64)]
    return b"".join(bytes(ctypes.c_uint64(word)) for word in words)
