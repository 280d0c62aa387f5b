# SPDX-License-Identifier: MIT
"""Fault injection, contained: a system call fails for one tree of processes, and nobody else.

The Nth time, with a probability, or on one path only; fail_function and its kind want root and
debugfs and know of tasks at most by one flag.

What an attacker can still do: everything. It is a tool for tests and refuses what it was told to
refuse; the path is compared as it lies in memory, so another spelling of it is another path.
"""

from __future__ import annotations

import os
import struct

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness.uapi import NR

NAME = "inject_fault"
PATH_SIZE = 256

PATH_ARGUMENT = {"openat": 1, "openat2": 1, "newfstatat": 1, "statx": 1, "unlinkat": 1,
                 "mkdirat": 1, "faccessat": 1, "faccessat2": 1, "execveat": 1}  # fmt: skip
"""Which argument the path is, where it is not the first: a directory's descriptor is."""


def load(
    call: str, error: int, *, nth: int = 0, probability: float = 0.0, path: str = ""
) -> Loaded:
    """Have ``call`` fail with ``error``: each time, the ``nth`` time (1 is the first), or now and
    then; with a ``path``, only calls on that path are counted and fail.

    Raises KeyError for an unknown call, ValueError as :func:`check` does.
    """
    check(nth=nth, probability=probability, path=path)
    share = min(round(probability * 2**32), 2**32 - 1)
    argument = PATH_ARGUMENT.get(call, 0)
    numbers = (NR.audit, calls.number(call), error, nth, share, argument)
    return Loaded(NAME, struct.pack("=6I", *numbers) + os.fsencode(path))


def check(*, nth: int, probability: float, path: str, **_: object) -> None:
    """Raises ValueError for settings that are out of range, or contradict each other."""
    if nth < 0 or not 0 <= probability <= 1 or (nth and probability):
        raise ValueError(
            "nth counts from 1, probability is from 0 to 1, and it is one or the other"
        )
    size = len(os.fsencode(path))
    if size >= PATH_SIZE:
        raise ValueError(f"a path of {size} bytes; {PATH_SIZE - 1} is the limit")
