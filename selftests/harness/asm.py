# SPDX-License-Identifier: MIT
"""A small assembler: eBPF instructions as functions, classic BPF as tuples.

An instruction is 8 bytes (struct bpf_insn); 64-bit immediates take two. Programs are lists of
instructions and of :class:`Label`; jumps name a label, or give an offset.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from selftests.harness import uapi

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)

SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
ALU = {"add": 0x00, "sub": 0x10, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70, "xor": 0xA0}
JUMPS = {
    "eq": 0x10,
    "gt": 0x20,
    "ge": 0x30,
    "set": 0x40,
    "ne": 0x50,
    "sgt": 0x60,
    "lt": 0xA0,
    "le": 0xB0,
}


@dataclass(frozen=True)
class Insn:
    """One instruction; ``target`` names the label for its offset, or a call's immediate."""

    code: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0
    target: str = ""
    imm64_high: int | None = None


@dataclass(frozen=True)
class Label:
    """A place in the program."""

    name: str


Source = Insn | Label


def mov(dst: int, imm: int) -> Insn:
    """``dst = imm``, 64 bit, sign-extended from 32."""
    return Insn(0xB7, dst, imm=imm)


def mov32(dst: int, imm: int) -> Insn:
    """``dst = imm``, zero-extended from 32 bit."""
    return Insn(0xB4, dst, imm=imm)


def mov_reg(dst: int, src: int) -> Insn:
    """``dst = src``."""
    return Insn(0xBF, dst, src)


def alu(op: str, dst: int, imm: int) -> Insn:
    """``dst op= imm``, 64 bit."""
    return Insn(0x07 | ALU[op], dst, imm=imm)


def alu_reg(op: str, dst: int, src: int) -> Insn:
    """``dst op= src``, 64 bit."""
    return Insn(0x0F | ALU[op], dst, src)


def load(size: int, dst: int, src: int, off: int) -> Insn:
    """``dst = *(size bytes *)(src + off)``."""
    return Insn(0x61 | SIZES[size], dst, src, off)


def store(size: int, dst: int, off: int, src: int) -> Insn:
    """``*(size bytes *)(dst + off) = src``."""
    return Insn(0x63 | SIZES[size], dst, src, off)


def store_imm(size: int, dst: int, off: int, imm: int) -> Insn:
    """``*(size bytes *)(dst + off) = imm``."""
    return Insn(0x62 | SIZES[size], dst, 0, off, imm)


def atomic_add(dst: int, off: int, src: int) -> Insn:
    """``lock *(u64 *)(dst + off) += src``."""
    return Insn(0xDB, dst, src, off)


def imm64(dst: int, value: int, pseudo: int = 0, high: int | None = None) -> Insn:
    """``dst = value``; with ``pseudo`` the two halves are what BPF_PSEUDO_* says."""
    if high is None:
        high = value >> 32 if not pseudo else 0
    return Insn(0x18, dst, pseudo, 0, value & 0xFFFFFFFF, imm64_high=high & 0xFFFFFFFF)


def map_fd(dst: int, fd: int) -> Insn:
    """``dst =`` the map behind ``fd``."""
    return imm64(dst, fd, uapi.BPF_PSEUDO_MAP_FD)


def map_value(dst: int, fd: int, off: int = 0) -> Insn:
    """``dst =`` address of byte ``off`` in the first value of the array behind ``fd``."""
    return imm64(dst, fd, uapi.BPF_PSEUDO_MAP_VALUE, off)


def call(helper: int) -> Insn:
    """Call a helper function by its number."""
    return Insn(0x85, imm=helper)


def call_label(name: str) -> Insn:
    """Call a function of the same program."""
    return Insn(0x85, src=uapi.BPF_PSEUDO_CALL, target=name)


def call_kfunc(btf_id: int) -> Insn:
    """Call a kernel function of vmlinux by its BTF id."""
    return Insn(0x85, src=uapi.BPF_PSEUDO_KFUNC_CALL, imm=btf_id)


def jump(target: str) -> Insn:
    """``goto target``."""
    return Insn(0x05, target=target)


def jump_if(op: str, dst: int, imm: int, target: str) -> Insn:
    """``if (dst op imm) goto target``, 64 bit, ``imm`` sign-extended."""
    return Insn(0x05 | JUMPS[op], dst, imm=imm, target=target)


def jump32_if(op: str, dst: int, imm: int, target: str) -> Insn:
    """``if ((u32)dst op imm) goto target``."""
    return Insn(0x06 | JUMPS[op], dst, imm=imm, target=target)


def exit_() -> Insn:
    """Return R0."""
    return Insn(0x95)


def ret(value: int) -> list[Source]:
    """``return value`` (32 bit)."""
    return [mov32(R0, value), exit_()]


def on_syscall(nr: int, *then: Source, otherwise: int = uapi.SECCOMP_RET_ALLOW) -> list[Source]:
    """Run ``then`` for system call ``nr`` with the context in R6; return ``otherwise`` for others.

    ``then`` has to end with an exit.
    """
    return [
        mov_reg(R6, R1),
        load(4, R2, R1, uapi.DATA_NR),
        jump32_if("ne", R2, nr, "otherwise"),
        *then,
        Label("otherwise"),
        *ret(otherwise),
    ]


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value


def _registers(insn: Insn) -> int:
    """The two 4-bit fields are in the order of the machine's bit fields."""
    if sys.byteorder == "little":
        return insn.dst | insn.src << 4
    return insn.src | insn.dst << 4


def _laid_out(program: Iterable[Source]) -> tuple[dict[str, int], list[tuple[int, Insn]]]:
    """Where the labels are, and each instruction with its place."""
    places: dict[str, int] = {}
    insns: list[tuple[int, Insn]] = []
    at = 0
    for item in program:
        if isinstance(item, Label):
            places[item.name] = at
            continue
        insns.append((at, item))
        at += 2 if item.imm64_high is not None else 1
    return places, insns


def place_of(program: Iterable[Source], label: str) -> int:
    """The number of the instruction behind a label. Raises KeyError."""
    return _laid_out(program)[0][label]


def assemble(program: Iterable[Source]) -> bytes:
    """The program's instructions as the kernel takes them. Raises KeyError for an unknown label."""
    places, insns = _laid_out(program)
    out = bytearray()
    for place, insn in insns:
        off, imm = insn.off, insn.imm
        if insn.target:
            distance = places[insn.target] - place - 1
            if insn.code == 0x85:
                imm = distance
            else:
                off = distance
        out += struct.pack("=BBhi", insn.code, _registers(insn), off, _signed32(imm))
        if insn.imm64_high is not None:
            out += struct.pack("=BBhi", 0, 0, 0, _signed32(insn.imm64_high))
    return bytes(out)


@dataclass(frozen=True)
class Classic:
    """One instruction of classic BPF (struct sock_filter)."""

    code: int
    k: int = 0
    jt: int = 0
    jf: int = 0


LD_ABS_W = 0x20
JEQ_K = 0x15
RET_K = 0x06


def classic_ret(value: int) -> list[Classic]:
    """``return value``."""
    return [Classic(RET_K, value)]


def classic_on_syscall(
    nr: int, then: int, otherwise: int = uapi.SECCOMP_RET_ALLOW
) -> list[Classic]:
    """``return nr == NR ? then : otherwise``."""
    return [
        Classic(LD_ABS_W, uapi.DATA_NR),
        Classic(JEQ_K, nr, 0, 1),
        Classic(RET_K, then),
        Classic(RET_K, otherwise),
    ]


def assemble_classic(program: Sequence[Classic]) -> bytes:
    """Array of struct sock_filter."""
    return b"".join(struct.pack("=HBBI", i.code, i.jt, i.jf, i.k) for i in program)
