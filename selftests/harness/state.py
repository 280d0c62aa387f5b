# SPDX-License-Identifier: MIT
"""Everything that is state: what a filter can use, and a tier 1 filter cannot."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from selftests.harness import kernel_btf, memory, newer, privileges, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R10,
    Label,
    Source,
    alu,
    call,
    call_label,
    exit_,
    imm64,
    jump_if,
    load,
    map_fd,
    map_value,
    mov,
    mov_reg,
    ret,
    store_imm,
)
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.lacks import LACKS, Lacks
from selftests.harness.patches import proves
from selftests.harness.uapi import SECCOMP_RET_ALLOW
from selftests.harness.verdicts import PURE


@dataclass(frozen=True)
class Load:
    """A program that uses something, with what it needs to be loaded."""

    program: list[Source]
    fd_array: tuple[int, ...] = ()
    fd_array_cnt: int = 0
    keep: tuple[Map, ...] = ()


@dataclass(frozen=True)
class Thing:
    """Something that is state: ``what`` the log calls it, and how a filter would use it.

    ``unless``: what the verifier says instead, to a loader who is denied nothing, where the
    kernel's configuration lacks something for it. ``proves``: the patches that it takes.
    """

    name: str
    what: str
    build: Callable[[], Load] = field(repr=False)
    unless: str = ""
    proves: tuple[str, ...] = ("map-restriction",)


ALLOW = ret(SECCOMP_RET_ALLOW)


def _map_by_fd() -> Load:
    counters = map_create()
    return Load([map_fd(R1, counters.fd), *ALLOW], keep=(counters,))


def _map_by_index() -> Load:
    counters = map_create()
    program = [imm64(R1, 0, uapi.BPF_PSEUDO_MAP_IDX), *ALLOW]
    return Load(program, fd_array=(counters.fd,), keep=(counters,))


def _map_by_index_in_counted_array() -> Load:
    newer.need_bound_maps()
    by_index = _map_by_index()
    return Load(by_index.program, by_index.fd_array, 1, by_index.keep)


def _map_bound_and_not_mentioned() -> Load:
    newer.need_bound_maps()
    counters = map_create()
    return Load(PURE, fd_array=(counters.fd,), fd_array_cnt=1, keep=(counters,))


def _value_read() -> Load:
    data = map_create()
    return Load([map_value(R1, data.fd), load(8, R2, R1, 0), *ALLOW], keep=(data,))


def _value_written() -> Load:
    data = map_create()
    return Load([map_value(R1, data.fd), store_imm(8, R1, 0, 1), *ALLOW], keep=(data,))


BPF_F_RDONLY_PROG = 1 << 7


def _constant_read() -> Load:
    data = map_create(map_flags=BPF_F_RDONLY_PROG)
    data.freeze()
    return Load([map_value(R1, data.fd), load(8, R2, R1, 0), *ALLOW], keep=(data,))


def _value_by_index() -> Load:
    data = map_create()
    program = [imm64(R1, 0, uapi.BPF_PSEUDO_MAP_IDX_VALUE, 0), load(8, R2, R1, 0), *ALLOW]
    return Load(program, fd_array=(data.fd,), keep=(data,))


def _map_field() -> Load:
    counters = map_create()
    # struct bpf_map begins with its operations.
    return Load([map_fd(R1, counters.fd), load(8, R2, R1, 0), *ALLOW], keep=(counters,))


def _arena() -> Load:
    privileges.need_jit()
    arena = map_create(
        uapi.BPF_MAP_TYPE_ARENA, 0, 0, 1, map_flags=uapi.BPF_F_MMAPABLE, map_extra=1 << 44
    )
    return Load([map_fd(R1, arena.fd), *ALLOW], keep=(arena,))


def _insn_array() -> Load:
    privileges.need_jit()
    # struct bpf_insn_array_value: offset of an instruction, and three fields for the kernel
    targets = newer.instruction_array()
    targets.update(struct.pack("=IIII", 0, 0, 0, 0))
    targets.freeze()
    return Load([map_value(R1, targets.fd), *ALLOW], keep=(targets,))


def _tail_call() -> Load:
    table = map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4)
    program = [map_fd(R2, table.fd), mov(R3, 0), call(uapi.BPF_FUNC_tail_call), *ALLOW]
    return Load(program, keep=(table,))


def _ring_buffer() -> Load:
    ring = map_create(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096)
    return Load([map_fd(R1, ring.fd), *ALLOW], keep=(ring,))


def _outer_map(type_: int, *use: Source) -> Load:
    inner = map_create(value_size=4)
    outer = map_create(type_, value_size=4, inner_map_fd=inner.fd)
    outer.update(inner.fd)
    return Load([map_fd(R1, outer.fd), *use, *ALLOW], keep=(outer, inner))


def _array_of_maps() -> Load:
    return _outer_map(uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS)


def _hash_of_maps() -> Load:
    return _outer_map(uapi.BPF_MAP_TYPE_HASH_OF_MAPS)


def _inner_map() -> Load:
    key = [store_imm(4, R10, -4, 0), mov_reg(R2, R10), alu("add", R2, -4)]
    lookup = call(uapi.BPF_FUNC_map_lookup_elem)
    use = [*key, lookup, jump_if("eq", R0, 0, "none"), mov_reg(R1, R0), *key, lookup]
    return _outer_map(uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, *use, Label("none"))


def _outer_map_not_mentioned() -> Load:
    newer.need_bound_maps()
    bound = _array_of_maps()
    return Load(PURE, fd_array=(bound.keep[0].fd,), fd_array_cnt=1, keep=bound.keep)


def _helper() -> Load:
    return Load([call(uapi.BPF_FUNC_ktime_get_ns), *ALLOW])


def _helper_in_function() -> Load:
    program = [
        call_label("clock"),
        *ALLOW,
        Label("clock"),
        call(uapi.BPF_FUNC_ktime_get_ns),
        exit_(),
    ]
    return Load(program)


def _memory() -> Load:
    report = memory.report_map()
    return Load(memory.reader(report), keep=(report,))


def _kernel_variable() -> Load:
    variable = kernel_btf.variable_id("bpf_prog_active")
    return Load([imm64(R1, variable, uapi.BPF_PSEUDO_BTF_ID), *ALLOW])


def _kernel_function_address() -> Load:
    function = kernel_btf.function_id("bpf_lsm_seccomp_extended")
    return Load([imm64(R1, function, uapi.BPF_PSEUDO_BTF_ID), *ALLOW])


def loaded(ready: Load) -> Prog:
    """The program that uses the thing. Raises BpfError."""
    return prog_load(ready.program, fd_array=ready.fd_array, fd_array_cnt=ready.fd_array_cnt)


MAPS_IN_MAPS = (_array_of_maps, _hash_of_maps, _inner_map, _outer_map_not_mentioned)


def maps_in_maps() -> list[Load]:
    """Uses of maps in maps, but for those that this guest lacks and may lack."""
    found = []
    for build in MAPS_IN_MAPS:
        try:
            found.append(build())
        except Lacks as lacks:
            if lacks.what not in LACKS:
                raise
    return found


MEMORY = ("map-restriction", "user-memory")
"""Without user-memory no loader is allowed what leads to memory."""

THINGS = (
    Thing("map_by_descriptor", "maps", _map_by_fd),
    Thing("map_by_index", "maps", _map_by_index),
    Thing("map_by_index_in_counted_array", "maps", _map_by_index_in_counted_array),
    Thing("map_bound_and_not_mentioned", "maps", _map_bound_and_not_mentioned),
    Thing("value_read", "maps", _value_read),
    Thing("value_written", "maps", _value_written),
    Thing("value_by_index", "maps", _value_by_index),
    Thing("constant_read", "maps", _constant_read),
    Thing("map_field", "maps", _map_field, proves=MEMORY),
    Thing("arena", "maps", _arena, proves=MEMORY),
    Thing("insn_array", "maps", _insn_array),
    Thing("tail_call", "maps", _tail_call),
    Thing("ring_buffer", "maps", _ring_buffer),
    Thing("array_of_maps", "maps", _array_of_maps),
    Thing("hash_of_maps", "maps", _hash_of_maps),
    Thing("inner_map", "maps", _inner_map),
    Thing("outer_map_bound_and_not_mentioned", "maps", _outer_map_not_mentioned),
    Thing("helper", "helpers", _helper),
    Thing("helper_in_function", "helpers", _helper_in_function),
    Thing("user_memory", "maps", _memory, proves=MEMORY),
    # Variables have known addresses with CONFIG_KALLSYMS_ALL only.
    Thing(
        "kernel_variable",
        "kernel variables",
        _kernel_variable,
        "failed to find the address",
        MEMORY,
    ),
    Thing("kernel_function_address", "kernel variables", _kernel_function_address, proves=MEMORY),
)


def each_of(things: Iterable[Thing]) -> pytest.MarkDecorator:
    """A test for each, with the patches that it takes."""
    params = [pytest.param(thing, id=thing.name, marks=proves(*thing.proves)) for thing in things]
    return pytest.mark.parametrize("thing", params)
