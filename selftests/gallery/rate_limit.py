# SPDX-License-Identifier: MIT
"""Rate limit: so many of some system calls for each process in an interval, then an error.

Each process has its own count, in task storage: threads share it, a child begins with a new one.

What an attacker can still do: everything, more slowly. He can fork, and each child has a count of
its own; who may not fork has to be told so by another filter. The interval begins with the first
call in it, so that twice the limit fits into an interval across two of them. While one thread
begins an interval, calls of others can be counted to either, by as many as there are threads.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness.uapi import NR

NAME = "rate_limit"


def load(
    limited: Iterable[str], limit: int, interval: float = 1.0, error: int = errno.EAGAIN
) -> Loaded:
    """Allow ``limit`` calls in each ``interval`` of seconds. Raises KeyError."""
    head = struct.pack("=QQII", round(interval * 1e9), limit, error, NR.audit)
    return Loaded(NAME, head + calls.table(limited))
