# SPDX-License-Identifier: MIT
"""Attack: change what a filter's maps hold, from outside, while it runs on another CPU.

test_maps.py has which programs a prog array takes. Here: under load a filter sees what was there
before a change or what is there after it, and never anything else.

The slot of the tail call is no constant: a constant one is a jump that the JIT patches, and
emulating two CPUs QEMU 7.2 loses such patches now and then ("Oops: int3"; the base with a socket
filter dies of it within seconds as well).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import (
    R1,
    R2,
    R3,
    R6,
    Source,
    call,
    load,
    map_fd,
    mov_reg,
    on_syscall,
    ret,
)
from selftests.harness.bpf import Prog, map_create, prog_load
from selftests.harness.lifetimes import eventually, maps
from selftests.harness.maps_in_maps import INNER, NEITHER, OUTER, looking_through
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ERRNO

pytestmark = [proves("program-type"), pytest.mark.usefixtures("state_allowed")]

CALLS = 3000


def answers(program: list[Source], change: Callable[[], object]) -> Counter[int]:
    """What a task under the filter sees while another process changes its maps for ever."""
    prog = prog_load(program)

    def case() -> Counter[int]:
        no_new_privs()
        seccomp.install(prog)
        seen: Counter[int] = Counter()
        end = time.monotonic() + 20
        while sum(seen.values()) < CALLS or (len(seen) < 2 and time.monotonic() < end):
            seen[errno_of(NR.getppid, 0)] += 1
        return seen

    def for_ever() -> None:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        while True:
            change()

    with child.running(for_ever):
        return child.run(case)


def answering(number: int) -> Prog:
    """The target of a tail call."""
    return prog_load(ret(SECCOMP_RET_ERRNO | number))


def test_a_prog_array_changes_under_a_running_filter() -> None:
    """Target one, target two, or none."""
    table = map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4, max_entries=1)
    targets = [answering(101), answering(102)]
    program = on_syscall(
        NR.getppid,
        mov_reg(R1, R6),
        map_fd(R2, table.fd),
        load(8, R3, R6, uapi.data_arg(0)),
        call(uapi.BPF_FUNC_tail_call),
        *ret(SECCOMP_RET_ERRNO | NEITHER),
    )

    def change() -> None:
        for target in targets:
            table.update(target.fd)
        table.delete()

    seen = answers(program, change)
    assert set(seen) <= {101, 102, NEITHER}
    assert len(seen) >= 2


@pytest.mark.parametrize("keep", [True, False], ids=["two inner maps", "new inner maps"])
@pytest.mark.parametrize("inner_type", INNER.values(), ids=INNER.keys())
@pytest.mark.parametrize("outer_type", OUTER.values(), ids=OUTER.keys())
def test_a_map_in_a_map_changes_under_a_running_filter(
    outer_type: int, inner_type: int, keep: bool
) -> None:
    """Inner maps are swapped, removed, and freed as soon as they are; none is left behind."""
    before = maps()
    inner = [map_create(inner_type, value_size=4), map_create(inner_type, value_size=4)]
    for number, state in enumerate(inner):
        state.update(101 + number)
    outer = map_create(outer_type, value_size=4, max_entries=2, inner_map_fd=inner[0].fd)

    def change() -> None:
        for number in range(2):
            state = inner[number]
            if not keep:
                state = map_create(inner_type, value_size=4)
                state.update(101 + number)
            outer.update(state.fd)
            if not keep:
                state.close()
        outer.delete()

    seen = answers(looking_through(outer), change)
    assert set(seen) <= {101, 102, NEITHER}
    assert len(seen) >= 2
    for state in (outer, *inner):
        state.close()
    assert eventually(lambda: maps() <= before)
