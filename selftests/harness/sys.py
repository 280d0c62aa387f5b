# SPDX-License-Identifier: MIT
"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Any

from selftests.harness.uapi import NR, PR_SET_NO_NEW_PRIVS

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.ptrace.restype = ctypes.c_long


def syscall(number: int, *args: Any) -> int:
    """The system call's result; raises OSError on failure.

    Integers are passed as 64-bit values, everything else as ctypes converts it.
    """
    ctypes.set_errno(0)
    converted = [ctypes.c_ulong(a & (2**64 - 1)) if isinstance(a, int) else a for a in args]
    result = int(_LIBC.syscall(ctypes.c_long(number), *converted))
    if result == -1 and ctypes.get_errno():
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def error_of(action: Callable[[], object]) -> int:
    """0, or the errno of the OSError that the action raises."""
    try:
        action()
    except OSError as error:
        return error.errno or -1
    return 0


def errno_of(number: int, *args: Any) -> int:
    """0 if the system call succeeds, else its errno."""
    return error_of(lambda: syscall(number, *args))


def errname(code: int) -> str:
    """EPERM and the like; for messages and comparisons that read well."""
    return "0" if code == 0 else errno.errorcode.get(code, str(code))


def prctl(option: int, *args: int) -> int:
    """prctl(2)."""
    return syscall(NR.prctl, option, *[*args, 0, 0, 0, 0][:4])


def no_new_privs() -> None:
    """PR_SET_NO_NEW_PRIVS, for the calling thread and for good."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def ptrace(request: int, pid: int, addr: int = 0, data: int = 0) -> int:
    """ptrace(2); raises OSError."""
    return syscall(NR.ptrace, request, pid, addr, data)


def buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    """Memory with ``data`` in it, that can be passed to a system call."""
    return ctypes.create_string_buffer(data, max(len(data), 1))


def address(memory: Any) -> int:
    """Where ``memory`` is."""
    return ctypes.addressof(memory)
