# SPDX-License-Identifier: MIT
"""Which programs and maps there are, and waiting for them to go."""

from __future__ import annotations

import time
from collections.abc import Callable

from selftests.harness import bpf, uapi


def progs() -> set[int]:
    """Ids of all programs."""
    return set(bpf.ids(uapi.BPF_PROG_GET_NEXT_ID))


def maps() -> set[int]:
    """Ids of all maps."""
    return set(bpf.ids(uapi.BPF_MAP_GET_NEXT_ID))


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it comes true in time. Programs are freed after a grace period, by a worker."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
