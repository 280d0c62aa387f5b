# SPDX-License-Identifier: MIT
"""A case: a program, its loader, what is installed beside it, and the system calls made under it.

What the guest's program writes as JSON and reads as lines of text (selftests/native/fuzz/case.h).
Instructions are edited here, for minimising: jumps and calls go where they went.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import PROJECT_ROOT
from lab.core.cache import atomic_write
from lab.errors import UsageError

SAVED = PROJECT_ROOT / "selftests" / "fuzz_cases"
"""Cases that the suite replays (selftests/test_fuzz_cases.py)."""

DIFFERENTIAL = "differential"

FIELDS = (
    *("kind", "loader", "scope", "style", "prog_flags", "attach_type", "gpl"),
    *("no_new_privs", "fd_array_cnt", "unprivileged_bpf_disabled", "drops_capabilities"),
    *("filter_flags", "beneath", "above", "insn", "classic", "call"),
)

LATER = {"fd_array_cnt": 0, "unprivileged_bpf_disabled": 0, "drops_capabilities": 0}
"""Fields that older cases do not have, and what they mean by that."""

JMP, JMP32, LD_IMM64, CALL, EXIT, GOTO, LONG_GOTO = 0x05, 0x06, 0x18, 0x85, 0x95, 0x05, 0x06
PSEUDO_CALL, PSEUDO_FUNC = 1, 4


@dataclass(frozen=True)
class Case:
    """``fields`` are those of :data:`FIELDS`: numbers, words, and lists of texts."""

    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, value: object) -> Case:
        """From JSON. Raises UsageError if a field is missing, unknown or of the wrong kind."""
        if not isinstance(value, dict) or {*value, *LATER} != set(FIELDS):
            raise UsageError(f"Not a case: its fields have to be {', '.join(FIELDS)}.")
        value = {name: value.get(name, LATER.get(name)) for name in FIELDS}
        for name in ("insn", "classic", "call"):
            lines = value[name]
            if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
                raise UsageError(f"Not a case: {name} is no list of texts.")
        return cls(value)

    @property
    def differential(self) -> bool:
        """Whether it compares a classic program with its translation."""
        return bool(self.fields["kind"] == DIFFERENTIAL)

    def with_(self, **changes: Any) -> Case:
        """A copy with other fields."""
        return Case({**self.fields, **changes})

    def text(self) -> str:
        """The lines that the guest's program reads."""
        lines = []
        for name in FIELDS:
            value = self.fields[name]
            values = value if isinstance(value, list) else [value]
            lines += [f"{name} {int(v) if isinstance(v, bool) else v}" for v in values]
        return "\n".join([*lines, "end", ""])

    def size(self) -> int:
        """Instructions and system calls: what minimising makes smaller."""
        program = self.fields["classic"] if self.differential else self.fields["insn"]
        return len(program) + len(self.fields["call"])


@dataclass(frozen=True)
class SavedCase:
    """A case in a file: ``title`` says what it is about, ``expected`` what the guest's program has
    to tell of it ("finding" is "" where nothing is wrong), ``found`` where it comes from.
    """

    title: str
    case: Case
    expected: Mapping[str, str]
    found: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        value = {
            "title": self.title,
            "found": dict(self.found),
            "expected": dict(self.expected),
            "case": dict(self.case.fields),
        }
        atomic_write(path, json.dumps(value, indent=1) + "\n")


# --- eBPF instructions ----------------------------------------------------------------------


@dataclass(frozen=True)
class Insn:
    """An instruction, of 8 bytes or, where ``second`` is not "", 16; ``target``: the place, in
    instructions of 8 bytes, to which it jumps, calls or points, None if to none.
    """

    first: str
    second: str
    target: int | None

    @property
    def width(self) -> int:
        """Slots of 8 bytes."""
        return 2 if self.second else 1


def _target(raw: bytes, place: int) -> int | None:
    code, registers, off, imm = map(int, struct.unpack("<BBhi", raw))
    source = registers >> 4
    if code == CALL:
        return place + 1 + imm if source == PSEUDO_CALL else None
    if code == LD_IMM64:
        return place + 1 + imm if source == PSEUDO_FUNC else None
    if code == LONG_GOTO:
        return place + 1 + imm
    if code & 7 in (JMP, JMP32) and code != EXIT:
        return place + 1 + off
    return None


def _aimed(raw: bytes, place: int, target: int) -> bytes:
    code, registers, off, imm = struct.unpack("<BBhi", raw)
    distance = target - place - 1
    if code in (CALL, LD_IMM64, LONG_GOTO):
        imm = distance
    else:
        off = max(-(1 << 15), min((1 << 15) - 1, distance))
    return struct.pack("<BBhi", code, registers, off, imm)


def decode(program: Sequence[str]) -> list[Insn]:
    """The instructions of a program in hexadecimal; a wide one's second half belongs to it."""
    insns, place = [], 0
    while place < len(program):
        raw = bytes.fromhex(program[place])
        wide = raw[0] == LD_IMM64 and place + 1 < len(program)
        second = program[place + 1] if wide else ""
        insns.append(Insn(program[place], second, _target(raw, place)))
        place += 2 if wide else 1
    return insns


def without(program: Sequence[str], removed: set[int]) -> list[str]:
    """The program without some of the instructions of :func:`decode`, by number.

    A jump to one that is gone goes to what followed it.
    """
    insns = decode(program)
    old_place, new_place, moved = 0, 0, {}
    for number, insn in enumerate(insns):
        moved[old_place] = new_place
        old_place += insn.width
        new_place += 0 if number in removed else insn.width
    moved[old_place] = new_place
    out: list[str] = []
    for number, insn in enumerate(insns):
        if number in removed:
            continue
        raw = bytes.fromhex(insn.first)
        if insn.target is not None and insn.target in moved:
            raw = _aimed(raw, len(out), moved[insn.target])
        out.append(raw.hex())
        out += [insn.second] if insn.second else []
    return out


# --- classic instructions -------------------------------------------------------------------


def classic_without(program: Sequence[str], removed: set[int]) -> list[str]:
    """Likewise for a classic program, whose lines are "CODE JT JF K"."""
    moved, kept = {}, 0
    for place in range(len(program) + 1):
        moved[place] = kept
        kept += place not in removed
    out: list[str] = []
    for place, line in enumerate(program):
        if place in removed:
            continue
        code, jt, jf, k = line.split()
        here = len(out)

        def aim(distance: int, place: int = place, here: int = here) -> int:
            return moved.get(place + 1 + distance, here + 1 + distance) - here - 1

        kind = int(code, 16)
        if kind == GOTO:
            k = f"{aim(int(k, 16)):08x}"
        elif kind & 7 == JMP:
            jt, jf = str(aim(int(jt))), str(aim(int(jf)))
        out.append(f"{code} {jt} {jf} {k}")
    return out
