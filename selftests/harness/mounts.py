# SPDX-License-Identifier: MIT
"""File systems for a while: a place to pin in, and one to execute from."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


@contextlib.contextmanager
def _mounted(type_: str, mode: int | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        place = Path(name, type_)
        place.mkdir()
        path, options = str(place).encode(), b"" if mode is None else f"mode={mode:o}".encode()
        _check(_LIBC.mount(b"lab", path, type_.encode(), ctypes.c_ulong(0), options), "mount")
        try:
            yield place
        finally:
            _check(_LIBC.umount2(path, MNT_DETACH), "umount")


MNT_DETACH = 2


def bpffs(mode: int = 0o700) -> contextlib.AbstractContextManager[Path]:
    """A bpffs of its own for the duration of a ``with``; ``mode`` is that of its root."""
    return _mounted("bpf", mode)


def tmpfs(mode: int = 0o755) -> contextlib.AbstractContextManager[Path]:
    """Likewise a tmpfs, in which set-id bits and binaries count, unlike perhaps in /tmp."""
    return _mounted("tmpfs", mode)


def securityfs() -> contextlib.AbstractContextManager[Path]:
    """Likewise the one securityfs. Raises OSError where the kernel has none."""
    return _mounted("securityfs", None)


def debugfs() -> contextlib.AbstractContextManager[Path]:
    """Likewise the one debugfs. Raises OSError where the kernel has none."""
    return _mounted("debugfs", None)


def cgroup2() -> contextlib.AbstractContextManager[Path]:
    """Likewise the one hierarchy of control groups."""
    return _mounted("cgroup2", None)
