# SPDX-License-Identifier: MIT
"""Attack: fork as fast as it goes, under filters with state, and install more in the middle."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import R1, R2, atomic_add, map_value, mov, on_syscall, ret
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.storm import Filters
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR

BURSTS, BURST, CALLS = 6, 12, 5


def counting(state: Map) -> None:
    """Install a filter that counts calls of getppid() in a map, and denies them."""
    program = on_syscall(
        NR.getppid,
        map_value(R1, state.fd),
        mov(R2, 1),
        atomic_add(R1, 0, R2),
        *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM),
    )
    seccomp.install(prog_load(program, log_level=0))


def storm(calls: int) -> int:
    """Children in bursts, each with a child of its own; how many of them saw a wrong answer."""

    def body() -> None:
        wrong = any(errno_of(NR.getppid) != errno.EDOM for _ in range(calls))
        os._exit(wrong)

    wrong = 0
    for _ in range(BURST):
        if os.fork() == 0:
            pid = os.fork()
            if pid == 0:
                body()
            _, status = os.waitpid(pid, 0)
            if status:
                os._exit(1)
            body()
    for _ in range(BURST):
        _, status = os.wait()
        wrong += status != 0
    return wrong


@proves("program-type")
def test_no_call_of_a_fork_storm_goes_uncounted() -> None:
    """Every child is filtered from its first call, also by filters installed between bursts."""
    before = progs(), maps()

    def case() -> tuple[int, list[int]]:
        no_new_privs()
        counters: list[Map] = []
        wrong = 0
        for _ in range(BURSTS):
            counters.append(map_create())
            counting(counters[-1])
            wrong += storm(CALLS)
        return wrong, [counter.lookup_int() for counter in counters]

    with privileges.sysctl(privileges.PTRACE_SCOPE, 1):
        wrong, counts = child.run(case, child.LONG)
    each = 2 * BURST * CALLS
    assert wrong == 0
    # All filters run for every call; the first one was there for all bursts.
    assert counts == [each * left for left in range(BURSTS, 0, -1)]
    assert eventually(lambda: progs() <= before[0] and maps() <= before[1])


WAYS = {"TSYNC": "+" * 24, "without": "-" * 24, "mixed": "+--" * 7 + "+++"}


@proves("program-type")
@pytest.mark.parametrize("tsync", WAYS.values(), ids=WAYS.keys())
def test_filters_are_installed_in_the_middle_of_a_fork_storm(tsync: str) -> None:
    """Attack: be forked by one thread while another installs. Whoever was forked after a filter
    was installed has it; nobody has a part of what one TSYNC gives; each call is looked at once by
    each filter.
    """
    before = progs(), maps()

    def case() -> tuple[int, int, list[int], list[int]]:
        filters = Filters(tsync)
        wrong, overlaps, *tally = filters.run("fork")
        return wrong, overlaps, tally, [looks.lookup_int() for looks in filters.looks]

    with privileges.sysctl(privileges.PTRACE_SCOPE, 1):
        wrong, overlaps, tally, looks = child.run(case, child.LONG)
    assert wrong == 0
    # Two by the installing thread for each filter; and many by each of the others meanwhile.
    assert all(count >= 2 for count in tally[1:])
    assert sum(tally) >= 5 * len(tsync)
    if "+" in tsync:
        assert overlaps >= 3, "no fork was under way while a filter was installed"
    else:
        assert tally == [sum(tally) - 2 * len(tsync), *[2] * len(tsync)]
    # Each child, and a child of its own, have called once for each filter there is.
    each = 2 * len(tsync)
    assert looks == [each * sum(tally[number + 1 :]) for number in range(len(tsync))]
    assert eventually(lambda: progs() <= before[0] and maps() <= before[1])


@proves("task-storage")
def test_storage_of_a_fork_storm_goes_with_its_tasks() -> None:
    """Each process counts from one in storage of its own, and the storage is freed with it."""
    before = maps()

    def case() -> int:
        obj = BpfObject("task_storage")
        obj.set_rodata(struct.pack("=I", NR.getppid))
        obj.load()
        no_new_privs()
        seccomp.install(obj.prog("count_per_process"))
        obj.close()
        wrong = 0
        for _ in range(BURSTS):
            for _ in range(BURST):
                if os.fork() == 0:
                    counts = [errno_of(NR.getppid, 1) for _ in range(CALLS)]
                    os._exit(counts != list(range(1, CALLS + 1)))
            for _ in range(BURST):
                wrong += os.wait()[1] != 0
        return wrong

    with privileges.sysctl(privileges.PTRACE_SCOPE, 1):
        assert child.run(case, child.LONG) == 0
    assert eventually(lambda: maps() <= before)
