# SPDX-License-Identifier: MIT
"""What a test meets instead of what it looks for, by names that the lab has too.

A kernel without the series is what :class:`Absent` tells of. A guest that lacks something else is
what :class:`Lacks` does.
"""

from __future__ import annotations

import os


class Absent(Exception):
    """The kernel does not have the feature; the message says what it answered."""


class Lacks(Exception):
    """This guest, not the series, lacks something that the test needs: ``what``, by the name that
    the lab has for it. Whether it may lack it is for the profile (lab/kernel/profiles.py) and
    the base (lab/source/bases.py) to say.
    """

    def __init__(self, what: str, seen: str) -> None:
        super().__init__(f"{what}: {seen}")
        self.what, self.seen = what, seen


YAMA, BPF_LSM, JIT = "yama", "bpf-lsm", "jit"
SWITCH, RETRIEVAL = "unprivileged-switch", "checkpoint-restore"
"""What a profile takes away."""
BASE_HELPERS, KFUNCS = "helpers-for-all-types", "newer-kernel-functions"
INSN_ARRAYS, BOUND_MAPS = "instruction-arrays", "maps-bound-by-fd-array"
UNTRUSTED, UPROBE = "untrusted-arguments", "uprobe-system-call"
SET_SYSCALL_INFO, EMPTY_STRINGS = "ptrace-set-syscall-info", "length-of-empty-strings"
"""What came to the kernel between 6.12 and 7.3."""

LACKS = frozenset(filter(None, os.environ.get("SECCOMP_LAB_LACKS", "").split(",")))
"""What this guest may lack."""
