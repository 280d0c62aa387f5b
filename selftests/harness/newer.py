# SPDX-License-Identifier: MIT
"""What 7.3 has and an older base may not: it is tried, and Lacks raised if it is not there.

That it is not there counts only where the base's row says so (lab/source/bases.py).
"""

from __future__ import annotations

import errno
import functools

from selftests.harness import btf, child, uapi
from selftests.harness.asm import R0, R1, Label, Source, call_label, exit_, load, mov, ret
from selftests.harness.bpf import BpfError, Map, map_create, prog_load
from selftests.harness.lacks import BOUND_MAPS, INSN_ARRAYS, UNTRUSTED, UPROBE, Lacks
from selftests.harness.sys import errno_of
from selftests.harness.uapi import NR

UPROBE_CALL = max(NR.always_allowed, default=0)


def instruction_array() -> Map:
    """An array of instructions with room for one."""
    try:
        return map_create(uapi.BPF_MAP_TYPE_INSN_ARRAY, 4, 16, 1)
    except BpfError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Lacks(INSN_ARRAYS, "map type 34 gives EINVAL") from None


def need_bound_maps() -> None:
    """Programs own the maps that ``fd_array_cnt`` counts, be they mentioned or not."""
    try:
        prog_load(ret(0), uapi.BPF_PROG_TYPE_SOCKET_FILTER, fd_array=(-1,), fd_array_cnt=1)
    except BpfError as error:
        # What is not closed may not be, but first there may be no such field (CHECK_ATTR).
        if error.errno == errno.EINVAL:
            raise Lacks(BOUND_MAPS, "fd_array_cnt gives EINVAL") from None


def need_untrusted_arguments() -> None:
    """Functions may have arguments tagged ``__arg_untrusted``."""
    program: list[Source] = [
        mov(R1, 0),
        call_label("peek"),
        exit_(),
        Label("peek"),
        load(1, R0, R1, 0),
        exit_(),
    ]
    info = btf.untrusted_argument(program, "peek")
    try:
        prog_load(program, uapi.BPF_PROG_TYPE_SOCKET_FILTER, functions=info.fields)
    except BpfError as error:
        if "unsupported set of tags" not in error.log:
            raise
        raise Lacks(UNTRUSTED, "the tag arg:untrusted gives EOPNOTSUPP") from None


@functools.cache
def has_uprobe_call() -> bool:
    """Whether a probed function is entered by a system call. Raises nothing."""
    return child.run(lambda: errno_of(UPROBE_CALL)) != errno.ENOSYS


def need_uprobe_call() -> None:
    """A probed function is entered by a system call, and not by a breakpoint."""
    if not has_uprobe_call():
        raise Lacks(UPROBE, f"system call {UPROBE_CALL} gives ENOSYS")
