# SPDX-License-Identifier: MIT
"""Filters in C, through the libbpf that the tree under test has built."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

from selftests.harness.bpf import Map, Prog

ENVIRONMENT = "SECCOMP_LAB_GUEST"


def guest_file(name: str) -> Path:
    """A file that the lab has built for the guest. Raises FileNotFoundError."""
    directory = os.environ.get(ENVIRONMENT)
    if not directory:
        raise FileNotFoundError(f"${ENVIRONMENT} is not set: nothing was built for the guest")
    path = Path(directory, name)
    if not path.exists():
        raise FileNotFoundError(f"{path} was not built")
    return path


@functools.cache
def libbpf() -> ctypes.CDLL:
    """The library, with its messages kept for :func:`messages`."""
    lib = ctypes.CDLL(str(guest_file("libbpf.so")), use_errno=True)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, restype, *argtypes in (
        ("bpf_object__open_file", pointer, text, pointer),
        ("bpf_object__load", number, pointer),
        ("bpf_object__close", None, pointer),
        ("bpf_object__find_program_by_name", pointer, pointer, text),
        ("bpf_object__find_map_by_name", pointer, pointer, text),
        ("bpf_program__fd", number, pointer),
        ("bpf_program__set_attach_target", number, pointer, number, text),
        ("bpf_program__insn_cnt", ctypes.c_size_t, pointer),
        ("bpf_program__type", number, pointer),
        ("bpf_program__set_autoload", number, pointer, ctypes.c_bool),
        ("bpf_map__fd", number, pointer),
        ("bpf_map__key_size", ctypes.c_uint32, pointer),
        ("bpf_map__value_size", ctypes.c_uint32, pointer),
        ("bpf_map__set_initial_value", number, pointer, pointer, ctypes.c_size_t),
        ("libbpf_bpf_prog_type_str", text, number),
        ("libbpf_probe_bpf_prog_type", number, number, pointer),
        ("libbpf_probe_bpf_helper", number, number, number, pointer),
        ("libbpf_find_vmlinux_btf_id", number, text, number),
        ("libbpf_prog_type_by_name", number, text, pointer, pointer),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = restype, argtypes
    return lib


class BpfObject:
    """A ``*.bpf.o`` file, opened; :meth:`load` hands it to the kernel.

    Its programs and maps live until :meth:`close`, or as long as duplicates of their descriptors.
    """

    def __init__(self, name: str) -> None:
        path = guest_file(f"{name}.bpf.o")
        self._handle = libbpf().bpf_object__open_file(str(path).encode(), None)
        if not self._handle:
            code = ctypes.get_errno()
            raise OSError(code, f"libbpf cannot open {path}: {os.strerror(code)}")

    def set_rodata(self, data: bytes) -> None:
        """Replace the start of .rodata, before loading."""
        handle = self._find_map(".rodata")
        size = libbpf().bpf_map__value_size(handle)
        whole = ctypes.create_string_buffer(data.ljust(size, b"\0"), size)
        if libbpf().bpf_map__set_initial_value(handle, whole, size):
            raise OSError(ctypes.get_errno(), "bpf_map__set_initial_value")

    def load(self) -> BpfObject:
        """Create the maps, load the programs. Raises OSError."""
        error = libbpf().bpf_object__load(self._handle)
        if error:
            raise OSError(-error, f"bpf_object__load: {os.strerror(-error)}")
        return self

    def prog(self, name: str) -> Prog:
        """A program by the name of its function, once loaded."""
        return Prog(os.dup(libbpf().bpf_program__fd(self._find_prog(name))))

    def want(self, name: str) -> BpfObject:
        """Have a program loaded whose section says that it is not by default ("?")."""
        libbpf().bpf_program__set_autoload(self._find_prog(name), True)
        return self

    def set_attach_target(self, name: str, target: Prog, function: str) -> None:
        """Say which function of another program this one is to extend, before loading."""
        error = libbpf().bpf_program__set_attach_target(
            self._find_prog(name), target.fd, function.encode()
        )
        if error:
            raise OSError(-error, f"bpf_program__set_attach_target: {os.strerror(-error)}")

    def _find_prog(self, name: str) -> int:
        handle = libbpf().bpf_object__find_program_by_name(self._handle, name.encode())
        if not handle:
            raise KeyError(name)
        return int(handle)

    def prog_type(self, name: str) -> int:
        """The type that libbpf took from the program's section."""
        return int(libbpf().bpf_program__type(self._find_prog(name)))

    def insns(self, name: str) -> int:
        """How many instructions a program has."""
        return int(libbpf().bpf_program__insn_cnt(self._find_prog(name)))

    def map(self, name: str) -> Map:
        """A map by its name, once loaded; ``.data``, ``.bss`` and ``.rodata`` are maps too."""
        handle = self._find_map(name)
        lib = libbpf()
        return Map(
            os.dup(lib.bpf_map__fd(handle)),
            lib.bpf_map__key_size(handle),
            lib.bpf_map__value_size(handle),
        )

    def _find_map(self, name: str) -> int:
        handle = libbpf().bpf_object__find_map_by_name(self._handle, name.encode())
        if not handle:
            raise KeyError(name)
        return int(handle)

    def close(self) -> None:
        """Let go of everything."""
        handle, self._handle = self._handle, None
        if handle:
            libbpf().bpf_object__close(handle)


def load_object(name: str) -> BpfObject:
    """Open and load ``NAME.bpf.o``. Raises OSError."""
    return BpfObject(name).load()


def vmlinux_btf_id(name: str, attach_type: int) -> int:
    """BTF id of what a program of this attach type would attach to. Raises OSError."""
    found = int(libbpf().libbpf_find_vmlinux_btf_id(name.encode(), attach_type))
    if found < 0:
        raise OSError(-found, f"{name} is not in the kernel's BTF")
    return found
