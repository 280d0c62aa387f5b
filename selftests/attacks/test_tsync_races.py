# SPDX-License-Identifier: MIT
"""Attack: end threads, or the whole process, while TSYNC walks over them."""

from __future__ import annotations

import errno
import os
import threading
import time

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import on_syscall, ret
from selftests.harness.bpf import prog_load
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.patches import proves
from selftests.harness.storm import Executed, Filters, execute_during_tsync
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR

pytestmark = proves("program-type")

DENY = on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM))
TSYNC = uapi.SECCOMP_FILTER_FLAG_TSYNC
ROUNDS = 40


def test_threads_come_and_go_during_tsync() -> None:
    """Each of many calls reaches all threads there are; a thread born meanwhile has the filter."""
    before = progs()

    def case() -> tuple[set[int], set[int], str]:
        stop = threading.Event()
        unfiltered_after = threading.Event()
        seen: set[int] = set()

        def mayfly() -> None:
            if unfiltered_after.is_set():
                seen.add(errno_of(NR.getppid))

        def breed() -> None:
            while not stop.is_set():
                young = [threading.Thread(target=mayfly) for _ in range(3)]
                for thread in young:
                    thread.start()
                for thread in young:
                    thread.join()

        breeders = [threading.Thread(target=breed) for _ in range(2)]
        for thread in breeders:
            thread.start()
        no_new_privs()
        prog = prog_load(DENY, log_level=0)
        results = set()
        for _ in range(ROUNDS):
            results.add(seccomp.install(prog, TSYNC))
            unfiltered_after.set()
        time.sleep(0.1)
        stop.set()
        for thread in breeders:
            thread.join(20)
        return results, seen, seccomp.status("Seccomp_filters")

    assert child.run(case, child.LONG) == ({0}, {errno.EDOM}, str(ROUNDS))
    assert eventually(lambda: progs() <= before)


def test_a_thread_executes_a_program_during_tsync() -> None:
    """exec ends all other threads, the one in TSYNC as well: nothing hangs, nothing is left."""
    before = progs()

    def case(delay: float) -> None:
        no_new_privs()
        prog = prog_load(DENY, log_level=0)

        def execute() -> None:
            time.sleep(delay)
            os.execv("/bin/true", ["true"])

        threading.Thread(target=execute).start()
        for _ in range(3000):
            seccomp.install(prog, TSYNC)
        time.sleep(20)

    for round_ in range(12):
        assert child.wait(lambda: case(0.002 * round_)).code == 0  # noqa: B023 - called at once
    assert eventually(lambda: progs() <= before)


SECCOMP_MODE_DISABLED, SECCOMP_MODE_FILTER = 0, 2
MANY = 96
"""Filters that are installed one by one."""


@pytest.mark.parametrize("who", ["leader", "thread"])
def test_a_program_executed_during_tsync_has_all_of_each_filter_or_nothing(who: str) -> None:
    """Attack: execute a program out of the middle of TSYNC, to leave a filter behind in half.

    What is left is one thread, under as many filters as /proc says and as it has, which are the
    first ones, none less than had been installed, with no_new_privs; and then nothing.
    """
    before = progs(), maps()

    def in_the_middle(it: Executed) -> bool:
        return 0 < it.filters < MANY

    def case() -> tuple[list[Executed], list[int]]:
        filters = Filters("+" * MANY)
        found: list[Executed] = []
        # To execute a program takes as long as some dozen installations, and at times as long as
        # all of them: once no more than 5 of 80 rounds hit the middle.
        until = time.monotonic() + child.LONG / 2
        while sum(map(in_the_middle, found)) < 8 and time.monotonic() < until:
            found.append(execute_during_tsync(filters, who, 1 + 3 * len(found) % 24))
        return found, [looks.lookup_int() for looks in filters.looks]

    with privileges.sysctl(privileges.PTRACE_SCOPE, 1):
        found, looks = child.run(case, child.LONG)
    for it in found:
        # Begun is not installed: the program may be executed under none.
        mode = SECCOMP_MODE_FILTER if it.filters else SECCOMP_MODE_DISABLED
        assert (it.threads, it.no_new_privs, it.mode) == (1, 1, mode), it
        assert it.effective == it.filters, it
        assert it.returned <= it.filters <= it.begun <= it.returned + 1, it
    # The executed program asks once for each filter, and nobody else asks.
    assert looks == [MANY * sum(it.filters > number for it in found) for number in range(MANY)]
    assert sum(map(in_the_middle, found)) >= 8, "TSYNC was over before a program was executed"
    assert eventually(lambda: progs() <= before[0] and maps() <= before[1])


def test_two_threads_synchronise_at_once() -> None:
    """Of two that race each either wins, or is told of the other, and all end up with one tree."""

    def case() -> tuple[bool, set[str]]:
        no_new_privs()
        progs_ = [prog_load(DENY, log_level=0) for _ in range(2)]
        gate = threading.Barrier(2)
        results: list[int] = []

        def body(number: int) -> None:
            gate.wait(20)
            for _ in range(20):
                results.append(seccomp.install(progs_[number], TSYNC))
            gate.wait(20)

        threads = [threading.Thread(target=body, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return len(results) == 40 and set(results) == {0}, {seccomp.status("Seccomp_filters")}

    # TSYNC gives every thread the caller's filters, so nobody diverges.
    assert child.run(case) == (True, {"40"})
