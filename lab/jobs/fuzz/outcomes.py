# SPDX-License-Identifier: MIT
"""What came of loading: the verifier's words sorted into kinds, counted and shown.

The guest counts texts with numbers taken out, each with an errno before it. Here texts that differ
in a name become one kind. A text that no row knows is a kind of its own: nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ACCEPTED = "accepted"

ROWS: tuple[tuple[str, str], ...] = (
    ("not loaded: hangs 7.3", r"^ELOOP: not loaded"),
    ("taking too long", r"took too long"),
    ("state denied by the LSM", r"are refused to this program: denied by LSM"),
    ("helper not offered", r"program of this type cannot use helper|cannot call GPL"),
    ("helper unknown", r"invalid func unknown"),
    ("capability missing", r"allowed (?:only )?(?:for|to) (?:CAP_|root)|only to CAP_|CAP_PERFMON"),
    ("kernel function refused", r"calling kernel function|kernel function call|kfunc"),
    ("kernel memory refused", r"needs a loader with CAP_SYS_PTRACE"),
    ("BTF id refused", r"pseudo btf_id|invalid btf|btf_vmlinux|ldimm# with invalid"),
    ("opcode unknown", r"unknown opcode|invalid BPF_(?:ALU|LD|ATOMIC)|unknown insn"),
    ("reserved field used", r"uses reserved fields|uses unsupported fields"),
    ("register number", r"^R#? is invalid|R# is invalid"),
    ("register not initialised", r"!read_ok"),
    ("frame pointer written", r"frame pointer is read only"),
    ("jump out of range", r"jump out of range|last insn is not an exit|gotol"),
    ("jump into a wide instruction", r"jump into the middle"),
    ("unreachable code", r"unreachable insn"),
    ("endless loop", r"infinite loop|back-edge"),
    ("too complex", r"too complex|too large|too many (?:states|insns)|complexity"),
    ("indirect jump", r"jump table|gotox|indirect jump"),
    ("function call out of range", r"call to invalid destination|invalid subprog"),
    ("recursion", r"recursive call"),
    ("stack of all calls too large", r"combined stack size|call stack of"),
    ("context access", r"invalid bpf_context access|ctx access|dereference of modified ctx"),
    ("context written or moved", r"into R# ctx|stores into R# ctx|ctx pointer"),
    ("stack out of bounds", r"invalid (?:write|read|unbounded|variable).*stack|stack R#.*off"),
    ("stack misaligned", r"misaligned stack"),
    ("access misaligned", r"misaligned"),
    ("spilled pointer damaged", r"corrupt spilled|register spill|spilled"),
    ("map value out of bounds", r"invalid access to map value|outside of the allowed memory"),
    ("map value, no such place", r"direct value (?:access|offset)"),
    ("offset not bounded", r"min value is negative|unbounded (?:memory|min)|max value is"),
    ("null not checked", r"_or_null"),
    ("map read-only or opaque", r"into map forbidden|from map forbidden|only read from|map_ptr"),
    ("map of no use here", r"cannot pass map_type|map type|doesn't support"),
    ("not a map", r"not pointing to valid bpf_map|fd_idx|unrecognized bpf_ld_imm#"),
    ("map field", r"in struct bpf_map"),
    (
        "pointer arithmetic",
        r"pointer (?:arithmetic|[-+*/|&^%<>s]+=)|math between|operator .* on poi",
    ),
    ("pointer subtracted", r"subtract"),
    ("pointer compared", r"comparison prohibited"),
    ("pointer leaked", r"leaks addr"),
    ("not a pointer", r"invalid mem access|invalid read from"),
    ("argument of the wrong type", r"type=.*expected=|expected pointer|arg#|must be a known"),
    ("reference kept or lost", r"reference|Unreleased"),
    ("shift or division", r"invalid shift|div by zero"),
    ("wide instruction", r"invalid bpf_ld_imm#|BPF_LD_IMM#"),
    ("atomic operation", r"BPF_ATOMIC|atomic"),
    ("packet load", r"BPF_LD_\[ABS"),
    ("address space", r"addr_space_cast"),
    ("sleepable", r"sleepable"),
    ("callback", r"callback"),
    ("attach type, flags or licence", r"^E\w+: $"),
    ("not reached to the end", r"R0|exit"),
)
"""Kind, and what the text has in it; the first row that fits counts."""

_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in ROWS)


def kind_of(text: str) -> str:
    """The kind of a guest's outcome text, such as ``"EACCES: R# !read_ok"``."""
    if text == ACCEPTED:
        return ACCEPTED
    for kind, pattern in _COMPILED:
        if pattern.search(text):
            return kind
    return text


@dataclass(frozen=True)
class Row:
    """A kind: how many programs, the first one's index, and an example of the text."""

    kind: str
    count: int
    first: int
    text: str


@dataclass(frozen=True)
class Outcomes:
    """All kinds, the most frequent first."""

    rows: tuple[Row, ...] = ()

    @classmethod
    def of(cls, counts: Iterable[Sequence[object]]) -> Outcomes:
        """From the guest's list of (text, count, index)."""
        merged: dict[str, Row] = {}
        for text, count, first in counts:
            kind = kind_of(str(text))
            number, index = int(str(count)), int(str(first))
            known = merged.get(kind)
            if known is None:
                merged[kind] = Row(kind, number, index, str(text))
            else:
                merged[kind] = Row(kind, known.count + number, min(known.first, index), known.text)
        return cls(tuple(sorted(merged.values(), key=lambda row: -row.count)))

    @property
    def total(self) -> int:
        """Programs."""
        return sum(row.count for row in self.rows)

    @property
    def accepted(self) -> int:
        """Programs that were loaded."""
        return sum(row.count for row in self.rows if row.kind == ACCEPTED)

    @property
    def rejections(self) -> int:
        """Kinds of refusal."""
        return sum(1 for row in self.rows if row.kind != ACCEPTED)

    @property
    def accepted_percent(self) -> float:
        """The share of all programs that was accepted, in percent."""
        return 100 * self.accepted / self.total if self.total else 0.0

    def table(self) -> list[str]:
        """Lines to be read by people."""
        total = max(1, self.total)
        return [
            f"{row.count:8}  {100 * row.count / total:5.1f} %  {row.kind:32}  "
            + (f"e.g. {row.first}: {row.text}" if row.kind != ACCEPTED else "")
            for row in self.rows
        ]
