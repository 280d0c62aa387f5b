# SPDX-License-Identifier: MIT
"""What of struct seccomp_data a filter can read, and what it reads there."""

from __future__ import annotations

import errno
import struct
import sys

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R6,
    Label,
    Source,
    alu,
    alu_reg,
    call_label,
    exit_,
    load,
    map_value,
    mov,
    mov_reg,
    on_syscall,
    ret,
    store,
    store_imm,
)
from selftests.harness.bpf import load_error, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs, syscall
from selftests.harness.uapi import DATA_SIZE, NR, SECCOMP_RET_ALLOW, data_arg

pytestmark = proves("program-type")

FIELDS = [(uapi.DATA_NR, 4), (uapi.DATA_ARCH, 4), (uapi.DATA_IP, 8)] + [
    (data_arg(index), 8) for index in range(6)
]

LOW_HALF = 0 if sys.byteorder == "little" else 4
"""Where in an argument its lower 32 bits are."""


def inside_one_field(offset: int, size: int) -> bool:
    """Naturally aligned, and not across the border of a field."""
    return offset % size == 0 and any(
        start <= offset and offset + size <= start + length for start, length in FIELDS
    )


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_reads_have_to_stay_inside_a_field(size: int) -> None:
    """A read of each width is allowed exactly where it is aligned and within one field."""
    for offset in range(DATA_SIZE + 8):
        expected = 0 if inside_one_field(offset, size) else errno.EACCES
        program = [load(size, R2, R1, offset), *ret(SECCOMP_RET_ALLOW)]
        assert load_error(program) == expected, f"{size} bytes at {offset}"


def test_nothing_before_the_context_can_be_read() -> None:
    """A negative offset is refused."""
    assert load_error([load(4, R2, R1, -4), *ret(0)]) == errno.EACCES


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_nothing_can_be_written(size: int) -> None:
    """A write of each width is refused at each place."""
    for offset in (uapi.DATA_NR, uapi.DATA_IP, data_arg(0), data_arg(5)):
        assert load_error([mov(R2, 0), store(size, R1, offset, R2), *ret(0)]) == errno.EACCES
        assert load_error([store_imm(size, R1, offset, 0), *ret(0)]) == errno.EACCES


def test_the_offset_has_to_be_constant() -> None:
    """An offset that depends on the context is refused."""
    program = [
        load(8, R2, R1, data_arg(0)),
        alu("and", R2, 8),
        alu_reg("add", R1, R2),
        load(8, R3, R1, data_arg(0)),
        *ret(0),
    ]
    assert load_error(program) == errno.EACCES


ARGS = (
    0x1122334455667788,
    0x99AABBCCDDEEFF00,
    0x0123456789ABCDEF,
    0xFFFFFFFFFFFFFFFF,
    0x8000000000000000,
    0x7FFFFFFF80000001,
)


def seen_at(offset: int, size: int) -> int:
    """What a filter reads there when getppid() is called with ARGS."""

    def case() -> int:
        result = map_create()
        program = on_syscall(
            NR.getppid,
            load(size, R2, R6, offset),
            map_value(R1, result.fd),
            store(8, R1, 0, R2),
            *ret(SECCOMP_RET_ALLOW),
        )
        no_new_privs()
        seccomp.install(prog_load(program))
        syscall(NR.getppid, *ARGS)
        return result.lookup_int()

    return child.run(case)


@pytest.mark.parametrize("index", range(6))
def test_arguments_are_read_whole(index: int) -> None:
    """Each of the six arguments has all of its 64 bits."""
    assert seen_at(data_arg(index), 8) == ARGS[index]


@pytest.mark.parametrize(("part", "size"), [(0, 4), (4, 4), (2, 2), (6, 2), (0, 1), (5, 1)])
def test_arguments_are_read_in_parts(part: int, size: int) -> None:
    """A narrow read gives the bytes that memory has there, in the machine's byte order."""
    memory = struct.pack("=Q", ARGS[0])
    expected = int.from_bytes(memory[part : part + size], sys.byteorder)
    assert seen_at(data_arg(0) + part, size) == expected


def test_number_and_architecture() -> None:
    """nr is the system call's, arch is the audit architecture."""
    assert seen_at(uapi.DATA_NR, 4) == NR.getppid
    assert seen_at(uapi.DATA_ARCH, 4) == NR.audit


def test_instruction_pointer() -> None:
    """instruction_pointer is where in the C library the call was made: in an executable page."""

    def case() -> tuple[int, list[tuple[int, int]]]:
        result = map_create()
        program = on_syscall(
            NR.getppid,
            load(8, R2, R6, uapi.DATA_IP),
            map_value(R1, result.fd),
            store(8, R1, 0, R2),
            *ret(SECCOMP_RET_ALLOW),
        )
        no_new_privs()
        seccomp.install(prog_load(program))
        syscall(NR.getppid)
        with open("/proc/self/maps", encoding="ascii") as maps:  # noqa: PTH123
            lines = [line.split() for line in maps]
        ranges = [line[0].split("-") for line in lines if "x" in line[1]]
        return result.lookup_int(), [(int(a, 16), int(b, 16)) for a, b in ranges]

    pointer, ranges = child.run(case)
    assert any(low <= pointer < high for low, high in ranges)


def test_a_function_of_the_program_gets_the_context() -> None:
    """The context can be passed to a subprogram, which reads it."""

    def case() -> int:
        program: list[Source] = [
            *on_syscall(NR.getppid, mov_reg(R1, R6), call_label("errno_of_argument"), exit_()),
            Label("errno_of_argument"),
            load(4, R0, R1, data_arg(0) + LOW_HALF),
            alu("or", R0, uapi.SECCOMP_RET_ERRNO),
            exit_(),
        ]
        no_new_privs()
        seccomp.install(prog_load(program))
        return errno_of(NR.getppid, 21)

    assert child.run(case) == 21
