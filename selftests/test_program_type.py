# SPDX-License-Identifier: MIT
"""The program type: loading, installing and running."""

from __future__ import annotations

import os

from selftests.harness import child, seccomp
from selftests.harness.asm import on_syscall, ret
from selftests.harness.bpf import prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ERRNO

pytestmark = proves("program-type")


def test_an_installed_filter_decides_after_its_descriptor_is_closed() -> None:
    """Load, install, close: the filter still answers, and /proc/self/status shows it."""

    def case() -> tuple[int, str, str]:
        prog = prog_load(on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | 7)))
        no_new_privs()
        seccomp.install(prog)
        prog.close()
        return (
            errno_of(NR.getppid),
            seccomp.status("Seccomp"),
            seccomp.status("Seccomp_filters"),
        )

    assert child.run(case) == (7, "2", "1")
    assert os.getppid() > 0
