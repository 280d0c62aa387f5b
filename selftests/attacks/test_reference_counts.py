# SPDX-License-Identifier: MIT
"""Attack: load, install and fail so often that a reference that is lost each time is noticed.

On all CPUs at once, so that counts are taken and dropped at the same time. A hundred thousand
rounds, profile ``endurance``, would overflow a 16-bit count and fill memory; the default profile
does some hundred.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import on_syscall, ret
from selftests.harness.bpf import prog_load
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.objects import guest_file
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR

pytestmark = proves("program-type")

ROUNDS = int(os.environ.get("SECCOMP_LAB_ROUNDS", "300"))

DENY = on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM))

OPERATIONS = ("loaded", "refused", "installed", "failed", "without_privilege")
"""What native/churn.c does: a load, one that the verifier refuses, an installation, one that fails
for a flag or a second listener, one that fails for want of no_new_privs.
"""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_is_left_after_many_rounds(operation: str) -> None:
    """Programs and maps are gone with their last users, and as many as before can be had."""
    before = progs(), maps()
    at_once = len(os.sched_getaffinity(0))
    command = [str(guest_file("churn")), operation, str(-(-ROUNDS // at_once))]
    with privileges.sysctl(privileges.PTRACE_SCOPE, 1):
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(at_once)]
        while not _wait(workers, 60):
            # A guest that says nothing for minutes is taken for a dead one.
            Path("/dev/kmsg").write_text(f"seccomp-lab: still at it: {operation}\n")
    said = [(worker.returncode, worker.communicate()[0]) for worker in workers]
    assert said == [(0, b"")] * at_once
    assert eventually(lambda: progs() <= before[0] and maps() <= before[1])


def _wait(workers: list[subprocess.Popen[bytes]], seconds: float) -> bool:
    """Whether all of them have ended, by then."""
    return eventually(lambda: all(worker.poll() is not None for worker in workers), seconds)


def test_a_listener_and_its_filter_go_together() -> None:
    """Closing the listener of a task that is gone frees the program."""
    before = progs()

    def case() -> int:
        no_new_privs()
        for _ in range(20):
            if os.fork() == 0:
                prog = prog_load(DENY, log_level=0)
                os.close(seccomp.install(prog, uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER))
                os._exit(0)
            os.wait()
        return errno_of(NR.getppid)

    assert child.run(case) == 0
    assert eventually(lambda: progs() <= before)
