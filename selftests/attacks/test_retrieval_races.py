# SPDX-License-Identifier: MIT
"""Attack: let the traced task exit or execute a program while its filters are retrieved."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import on_syscall, ret
from selftests.harness.bpf import prog_load
from selftests.harness.lifetimes import eventually, progs
from selftests.harness.patches import proves
from selftests.harness.sys import no_new_privs, ptrace
from selftests.harness.uapi import NR

pytestmark = proves("retrieval")

DENY = on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM))
ROUNDS = 15
GONE = {errno.ESRCH}


def filtered(then: str) -> None:
    """A task with filters of both kinds, that is stopped first."""
    no_new_privs()
    for _ in range(3):
        seccomp.install(prog_load(DENY, log_level=0))
    ptrace(0, 0)  # PTRACE_TRACEME
    os.kill(os.getpid(), signal.SIGSTOP)
    if then == "exec":
        os.execv("/bin/true", ["true"])


def retrieve_all(pid: int, errors: set[int]) -> int:
    """Retrieve by index until the task is gone; how many came."""
    count = 0
    while True:
        for index in range(4):
            try:
                seccomp.tracer_filter(pid, index).close()
                count += 1
            except OSError as error:
                errors.add(error.errno or -1)
                if error.errno in GONE:
                    return count


@pytest.mark.parametrize("then", ["exit", "exec", "kill"])
def test_a_task_goes_while_its_filters_are_retrieved(then: str) -> None:
    """Each retrieval gives a program or says that there is none; all references come back."""
    before = progs()
    errors: set[int] = set()

    def case() -> tuple[int, set[int]]:
        count = 0
        for number in range(ROUNDS):
            pid = child.start(lambda: filtered(then))
            os.waitpid(pid, os.WUNTRACED)
            ptrace(uapi.PTRACE_SETOPTIONS, pid, 0, uapi.PTRACE_O_EXITKILL)
            with contextlib.suppress(OSError):
                count += sum(_one(pid, index) for index in range(3))
            if then == "kill":
                killer = threading.Timer(0.001 * number, lambda: os.kill(pid, signal.SIGKILL))  # noqa: B023
                killer.start()
                count += retrieve_all(pid, errors)
                killer.join()
            else:
                ptrace(uapi.PTRACE_CONT, pid)
                # A task that runs cannot be asked: ESRCH at once, also while it goes away.
                count += retrieve_all(pid, errors)
            _bury(pid)
        return count, errors

    count, seen = child.run(case, child.LONG)
    assert count >= 3 * ROUNDS
    assert seen <= GONE | {errno.ENOENT}
    assert eventually(lambda: progs() <= before)


def _one(pid: int, index: int) -> int:
    seccomp.tracer_filter(pid, index).close()
    return 1


def _bury(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return
        with contextlib.suppress(ProcessLookupError):
            ptrace(uapi.PTRACE_CONT, pid)


def test_a_retrieved_program_outlives_the_task() -> None:
    """A descriptor keeps the program when the task has gone, and is all that does."""
    before = progs()

    def case() -> tuple[bool, bool]:
        pid = child.start(lambda: filtered("exit"))
        os.waitpid(pid, os.WUNTRACED)
        kept = seccomp.tracer_filter(pid, 0)
        number = next(iter(sorted(progs() - before)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        time.sleep(0.2)
        alive = bool(progs() - before)
        kept.close()
        return alive, eventually(lambda: number not in progs())

    assert child.run(case) == (True, True)
