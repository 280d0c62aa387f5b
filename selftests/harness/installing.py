# SPDX-License-Identifier: MIT
"""Installing a filter that may not be one, and the name of the error that comes of it."""

from __future__ import annotations

import errno
from collections.abc import Callable

from selftests.harness import uapi
from selftests.harness.asm import on_syscall, ret
from selftests.harness.sys import errname, syscall
from selftests.harness.uapi import NR, SECCOMP_FILTER_FLAG_EXTENDED, SECCOMP_RET_ERRNO

DENY = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | errno.EDOM))
CLOSED = 999
"""No process has so many descriptors."""


def errname_of(action: Callable[[], object]) -> str:
    """The name of the errno that the action fails with; "0" if it succeeds."""
    try:
        action()
    except OSError as error:
        return errname(error.errno or -1)
    return "0"


def install_at(pointer: int, flags: int = SECCOMP_FILTER_FLAG_EXTENDED) -> int:
    """seccomp(2) with the third argument as it is."""
    return syscall(NR.seccomp, uapi.SECCOMP_SET_MODE_FILTER, flags, pointer)
