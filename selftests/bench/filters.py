# SPDX-License-Identifier: MIT
"""The filters that are measured, by name.

Those for "mixed" say the same: getppid() is EPERM, everything else is allowed. They differ in how
they come to know it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable

from selftests.harness import uapi
from selftests.harness.asm import (
    JEQ_K,
    LD_ABS_W,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R10,
    RET_K,
    Classic,
    Label,
    Source,
    alu,
    assemble_classic,
    call,
    classic_on_syscall,
    exit_,
    jump32_if,
    jump_if,
    load,
    map_fd,
    mov,
    mov32,
    mov_reg,
    ret,
    store,
)
from selftests.harness.bpf import Fd, Map, map_create, prog_load

REFUSE = uapi.SECCOMP_RET_ERRNO | errno.EPERM
FAULT = errno.EIO
"""As native/bench/workloads.h has it."""

NO_ARGUMENT = 0xDEAD
"""A first argument that the loops never pass."""

TABLE = 512
"""Entries of the array: more than there are system calls."""

STRING = 16
"""Bytes of the stack for the caller's string."""


def classic_bitmap() -> list[Classic]:
    """By the number alone: that getpid() is allowed is known to seccomp_cache_check_allow()."""
    return classic_on_syscall(uapi.NR.getppid, REFUSE)


def classic_argument() -> list[Classic]:
    """Looks at an argument on every way to "allow", which seccomp_is_const_allow() gives up at."""
    return [
        Classic(LD_ABS_W, uapi.DATA_NR),
        Classic(JEQ_K, uapi.NR.getppid, 3, 0),
        Classic(LD_ABS_W, uapi.data_arg(0)),
        Classic(JEQ_K, NO_ARGUMENT, 1, 0),
        Classic(RET_K, uapi.SECCOMP_RET_ALLOW),
        Classic(RET_K, REFUSE),
    ]


def _classic_both(action: int) -> list[Classic]:
    """Both calls of "mixed" go to somebody else."""
    return [
        Classic(LD_ABS_W, uapi.DATA_NR),
        Classic(JEQ_K, uapi.NR.getppid, 1, 0),
        Classic(JEQ_K, uapi.NR.getpid, 0, 1),
        Classic(RET_K, action),
        Classic(RET_K, uapi.SECCOMP_RET_ALLOW),
    ]


CLASSIC: dict[str, Callable[[], list[Classic]]] = {
    "classic-bitmap": classic_bitmap,
    "classic-argument": classic_argument,
    "classic-notify": lambda: _classic_both(uapi.SECCOMP_RET_USER_NOTIF),
    "classic-trace": lambda: _classic_both(uapi.SECCOMP_RET_TRACE),
    "classic-fault": lambda: classic_on_syscall(uapi.NR.getppid, uapi.SECCOMP_RET_ERRNO | FAULT),
    "classic-fault-notify": lambda: classic_on_syscall(
        uapi.NR.getppid, uapi.SECCOMP_RET_USER_NOTIF
    ),
}


def pure() -> list[Source]:
    """classic_argument() instruction by instruction, where an answer takes two."""
    return [
        load(4, R2, R1, uapi.DATA_NR),
        jump32_if("eq", R2, uapi.NR.getppid, "refuse"),
        load(4, R2, R1, uapi.data_arg(0)),
        jump32_if("eq", R2, NO_ARGUMENT, "refuse"),
        *ret(uapi.SECCOMP_RET_ALLOW),
        Label("refuse"),
        *ret(REFUSE),
    ]


def looking_up(table: Map) -> list[Source]:
    """The answer is the map's value for the number; what the map does not know is allowed."""
    return [
        load(4, R2, R1, uapi.DATA_NR),
        store(4, R10, -4, R2),
        map_fd(R1, table.fd),
        mov_reg(R2, R10),
        alu("add", R2, -4),
        call(uapi.BPF_FUNC_map_lookup_elem),
        jump_if("eq", R0, 0, "unknown"),
        load(4, R0, R0, 0),
        exit_(),
        Label("unknown"),
        *ret(uapi.SECCOMP_RET_ALLOW),
    ]


def counting(storage: Map) -> list[Source]:
    """Counts the process's calls in its task storage, and answers by the number."""
    return [
        load(4, R6, R1, uapi.DATA_NR),
        map_fd(R1, storage.fd),
        mov(R2, 0),
        mov(R3, 0),
        mov(R4, 1),  # BPF_LOCAL_STORAGE_GET_F_CREATE
        call(uapi.BPF_FUNC_task_storage_get),
        jump_if("eq", R0, 0, "refuse"),
        load(8, R1, R0, 0),
        alu("add", R1, 1),
        store(8, R0, 0, R1),
        jump32_if("eq", R6, uapi.NR.getppid, "refuse"),
        *ret(uapi.SECCOMP_RET_ALLOW),
        Label("refuse"),
        *ret(REFUSE),
    ]


def reading() -> list[Source]:
    """The answer is what the string behind the second argument says, of either call."""
    return [
        load(4, R2, R1, uapi.DATA_NR),
        load(8, R3, R1, uapi.data_arg(1)),
        jump32_if("eq", R2, uapi.NR.getpid, "look"),
        jump32_if("eq", R2, uapi.NR.getppid, "look"),
        *ret(uapi.SECCOMP_RET_ALLOW),
        Label("look"),
        mov_reg(R1, R10),
        alu("add", R1, -STRING),
        mov(R2, STRING),
        call(uapi.BPF_FUNC_probe_read_user_str),
        load(1, R2, R10, -STRING),
        mov32(R0, uapi.SECCOMP_RET_ALLOW),
        jump32_if("ne", R2, ord("r"), "done"),
        mov32(R0, REFUSE),
        Label("done"),
        exit_(),
    ]


class Shelf:
    """Makes filters as they are asked for, and keeps them.

    :meth:`take` gives what native/bench.c calls a FILTER, and the descriptors it needs.
    """

    def __init__(self) -> None:
        self._classic: dict[str, str] = {}
        self._loaded: dict[str, Fd] = {}
        self._kept: list[object] = []
        self._directory = tempfile.mkdtemp(prefix="seccomp-bench-")

    def take(self, name: str) -> tuple[str, tuple[int, ...]]:
        """A filter by name. Raises OSError if the kernel refuses it, KeyError if there is none."""
        if "-list:" in name:
            return name, ()
        if name in CLASSIC:
            return f"classic:{self._file(name)}", ()
        prog = self._loaded.get(name)
        if prog is None:
            prog = self._loaded[name] = EXTENDED[name](self)
        return f"ebpf:{prog.fd}", (prog.fd,)

    def keep(self, thing: object) -> None:
        """Have it live as long as the filters."""
        self._kept.append(thing)

    def _file(self, name: str) -> str:
        if name not in self._classic:
            path = os.path.join(self._directory, name)  # noqa: PTH118
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(assemble_classic(CLASSIC[name]()))
            self._classic[name] = path
        return self._classic[name]


def _with_table(shelf: Shelf, type_: int, entries: int, **fields: int) -> Fd:
    table = map_create(type_, value_size=4, max_entries=entries, **fields)
    shelf.keep(table)
    for nr in range(entries) if type_ == uapi.BPF_MAP_TYPE_ARRAY else (uapi.NR.getpid,):
        table.update(uapi.SECCOMP_RET_ALLOW, nr)
    table.update(REFUSE, uapi.NR.getppid)
    return prog_load(looking_up(table))


def _with_storage(shelf: Shelf) -> Fd:
    from selftests.harness.objects import load_object

    # Task storage needs BTF, which a compiled object has.
    made = load_object("task_storage")
    storage = made.map("counters")
    shelf.keep((made, storage))
    return prog_load(counting(storage))


def _injecting(shelf: Shelf) -> Fd:
    from selftests.gallery import inject_fault

    filter_ = inject_fault.load("getppid", FAULT)
    shelf.keep(filter_)
    return filter_.prog


EXTENDED: dict[str, Callable[[Shelf], Fd]] = {
    "pure": lambda shelf: prog_load(pure()),  # noqa: ARG005
    "array": lambda shelf: _with_table(shelf, uapi.BPF_MAP_TYPE_ARRAY, TABLE),
    "hash": lambda shelf: _with_table(shelf, uapi.BPF_MAP_TYPE_HASH, TABLE),
    "storage": _with_storage,
    "user-string": lambda shelf: prog_load(reading()),  # noqa: ARG005
    "inject-fault": _injecting,
}
