# SPDX-License-Identifier: MIT
"""A BTF blob by hand: what a compiler tells of a filter's functions.

Layout and kinds: include/uapi/linux/btf.h, Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from selftests.harness.asm import Source, place_of
from selftests.harness.bpf import Fd, btf_load
from selftests.harness.sys import address, buffer

MAGIC, VERSION = 0xEB9F, 1
INT, PTR, FUNC, FUNC_PROTO, DECL_TAG = 1, 2, 12, 13, 17
GLOBAL = 1
"""BTF_FUNC_GLOBAL: the verifier looks at such a function by itself, by what BTF says of it."""


class _Blob:
    """Types, numbered from 1 on, and their names."""

    def __init__(self) -> None:
        self._types: list[bytes] = []
        self._strings = b"\0"

    def add(
        self, kind: int, name: str = "", size_or_type: int = 0, vlen: int = 0, *more: int
    ) -> int:
        """One type; ``more`` are the words behind it. Its number."""
        self._types.append(
            struct.pack("=III", self.name(name), kind << 24 | vlen, size_or_type)
            + struct.pack(f"={len(more)}I", *more)
        )
        return len(self._types)

    def name(self, text: str) -> int:
        """Where a name is; 0 for none."""
        if not text:
            return 0
        place = len(self._strings)
        self._strings += text.encode() + b"\0"
        return place

    def __bytes__(self) -> bytes:
        types = b"".join(self._types)
        sizes = (0, len(types), len(types), len(self._strings))
        return struct.pack("=HBBI4I", MAGIC, VERSION, 0, 24, *sizes) + types + self._strings


class FuncInfo:
    """Fields of BPF_PROG_LOAD that tell of a program's functions; has to outlive the call."""

    def __init__(self, btf: Fd, records: list[tuple[int, int]]) -> None:
        self._btf = btf
        self._memory = buffer(b"".join(struct.pack("=II", *record) for record in records))
        self.fields = {
            "prog_btf_fd": btf.fd,
            "func_info_rec_size": 8,
            "func_info": address(self._memory),
            "func_info_cnt": len(records),
        }


def untrusted_argument(program: Iterable[Source], function: str) -> FuncInfo:
    """What says that ``function`` is ``int function(const char *p __arg_untrusted)``, global.

    bpf_helpers.h of libbpf has that name for the declaration tag "arg:untrusted". Raises OSError.
    """
    blob = _Blob()
    char = blob.add(INT, "char", 1, 0, 8)
    number = blob.add(INT, "int", 4, 0, 1 << 24 | 32)
    pointer = blob.add(PTR, "", char)
    main = blob.add(FUNC, "filter", blob.add(FUNC_PROTO, "", number), GLOBAL)
    proto = blob.add(FUNC_PROTO, "", number, 1, blob.name("p"), pointer)
    reader = blob.add(FUNC, function, proto, GLOBAL)
    blob.add(DECL_TAG, "arg:untrusted", reader, 0, 0)
    return FuncInfo(btf_load(bytes(blob)), [(0, main), (place_of(program, function), reader)])
