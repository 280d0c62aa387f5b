# SPDX-License-Identifier: MIT
"""What the tests of the fuzzer share: cases, and what a guest tells."""

from __future__ import annotations

import struct
from typing import Any

from lab.jobs.fuzz.case import Case
from lab.jobs.fuzz.figures import COUNTS


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> str:
    return struct.pack("<BBhi", code, dst | src << 4, off, imm).hex()


EXIT = insn(0x95)


def case(**fields: Any) -> Case:
    base = {
        **dict.fromkeys(("style", "prog_flags", "attach_type", "filter_flags"), 0),
        **{"kind": "open", "loader": "bpf", "scope": 2, "gpl": 1, "no_new_privs": 1},
        **{"beneath": "nobody", "above": "notifier", "insn": [], "classic": [], "call": []},
    }
    return Case.parse({**base, **fields})


def numbered(count: int) -> list[str]:
    return [*(insn(0xB7, imm=n) for n in range(count)), EXIT]


def outcomes_event(counts: list[list[object]], **told: Any) -> dict[str, Any]:
    row = {"event": "outcomes", "counts": counts, "loaders": {"root": [90, 60]}}
    return {**row, **dict.fromkeys(COUNTS, 9), **told}
