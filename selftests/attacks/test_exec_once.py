# SPDX-License-Identifier: MIT
"""Attack: execute a second program under a filter that allows one.

By threads that race, by children, by a process that gets the id of another. What state is kept per
decides what holds: bpf/once.bpf.c has three answers.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.harness import child, seccomp
from selftests.harness.lacks import RETRIEVAL, Lacks
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR

pytestmark = [proves("null-task", "task-storage"), pytest.mark.usefixtures("state_allowed")]

SPENT = errno.EDOM
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
KINDS = ("once_per_process", "once_per_id", "once_for_all")
kinds = pytest.mark.parametrize("kind", KINDS)


def under(kind: str, watched: int = NR.getppid) -> None:
    """Install the filter on the calling process."""
    obj = BpfObject("once")
    obj.set_rodata(struct.pack("=I", watched))
    obj.load()
    no_new_privs()
    seccomp.install(obj.prog(kind))
    obj.close()


def attempt() -> int:
    """The call that is allowed once."""
    return errno_of(NR.getppid)


@kinds
def test_a_second_program_is_not_executed(kind: str) -> None:
    """A shell, the first program, cannot execute the second."""

    def case() -> None:
        under(kind, NR.execve)
        os.execv("/bin/sh", ["sh", "-c", "exec /bin/true"])

    assert child.wait(case).code == 126, "what a shell says of a program it cannot execute"


@kinds
def test_of_threads_that_race_one_wins(kind: str) -> None:
    """Eight threads at once, again and again: one call in all is allowed."""

    def case() -> int:
        under(kind)
        gate = threading.Barrier(8)
        answers: list[int] = []

        def body() -> None:
            gate.wait(20)
            answers.extend(attempt() for _ in range(5))

        threads = [threading.Thread(target=body) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(answers) == 40
        assert set(answers) == {0, SPENT}
        return answers.count(0)

    assert [child.run(case) for _ in range(5)] == [1] * 5


@pytest.mark.parametrize(
    ("kind", "allowed"), [("once_per_process", 4), ("once_per_id", 4), ("once_for_all", 1)]
)
def test_children_have_a_chance_of_their_own_unless_all_share_one(kind: str, allowed: int) -> None:
    """What is kept per process is no limit to who can fork; what the filter shares is."""

    def case() -> int:
        under(kind)
        codes = [child.wait(lambda: os._exit(attempt())).code for _ in range(4)]
        assert set(codes) <= {0, SPENT}
        return codes.count(0)

    assert child.run(case) == allowed


def with_the_same_id(function: Callable[[], int]) -> tuple[int, int]:
    """What a process answers, and what one answers that gets its id afterwards."""
    if not LAST_PID.exists():
        raise Lacks(RETRIEVAL, f"{LAST_PID} is not there")
    for _ in range(20):
        first = child.start(lambda: os._exit(function()))
        one = child.reap(first)
        LAST_PID.write_text(str(first - 1))
        second = child.start(lambda: os._exit(function()))
        two = child.reap(second)
        if first == second:
            assert one.code is not None
            assert two.code is not None
            return one.code, two.code
    raise AssertionError("somebody else got the id, twenty times")


@pytest.mark.parametrize(("kind", "second"), [("once_per_id", SPENT), ("once_per_process", 0)])
def test_who_gets_the_id_of_another_gets_his_state_only_if_the_id_is_the_key(
    kind: str, second: int
) -> None:
    """A map keyed by process id confuses two processes; task storage does not."""

    def case() -> tuple[int, int]:
        under(kind)
        return with_the_same_id(attempt)

    assert child.run(case) == (0, second)


def test_execution_by_a_thread_does_not_give_a_second_chance() -> None:
    """A thread's exec leaves the leader's storage behind: a filter must not rely on it alone.

    The filter that shares one count is spent; the one with storage per process is not, as
    documented (test_storage_is_lost_over_exec_by_another_thread).
    """

    def case(kind: str) -> None:
        under(kind)
        assert attempt() == 0
        # Nothing of the suite: it takes a while to import.
        script = (
            "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); "
            f"os._exit(ctypes.get_errno() if libc.syscall({NR.getppid}) < 0 else 0)"
        )
        thread = threading.Thread(
            target=lambda: os.execv("/proc/self/exe", ["python3", "-c", script])
        )
        thread.start()
        thread.join(20)

    assert child.wait(lambda: case("once_for_all")).code == SPENT
    assert child.wait(lambda: case("once_per_process")).code == 0
