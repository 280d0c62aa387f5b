# SPDX-License-Identifier: MIT
"""An LSM of our own: a BPF program on the hook ``seccomp_extended``, aimed at one process."""

from __future__ import annotations

import contextlib
import functools
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from selftests.harness import mounts
from selftests.harness.bpf import Map, raw_tracepoint_open
from selftests.harness.lacks import BPF_LSM, Lacks
from selftests.harness.objects import load_object


@dataclass(frozen=True)
class Denier:
    """Denies state to the process that it is aimed at (bpf/lsm_deny.bpf.c)."""

    state: Map

    def aim(self, tgid: int = 0, alternate: bool = False) -> None:
        """Deny it to ``tgid`` (0: the caller) from now on; ``alternate``: every second time."""
        self.state.update(struct.pack("=IIQ", tgid or os.getpid(), alternate, 0))

    def lower(self) -> None:
        """Deny it to nobody."""
        self.state.update(struct.pack("=IIQ", 0, 0, 0))

    @property
    def asked(self) -> int:
        """How often the process aimed at has been asked about."""
        return int(struct.unpack("=IIQ", self.state.lookup())[2])


@functools.cache
def active() -> tuple[str, ...]:
    """The LSMs of this kernel, in their order; none where CONFIG_SECURITY is off."""
    try:
        with mounts.securityfs() as directory:
            return tuple((directory / "lsm").read_text().strip().split(","))
    except OSError:
        return ()


def need() -> None:
    """Raises Lacks if BPF programs are no LSM here."""
    if "bpf" not in active():
        raise Lacks(BPF_LSM, f"the LSMs are: {', '.join(active()) or 'none'}")


@contextlib.contextmanager
def attached() -> Iterator[Denier]:
    """The program on its hook for the duration of a ``with``, aimed at nobody. Raises Lacks."""
    need()
    loaded = load_object("lsm_deny")
    link = raw_tracepoint_open(loaded.prog("deny_state"))
    try:
        yield Denier(loaded.map(".bss"))
    finally:
        link.close()
        loaded.close()
