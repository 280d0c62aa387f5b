"""Mounting a bpffs: a place to pin programs and maps in."""

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
def bpffs(mode: int = 0o700) -> Iterator[Path]:
    """A bpffs of its own for the duration of a ``with``; ``mode`` is that of its root."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        place = Path(name, "bpf")
        place.mkdir()
        options = f"mode={mode:o}".encode()
        _check(
            _LIBC.mount(b"lab", str(place).encode(), b"bpf", ctypes.c_ulong(0), options), "mount"
        )
        try:
            yield place
        finally:
            _check(_LIBC.umount2(str(place).encode(), 0), "umount")
