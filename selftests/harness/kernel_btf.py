# SPDX-License-Identifier: MIT
"""BTF ids of the running kernel's own functions and variables, found by libbpf."""

from __future__ import annotations

import ctypes
import functools

from selftests.harness.objects import libbpf

KIND_FUNC, KIND_VAR = 12, 14
"""enum in include/uapi/linux/btf.h"""


@functools.cache
def _vmlinux() -> int:
    lib = libbpf()
    lib.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    lib.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
    handle = lib.btf__load_vmlinux_btf()
    if not handle:
        raise OSError(ctypes.get_errno(), "libbpf cannot read the kernel's BTF")
    return int(handle)


def _find(name: str, kind: int) -> int:
    found = int(_lookup(name, kind))
    if found < 0:
        raise LookupError(f"{name} is not in the kernel's BTF")
    return found


@functools.cache
def _lookup(name: str, kind: int) -> int:
    handle = _vmlinux()
    return int(libbpf().btf__find_by_name_kind(handle, name.encode(), kind))


def function_id(name: str) -> int:
    """BTF id of a kernel function. Raises LookupError, OSError."""
    return _find(name, KIND_FUNC)


def variable_id(name: str) -> int:
    """BTF id of a kernel variable (per-CPU ones are what the BTF has). Raises LookupError."""
    return _find(name, KIND_VAR)
