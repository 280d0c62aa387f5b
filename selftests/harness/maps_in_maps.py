# SPDX-License-Identifier: MIT
"""Maps in maps, and filters that look into them."""

from __future__ import annotations

import errno

from selftests.harness import uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R6,
    R10,
    Label,
    Source,
    alu,
    call,
    exit_,
    jump_if,
    load,
    map_fd,
    mov_reg,
    on_syscall,
    ret,
    store,
    store_imm,
)
from selftests.harness.bpf import Map
from selftests.harness.uapi import NR, SECCOMP_RET_ERRNO

NEITHER = errno.EDOM
"""The answer where there is no map, or no value in it."""

OUTER = {"array": uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, "hash": uapi.BPF_MAP_TYPE_HASH_OF_MAPS}
INNER = {"array": uapi.BPF_MAP_TYPE_ARRAY, "hash": uapi.BPF_MAP_TYPE_HASH}


def first_of(outer: Map) -> list[Source]:
    """R0 is the map in the map, or there is a jump to "neither"."""
    return [
        store_imm(4, R10, -4, 0),
        mov_reg(R2, R10),
        alu("add", R2, -4),
        map_fd(R1, outer.fd),
        call(uapi.BPF_FUNC_map_lookup_elem),
        jump_if("eq", R0, 0, "neither"),
    ]


def looking_through(outer: Map) -> list[Source]:
    """Answers getppid(KEY) with the value of the map in the map, or NEITHER."""
    return on_syscall(
        NR.getppid,
        *first_of(outer),
        mov_reg(R1, R0),
        load(8, R3, R6, uapi.data_arg(0)),
        store(4, R10, -4, R3),
        mov_reg(R2, R10),
        alu("add", R2, -4),
        call(uapi.BPF_FUNC_map_lookup_elem),
        jump_if("eq", R0, 0, "neither"),
        load(4, R0, R0, 0),
        alu("or", R0, SECCOMP_RET_ERRNO),
        exit_(),
        Label("neither"),
        *ret(SECCOMP_RET_ERRNO | NEITHER),
    )
