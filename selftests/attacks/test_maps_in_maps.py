# SPDX-License-Identifier: MIT
"""Attack: slip a map into another map that a filter has not been verified for.

What a filter does with a map out of a map was checked, and partly made into instructions, for the
map that was there when the outer one was created. test_changed_from_outside.py swaps maps that fit
under load; test_lsm_denial.py has who is denied all of them.
"""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Callable

import pytest

from selftests.harness import child, newer, privileges, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R7,
    R10,
    Label,
    Source,
    alu,
    atomic_add,
    call,
    exit_,
    jump_if,
    load,
    mov,
    mov_reg,
    on_syscall,
    ret,
)
from selftests.harness.bpf import Map, Prog, bpf, load_error, map_create, prog_load
from selftests.harness.lasting import under
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.maps_in_maps import INNER, NEITHER, OUTER, first_of, looking_through
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.privileges import UNPRIVILEGED_BPF, sysctl
from selftests.harness.sys import errno_of, error_of, no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ERRNO

pytestmark = [proves("program-type"), pytest.mark.usefixtures("state_allowed")]

ENOTSUPP = 524
"""User space has no name for it."""

outer_types = pytest.mark.parametrize("outer_type", OUTER.values(), ids=OUTER.keys())
inner_types = pytest.mark.parametrize("inner_type", INNER.values(), ids=INNER.keys())


def outer_of(type_: int, inner: Map) -> Map:
    """A map of one map, which is like ``inner``; nothing is in it."""
    return map_create(type_, value_size=4, inner_map_fd=inner.fd)


def inner_of(type_: int, *values: int, **fields: int) -> Map:
    """A map with these values."""
    inner = map_create(type_, value_size=4, max_entries=len(values), **fields)
    for key, value in enumerate(values):
        inner.update(value, key)
    return inner


# Maps that do not fit


def strangers(outer: Map, template: int) -> dict[str, Map | Prog]:
    """Whatever is unlike a map of the template's type with two values of 4 bytes."""
    other = INNER["hash"] if template == INNER["array"] else INNER["array"]
    no_fit: dict[str, Map | Prog] = {
        "the other type": map_create(other, value_size=4, max_entries=2),
        "per CPU": map_create(
            uapi.BPF_MAP_TYPE_PERCPU_HASH
            if template == INNER["hash"]
            else uapi.BPF_MAP_TYPE_PERCPU_ARRAY,
            value_size=4,
            max_entries=2,
        ),
        "LRU": map_create(uapi.BPF_MAP_TYPE_LRU_HASH, value_size=4, max_entries=2),
        "larger values": map_create(template, value_size=8, max_entries=2),
        "smaller values": map_create(template, value_size=1, max_entries=2),
        "read-only": map_create(template, value_size=4, max_entries=2, map_flags=1 << 7),
        "program array": map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4, max_entries=2),
        "ring": map_create(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, mmap.PAGESIZE),
        "outer": outer,
        "other outer": outer_of(OUTER["array"], map_create(template, value_size=4, max_entries=2)),
        "program": prog_load(ret(uapi.SECCOMP_RET_ALLOW)),
    }
    if template == INNER["hash"]:
        no_fit["larger keys"] = map_create(template, key_size=8, value_size=4, max_entries=2)
        no_fit["not preallocated"] = map_create(
            template, value_size=4, max_entries=2, map_flags=uapi.BPF_F_NO_PREALLOC
        )
    else:
        no_fit["fewer"] = map_create(template, value_size=4, max_entries=1)
        no_fit["more"] = map_create(template, value_size=4, max_entries=3)
        no_fit["to be mapped"] = map_create(
            template, value_size=4, max_entries=2, map_flags=uapi.BPF_F_MMAPABLE
        )
    return no_fit


@outer_types
@inner_types
def test_maps_that_do_not_fit_are_refused_under_a_running_filter(
    outer_type: int, inner_type: int
) -> None:
    """Attack: put a map of another type, size or kind where a filter looks for one. Each is EINVAL,
    and the filter sees what was there; the control is a map that fits.
    """
    before = maps(), progs()

    def case() -> None:
        first, second = (inner_of(inner_type, number, 0) for number in (101, 102))
        outer = outer_of(outer_type, first)
        with under(prog_load(looking_through(outer))) as seen:
            assert seen.now() == {NEITHER}
            outer.update(first.fd)
            assert seen.now() == {101}
            no_fit = strangers(outer, inner_type)
            assert len(no_fit) >= 13
            errors = {
                name: error_of(lambda: outer.update(stranger.fd))  # noqa: B023 - called at once
                for name, stranger in no_fit.items()
            }
            assert set(errors.values()) == {errno.EINVAL}, errors
            assert error_of(lambda: outer.update(0x7FFF)) == errno.EBADF
            assert seen.now() == {101}
            outer.update(second.fd)
            assert seen.now() == {102}
            outer.delete()
            assert seen.now() == {NEITHER}

    child.run(case)
    assert eventually(lambda: maps() <= before[0] and progs() <= before[1])


BPF_F_INNER_MAP = 1 << 12


@outer_types
def test_nobody_reads_beyond_a_smaller_map_in_the_place_of_a_larger(outer_type: int) -> None:
    """Attack: shrink what the filter has an index for. Arrays created with BPF_F_INNER_MAP may
    differ in length, and the length that counts is that of the map that is there.
    """
    lengths = {1: {0}, 8: {0, 7}, 64: {0, 7, 40}}
    keys = (0, 7, 40, 64, 2**31, 2**32 - 1)

    def case() -> None:
        inner = {
            length: inner_of(
                INNER["array"],
                *range(length, length + length),
                map_flags=BPF_F_INNER_MAP,
            )
            for length in lengths
        }
        outer = outer_of(outer_type, inner[8])
        with under(prog_load(looking_through(outer)), *keys) as seen:
            for length in (8, 1, 64, 1):
                outer.update(inner[length].fd)
                expected = {length + key for key in lengths[length]}
                assert seen.now() == expected | {NEITHER}, length

    child.run(case)


# Maps that cannot be in a map


@outer_types
def test_prog_arrays_and_outer_maps_are_not_in_maps(outer_type: int) -> None:
    """Attack: have a filter tail call into a prog array out of a map, or look three maps deep: the
    verifier knows neither of them. Such a map cannot be created.
    """

    def case() -> dict[str, int]:
        array = map_create(value_size=4)
        templates = {
            "program array": map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4),
            "array of maps": outer_of(OUTER["array"], array),
            "hash of maps": outer_of(OUTER["hash"], array),
            "array": array,
        }
        errors = {
            name: error_of(lambda: outer_of(outer_type, template))  # noqa: B023 - called at once
            for name, template in templates.items()
        }
        not_open = error_of(lambda: map_create(outer_type, value_size=4, inner_map_fd=0x7FFF))
        return {**errors, "nothing": not_open}

    assert child.run(case) == {
        "program array": ENOTSUPP,
        "array of maps": errno.EINVAL,
        "hash of maps": errno.EINVAL,
        "array": 0,
        "nothing": errno.EBADF,
    }


@outer_types
def test_instruction_arrays_are_not_in_maps(outer_type: int) -> None:
    """Attack: jump to where an array out of a map says. Such a map cannot be created either."""
    assert error_of(lambda: outer_of(outer_type, newer.instruction_array())) == ENOTSUPP


@outer_types
@inner_types
def test_a_map_out_of_a_map_is_no_prog_array(outer_type: int, inner_type: int) -> None:
    """Attack: tail call into a map out of a map, which holds numbers. The verifier knows the type
    of what comes out; the control is a filter that looks something up in it.
    """
    outer = outer_of(outer_type, map_create(inner_type, value_size=4))

    def into(use: int) -> list[Source]:
        return on_syscall(
            NR.getppid,
            mov_reg(R7, R1),
            *first_of(outer),
            *(
                [mov_reg(R2, R0), mov_reg(R1, R7), mov(R3, 0)]
                if use == uapi.BPF_FUNC_tail_call
                else [mov_reg(R1, R0), mov_reg(R2, R10), alu("add", R2, -4)]
            ),
            call(use),
            Label("neither"),
            *ret(uapi.SECCOMP_RET_ALLOW),
        )

    assert load_error(into(uapi.BPF_FUNC_tail_call)) == errno.EINVAL
    assert load_error(into(uapi.BPF_FUNC_map_lookup_elem)) == 0


@proves("task-storage")
@outer_types
def test_task_storage_out_of_a_map_is_the_processs_and_its_owners(outer_type: int) -> None:
    """Attack: reach storage that was not verified for the leader through a map. By a map in a map
    NULL means the leader as well, a thread counts on where he was, and another map counts anew.
    """
    before = maps()

    def counters() -> Map:
        obj = BpfObject("task_storage")
        obj.set_rodata(struct.pack("=I", NR.getppid))
        obj.load()
        found = obj.map("counters")
        obj.close()
        return found

    def case() -> list[int]:
        first, second = counters(), counters()
        outer = outer_of(outer_type, first)
        program = on_syscall(
            NR.getppid,
            *first_of(outer),
            mov_reg(R1, R0),
            mov(R2, 0),
            mov(R3, 0),
            mov(R4, 1),  # BPF_LOCAL_STORAGE_GET_F_CREATE
            call(uapi.BPF_FUNC_task_storage_get),
            jump_if("eq", R0, 0, "neither"),
            mov(R1, 1),
            atomic_add(R0, 0, R1),
            load(4, R0, R0, 0),
            alu("or", R0, SECCOMP_RET_ERRNO),
            exit_(),
            Label("neither"),
            *ret(SECCOMP_RET_ERRNO | NEITHER),
        )
        no_new_privs()
        seccomp.install(prog_load(program))
        answers = [errno_of(NR.getppid)]
        for state in (first, second, first):
            outer.update(state.fd)
            answers += [errno_of(NR.getppid), child.in_thread(lambda: errno_of(NR.getppid))]
        outer.delete()
        return [*answers, errno_of(NR.getppid)]

    assert child.run(case) == [NEITHER, 1, 2, 1, 2, 3, 4, NEITHER]
    assert eventually(lambda: maps() <= before)


# Frozen and inherited


@outer_types
def test_a_frozen_outer_map_keeps_its_maps_and_not_what_they_hold(outer_type: int) -> None:
    """Attack: replace the map in a frozen map, or remove it: EPERM. What is in it is not frozen
    with it, but only if it is frozen as well.
    """

    def case() -> None:
        inner = inner_of(INNER["array"], 101)
        outer = outer_of(outer_type, inner)
        outer.update(inner.fd)
        outer.freeze()
        with under(prog_load(looking_through(outer))) as seen:
            other = inner_of(INNER["array"], 102)
            assert error_of(lambda: outer.update(other.fd)) == errno.EPERM
            assert error_of(outer.delete) == errno.EPERM
            assert seen.now() == {101}
            inner.update(103)
            assert seen.now() == {103}
            inner.freeze()
            assert error_of(lambda: inner.update(104)) == errno.EPERM
            assert seen.now() == {103}

    child.run(case)


def gated(attempt: Callable[[Map], object], frozen: bool = False) -> tuple[int, int, int]:
    """An ordinary user under a filter, who has inherited the outer map and nothing else: what he is
    answered, the errno of his attempt, and what he is answered then.
    """
    inner = inner_of(INNER["array"], errno.EACCES)
    outer = outer_of(OUTER["array"], inner)
    outer.update(inner.fd)
    if frozen:
        outer.freeze()
    prog = prog_load(looking_through(outer))

    def case() -> tuple[int, int, int]:
        no_new_privs()
        privileges.become_user()
        inner.close()
        seccomp.install(prog)
        before = errno_of(NR.getppid, 0)
        return before, error_of(lambda: attempt(outer)), errno_of(NR.getppid, 0)

    return child.run(case)


def own_map(outer: Map) -> None:
    """Put a map there with another answer."""
    own = inner_of(INNER["array"], 101)
    outer.update(own.fd)


def by_id(outer: Map) -> None:
    """Look up the map's id, open it, and write."""
    inner = Map(bpf(uapi.BPF_MAP_GET_FD_BY_ID, struct.pack("=III", outer.lookup_int(), 0, 0)), 4, 4)
    inner.update(101)


def test_who_holds_the_outer_map_changes_what_a_filter_sees() -> None:
    """Attack: put a map of one's own there. The weakness, as documented for any map; who may not
    create maps can still take away what is there, so nothing there has to be the stricter case.
    """
    with sysctl(UNPRIVILEGED_BPF, 0):
        assert gated(own_map) == (errno.EACCES, 0, 101)
    with sysctl(UNPRIVILEGED_BPF, 2):
        assert gated(own_map) == (errno.EACCES, errno.EPERM, errno.EACCES)
        assert gated(Map.delete) == (errno.EACCES, 0, NEITHER)


def test_who_holds_a_frozen_outer_map_changes_nothing() -> None:
    """Attack: the same with a frozen one; and write to the map in it, of which one learns the id
    and which that does not open.
    """
    closed = (errno.EACCES, errno.EPERM, errno.EACCES)
    with sysctl(UNPRIVILEGED_BPF, 0):
        for attempt in (own_map, Map.delete, by_id):
            assert gated(attempt, frozen=True) == closed
        assert gated(by_id) == closed
