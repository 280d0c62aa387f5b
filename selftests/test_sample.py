# SPDX-License-Identifier: MIT
"""The kernel tree's own sample, built from it."""

from __future__ import annotations

import subprocess

from selftests.harness import objects
from selftests.harness.patches import proves


@proves("program-type", "libbpf", "sample")
def test_the_sample_denies_close_999_only() -> None:
    """samples/bpf/test_seccomp: close(111) is EBADF, close(999) is EPERM, and its map says one."""
    program = objects.guest_file("test_seccomp")
    done = subprocess.run(
        [program], capture_output=True, text=True, timeout=60, check=False, cwd=program.parent
    )
    assert (done.returncode, done.stdout) == (
        0,
        "close(111): Bad file descriptor\nclose(999): Operation not permitted\ndenied: 1\n",
    ), done.stderr
