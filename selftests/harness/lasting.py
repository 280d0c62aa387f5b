# SPDX-License-Identifier: MIT
"""A process that goes on under a filter, while somebody changes what the filter sees."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator

from selftests.harness import child, seccomp
from selftests.harness.bpf import Prog
from selftests.harness.lifetimes import eventually
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR


class Seen:
    """What a filtered process is answered, as it goes on."""

    LARGEST = 4096

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 2 * self.LARGEST)
        # In the machine's own format, which is written at once: struct's "=Q" goes byte by byte,
        # and who reads a carry half done takes 255 for 511.
        self._calls = memoryview(self._shared)[self.LARGEST :].cast("Q")

    def note(self, answer: int) -> None:
        """By the filtered process, after a call."""
        self._shared[answer] = 1
        self._calls[0] += 1

    def _wait(self, calls: int) -> None:
        then = self._calls[0] + calls
        assert eventually(lambda: self._calls[0] >= then), "no calls are made any more"

    def now(self) -> set[int]:
        """All answers to some calls that begin after this one."""
        self._wait(2)
        self._shared[: self.LARGEST] = bytes(self.LARGEST)
        self._wait(50)
        return {answer for answer in range(self.LARGEST) if self._shared[answer]}


@contextlib.contextmanager
def under(prog: Prog, *keys: int) -> Iterator[Seen]:
    """A process that calls under the filter for ever, on a CPU of its own, for these keys."""
    seen = Seen()

    def for_ever() -> None:
        no_new_privs()
        seccomp.install(prog)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        while True:
            for key in keys or (0,):
                seen.note(errno_of(NR.getppid, key))

    with child.running(for_ever):
        yield seen
