# SPDX-License-Identifier: MIT
"""Maps: the common kinds, global variables of C, and tail calls."""

from __future__ import annotations

import errno
import mmap
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R10,
    Label,
    Source,
    alu,
    atomic_add,
    call,
    exit_,
    jump,
    jump_if,
    load,
    map_fd,
    mov,
    mov_reg,
    on_syscall,
    ret,
    store,
    store_imm,
)
from selftests.harness.bpf import BpfError, Map, Prog, map_create, prog_load
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs, syscall
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, data_arg

pytestmark = [proves("program-type"), pytest.mark.usefixtures("state_allowed")]


def install(prog: Prog) -> None:
    """Install a filter on the calling process."""
    no_new_privs()
    seccomp.install(prog)


def ask(argument: int = 0) -> int:
    """Make the filtered system call with an argument; the errno that the filter gives."""
    return errno_of(NR.getppid, argument)


@dataclass(frozen=True)
class Kind:
    """A kind of map that holds counters. ``per_cpu``: one for each CPU."""

    name: str
    type: int
    per_cpu: bool = False
    fields: dict[str, int] = field(default_factory=dict)


KINDS = (
    Kind("hash", uapi.BPF_MAP_TYPE_HASH),
    Kind(
        "hash_not_preallocated",
        uapi.BPF_MAP_TYPE_HASH,
        False,
        {"map_flags": uapi.BPF_F_NO_PREALLOC},
    ),
    Kind("lru_hash", uapi.BPF_MAP_TYPE_LRU_HASH),
    Kind("array", uapi.BPF_MAP_TYPE_ARRAY),
    Kind("percpu_hash", uapi.BPF_MAP_TYPE_PERCPU_HASH, True),
    Kind("percpu_array", uapi.BPF_MAP_TYPE_PERCPU_ARRAY, True),
)


def counting(counters: Map) -> list[Source]:
    """A filter that counts calls of getppid in the element of key 0."""
    return on_syscall(
        NR.getppid,
        store_imm(4, R10, -4, 0),
        map_fd(R1, counters.fd),
        mov_reg(R2, R10),
        alu("add", R2, -4),
        call(uapi.BPF_FUNC_map_lookup_elem),
        jump_if("ne", R0, 0, "found"),
        store_imm(8, R10, -16, 1),
        map_fd(R1, counters.fd),
        mov_reg(R2, R10),
        alu("add", R2, -4),
        mov_reg(R3, R10),
        alu("add", R3, -16),
        mov(R4, 0),
        call(uapi.BPF_FUNC_map_update_elem),
        jump("done"),
        Label("found"),
        mov(R1, 1),
        atomic_add(R0, 0, R1),
        Label("done"),
        *ret(SECCOMP_RET_ALLOW),
    )


def possible_cpus() -> int:
    """How many values a per-CPU element has."""
    spans = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    return sum(int(s.split("-")[-1]) - int(s.split("-")[0]) + 1 for s in spans)


def total(counters: Map, kind: Kind) -> int:
    """The counter, summed up over CPUs."""
    count = possible_cpus() if kind.per_cpu else 1
    return sum(struct.unpack(f"={count}Q", counters.lookup(size=8 * count)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_filter_counts_in_a_map(kind: Kind) -> None:
    """What a filter counts in a map of this kind is what user space reads there."""

    def case() -> int:
        counters = map_create(kind.type, **kind.fields)
        install(prog_load(counting(counters)))
        for _ in range(5):
            seccomp.getppid()
        return total(counters, kind)

    assert child.run(case) == 5


def test_processes_under_one_filter_share_its_maps() -> None:
    """A map is the filter's, not the process's: a child that inherits the filter counts on."""

    def case() -> int:
        counters = map_create()
        install(prog_load(counting(counters)))
        seccomp.getppid()
        child.run(seccomp.getppid)
        return counters.lookup_int()

    assert child.run(case) == 2


def remembering(seen: Map) -> list[Source]:
    """A filter that puts the call's first argument into a map; a failure is the call's errno."""
    return on_syscall(
        NR.getppid,
        load(8, R1, R6, data_arg(0)),
        store(8, R10, -8, R1),
        store(8, R10, -16, R1),
        map_fd(R1, seen.fd),
        mov_reg(R2, R10),
        alu("add", R2, -8),
        mov_reg(R3, R10),
        alu("add", R3, -16),
        mov(R4, 0),
        call(uapi.BPF_FUNC_map_update_elem),
        jump_if("eq", R0, 0, "kept"),
        alu("xor", R0, -1),
        alu("add", R0, 1),
        alu("and", R0, 0xFFF),
        alu("or", R0, SECCOMP_RET_ERRNO),
        exit_(),
        Label("kept"),
        *ret(SECCOMP_RET_ALLOW),
    )


def test_a_full_hash_map_refuses_and_the_filter_can_tell() -> None:
    """The third key of a hash map for two is refused with E2BIG; the first two stay."""

    def case() -> list[int]:
        seen = map_create(uapi.BPF_MAP_TYPE_HASH, key_size=8, max_entries=2)
        install(prog_load(remembering(seen)))
        return [ask(1), ask(2), ask(3), ask(1), seen.lookup_int(1), seen.lookup_int(2)]

    assert child.run(case) == [0, 0, errno.E2BIG, 0, 1, 2]


def test_an_lru_map_forgets_instead_of_refusing() -> None:
    """An LRU map takes any number of keys and has lost the early ones afterwards."""

    def case() -> tuple[set[int], bool]:
        seen = map_create(uapi.BPF_MAP_TYPE_LRU_HASH, key_size=8, max_entries=16)
        install(prog_load(remembering(seen)))
        answers = {ask(key) for key in range(300)}
        try:
            seen.lookup(0)
        except OSError:
            return answers, True
        return answers, False

    assert child.run(case) == ({0}, True)


RING = mmap.PAGESIZE
HEADER, BUSY = 8, 1 << 31


def records(ring: Map) -> list[bytes]:
    """What is in a ring buffer that nobody has consumed from (kernel/bpf/ringbuf.c)."""
    # The consumer's page comes first; then the producer's, then the data, mapped twice.
    with mmap.mmap(
        ring.fd, RING + 2 * RING, mmap.MAP_SHARED, mmap.PROT_READ, offset=mmap.PAGESIZE
    ) as view:
        end = struct.unpack_from("=Q", view, 0)[0]
        found, at = [], 0
        while at < end:
            length = struct.unpack_from("=I", view, RING + at)[0]
            assert not length & BUSY
            found.append(view[RING + at + HEADER : RING + at + HEADER + length])
            at += (HEADER + length + 7) // 8 * 8
        return found


def test_a_filter_reports_through_a_ring_buffer() -> None:
    """Each call leaves a record in the ring buffer, in order and with the call's argument."""

    def case() -> list[int]:
        ring = map_create(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, RING)
        program = on_syscall(
            NR.getppid,
            load(8, R1, R6, data_arg(0)),
            store(8, R10, -8, R1),
            map_fd(R1, ring.fd),
            mov_reg(R2, R10),
            alu("add", R2, -8),
            mov(R3, 8),
            mov(R4, 0),
            call(uapi.BPF_FUNC_ringbuf_output),
            *ret(SECCOMP_RET_ALLOW),
        )
        install(prog_load(program))
        for argument in (11, 22, 33):
            syscall(NR.getppid, argument)
        return [struct.unpack("=Q", record)[0] for record in records(ring)]

    assert child.run(case) == [11, 22, 33]


@proves("libbpf")
def test_global_variables_of_a_c_filter() -> None:
    """.rodata, .data and .bss work: a constant set before the load, a budget, a counter."""

    def case() -> tuple[list[int], int, list[int]]:
        globals_ = BpfObject("globals")
        globals_.set_rodata(struct.pack("=I", NR.getppid))
        globals_.load()
        install(globals_.prog("spend_budget"))
        until_spent = [ask() for _ in range(4)]
        seen = globals_.map(".bss").lookup_int()
        globals_.map(".data").update(1)
        return until_spent, seen, [ask(), ask()]

    assert child.run(case) == ([0, 0, 0, errno.EDQUOT], 4, [0, errno.EDQUOT])


def caller(table: Map) -> list[Source]:
    """A filter that goes on in the program that the call's first argument chooses, else EPERM."""
    return on_syscall(
        NR.getppid,
        mov_reg(R1, R6),
        map_fd(R2, table.fd),
        load(8, R3, R6, data_arg(0)),
        call(uapi.BPF_FUNC_tail_call),
        *ret(SECCOMP_RET_ERRNO | errno.EPERM),
    )


def target(base: int) -> list[Source]:
    """A program that makes an errno of the call's second argument."""
    return [
        load(4, R0, R1, data_arg(1)),
        alu("and", R0, 0xFF),
        alu("add", R0, base),
        alu("or", R0, SECCOMP_RET_ERRNO),
        exit_(),
    ]


def prog_array() -> Map:
    """Two slots for programs."""
    return map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4, max_entries=2)


def put(table: Map, prog: Prog, slot: int = 0) -> None:
    """Make a program the target of a slot."""
    table.update(prog.fd, slot)


def socket_filter() -> Prog:
    """A program that is no seccomp filter."""
    return prog_load([mov(R0, 0), exit_()], uapi.BPF_PROG_TYPE_SOCKET_FILTER)


def test_a_tail_call_goes_on_in_another_filter_with_the_same_context() -> None:
    """The target answers, and sees the arguments; an empty slot or none leaves it to the caller."""

    def case() -> list[int]:
        table = prog_array()
        install(prog_load(caller(table)))
        put(table, prog_load(target(0)))
        return [errno_of(NR.getppid, slot, 40) for slot in (0, 1, 2, 2**32)]

    assert child.run(case) == [40, errno.EPERM, errno.EPERM, 40]


def test_the_target_of_a_tail_call_can_be_replaced_and_removed() -> None:
    """Whoever holds the prog array changes what the filter does, without a new filter."""

    def case() -> list[int]:
        table = prog_array()
        install(prog_load(caller(table)))
        answers = []
        for base in (10, 20):
            put(table, prog_load(target(base)))
            answers.append(errno_of(NR.getppid, 0, 1))
        table.delete(0)
        return [*answers, errno_of(NR.getppid, 0, 1)]

    assert child.run(case) == [11, 21, errno.EPERM]


def test_a_prog_array_empties_with_its_last_descriptor() -> None:
    """Targets go away when no descriptor of the array is left, though the filter still uses it."""

    def case() -> tuple[int, int]:
        table = prog_array()
        install(prog_load(caller(table)))
        put(table, prog_load(target(0)))
        before = errno_of(NR.getppid, 0, 5)
        table.close()
        deadline = time.monotonic() + 5
        # A kernel worker does it.
        while (after := errno_of(NR.getppid, 0, 5)) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        return before, after

    assert child.run(case) == (5, errno.EPERM)


def update_error(table: Map, prog: Prog) -> int:
    """0, or why a program is not taken into a prog array."""
    try:
        table.update(prog.fd, 0)
    except OSError as error:
        return error.errno or -1
    return 0


def test_only_filters_are_taken_as_targets() -> None:
    """A prog array that a filter uses refuses programs of other types with EINVAL."""

    def case() -> list[int]:
        table = prog_array()
        using = prog_load(caller(table))
        others = [
            prog_load([mov(R0, 0), exit_()], type_)
            for type_ in (uapi.BPF_PROG_TYPE_SOCKET_FILTER, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT)
        ]
        answers = [update_error(table, prog) for prog in (*others, prog_load(target(0)))]
        using.close()
        return answers

    assert child.run(case) == [errno.EINVAL, errno.EINVAL, 0]


def test_a_prog_array_of_another_type_is_not_taken() -> None:
    """A filter cannot tail call into an array that holds programs of another type."""

    def case() -> int:
        table = prog_array()
        put(table, socket_filter(), 0)
        try:
            prog_load(caller(table))
        except BpfError as error:
            return error.errno or -1
        return 0

    assert child.run(case) == errno.EINVAL


def test_a_filter_is_not_taken_as_target_by_other_types() -> None:
    """A socket filter's prog array refuses a seccomp filter: it would run on another context."""

    def case() -> int:
        table = prog_array()
        put(table, socket_filter(), 1)
        return update_error(table, prog_load(target(0)))

    assert child.run(case) == errno.EINVAL
