# SPDX-License-Identifier: MIT
"""bpf(2): programs, maps, pins and ids. Descriptors close with their object."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from selftests.harness import uapi
from selftests.harness.asm import Source, assemble
from selftests.harness.sys import address, buffer, error_of, syscall

LOG_SIZE = 1 << 18
U32, U64 = ctypes.c_uint32, ctypes.c_uint64


class ProgLoadAttr(ctypes.Structure):
    """``union bpf_attr``, the struct of BPF_PROG_LOAD."""

    _fields_ = (
        ("prog_type", U32),
        ("insn_cnt", U32),
        ("insns", U64),
        ("license", U64),
        ("log_level", U32),
        ("log_size", U32),
        ("log_buf", U64),
        ("kern_version", U32),
        ("prog_flags", U32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", U32),
        ("expected_attach_type", U32),
        ("prog_btf_fd", U32),
        ("func_info_rec_size", U32),
        ("func_info", U64),
        ("func_info_cnt", U32),
        ("line_info_rec_size", U32),
        ("line_info", U64),
        ("line_info_cnt", U32),
        ("attach_btf_id", U32),
        ("attach_prog_fd", U32),
        ("core_relo_cnt", U32),
        ("fd_array", U64),
        ("core_relos", U64),
        ("core_relo_rec_size", U32),
        ("log_true_size", U32),
        ("prog_token_fd", U32),
        ("fd_array_cnt", U32),
    )


class MapCreateAttr(ctypes.Structure):
    """``union bpf_attr``, the struct of BPF_MAP_CREATE."""

    _fields_ = (
        ("map_type", U32),
        ("key_size", U32),
        ("value_size", U32),
        ("max_entries", U32),
        ("map_flags", U32),
        ("inner_map_fd", U32),
        ("numa_node", U32),
        ("map_name", ctypes.c_char * 16),
        ("map_ifindex", U32),
        ("btf_fd", U32),
        ("btf_key_type_id", U32),
        ("btf_value_type_id", U32),
        ("btf_vmlinux_value_type_id", U32),
        ("map_extra", U64),
    )


class BpfError(OSError):
    """bpf(2) failed; ``log`` is what the verifier wrote."""

    def __init__(self, code: int, what: str, log: str = "") -> None:
        super().__init__(code, f"{what}: {os.strerror(code)}\n{log}".rstrip())
        self.log = log


def bpf(command: int, attr: bytes | ctypes.Structure) -> int:
    """The raw system call. Raises OSError."""
    data = bytes(attr)
    return syscall(uapi.NR.bpf, command, buffer(data), len(data))


class Fd:
    """A descriptor that is closed with the object that owns it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        """The descriptor, or -1 once closed."""
        return self.fd

    def close(self) -> None:
        """Close it; does nothing the second time."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


class Prog(Fd):
    """A loaded program; ``log`` is the verifier's."""

    def __init__(self, fd: int, log: str = "") -> None:
        super().__init__(fd)
        self.log = log

    @property
    def id(self) -> int:
        """The kernel's id of the program."""
        return object_id(self.fd)


def prog_load(
    program: Iterable[Source],
    type_: int = uapi.BPF_PROG_TYPE_SECCOMP,
    *,
    license_: bytes = b"GPL",
    log_level: int = 1,
    fd_array: tuple[int, ...] = (),
    functions: Mapping[str, int] = MappingProxyType({}),
    **fields: int,
) -> Prog:
    """Load a program; ``functions`` (:class:`selftests.harness.btf.FuncInfo`) and ``fields`` are
    further fields of :class:`ProgLoadAttr`. Raises BpfError.
    """
    code = assemble(program)
    insns, licence = buffer(code), buffer(license_)
    log = buffer(b"\0" * (LOG_SIZE if log_level else 1))
    fds = buffer(struct.pack(f"={len(fd_array)}i", *fd_array))
    attr = ProgLoadAttr(
        prog_type=type_,
        insn_cnt=len(code) // 8,
        insns=address(insns),
        license=address(licence),
        log_level=log_level,
        log_size=LOG_SIZE if log_level else 0,
        log_buf=address(log) if log_level else 0,
        prog_name=b"lab",
        fd_array=address(fds) if fd_array else 0,
    )
    for name, value in {**functions, **fields}.items():
        setattr(attr, name, value)
    try:
        fd = bpf(uapi.BPF_PROG_LOAD, attr)
    except OSError as error:
        text = log.value.decode(errors="backslashreplace")
        raise BpfError(error.errno or 0, "BPF_PROG_LOAD", text) from None
    return Prog(fd, log.value.decode(errors="backslashreplace"))


def load_error(program: Iterable[Source]) -> int:
    """0 if a seccomp program loads, else the errno."""
    return error_of(lambda: prog_load(program))


class Map(Fd):
    """A map with keys and values of fixed size, in bytes."""

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        super().__init__(fd)
        self.key_size = key_size
        self.value_size = value_size

    @property
    def id(self) -> int:
        """The kernel's id of the map."""
        return object_id(self.fd)

    def lookup(self, key: bytes | int = 0, size: int | None = None) -> bytes:
        """The value; ``size`` if it is not ``value_size`` (per-CPU maps). Raises OSError."""
        value = buffer(b"\0" * (size or self.value_size))
        self._element(uapi.BPF_MAP_LOOKUP_ELEM, key, value)
        return value.raw

    def lookup_int(self, key: bytes | int = 0) -> int:
        """The first 4 or 8 bytes of the value as a number."""
        data = self.lookup(key)
        return int.from_bytes(data[: 8 if len(data) >= 8 else 4], _ORDER)

    def update(self, value: bytes | int, key: bytes | int = 0) -> None:
        """Set the value. Raises OSError."""
        if isinstance(value, int):
            value = value.to_bytes(self.value_size, _ORDER)
        self._element(uapi.BPF_MAP_UPDATE_ELEM, key, buffer(value))

    def delete(self, key: bytes | int = 0) -> None:
        """Delete the element. Raises OSError."""
        self._element(uapi.BPF_MAP_DELETE_ELEM, key, None)

    def freeze(self) -> None:
        """No more writes from user space."""
        bpf(uapi.BPF_MAP_FREEZE, struct.pack("=I", self.fd))

    def _element(self, command: int, key: bytes | int, value: Any) -> None:
        data = key if isinstance(key, bytes) else key.to_bytes(self.key_size, _ORDER)
        keep = buffer(data)
        pointer = address(value) if value is not None else 0
        bpf(command, struct.pack("=I4xQQQ", self.fd, address(keep), pointer, 0))


_ORDER = sys.byteorder


def map_create(
    type_: int = uapi.BPF_MAP_TYPE_ARRAY,
    key_size: int = 4,
    value_size: int = 8,
    max_entries: int = 1,
    **fields: int,
) -> Map:
    """Create a map; ``fields`` are further fields of :class:`MapCreateAttr`. Raises BpfError."""
    attr = MapCreateAttr(
        map_type=type_, key_size=key_size, value_size=value_size, max_entries=max_entries
    )
    for name, value in fields.items():
        setattr(attr, name, value)
    try:
        return Map(bpf(uapi.BPF_MAP_CREATE, attr), key_size, value_size)
    except OSError as error:
        raise BpfError(error.errno or 0, "BPF_MAP_CREATE") from None


def btf_load(blob: bytes) -> Fd:
    """Load a BTF blob. Raises OSError."""
    memory = buffer(blob)
    return Fd(bpf(uapi.BPF_BTF_LOAD, struct.pack("=QQIII", address(memory), 0, len(blob), 0, 0)))


def object_id(fd: int) -> int:
    """Id of the program or map behind a descriptor: its second, or first, field of info."""
    info = buffer(b"\0" * 8)
    bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", fd, 8, address(info)))
    _, number = struct.unpack("=II", info.raw)
    return int(number)


def ids(next_command: int) -> Iterator[int]:
    """All ids that BPF_PROG_GET_NEXT_ID or BPF_MAP_GET_NEXT_ID knows."""
    current = 0
    while True:
        attr = buffer(struct.pack("=III", current, 0, 0))
        try:
            syscall(uapi.NR.bpf, next_command, attr, 12)
        except OSError:
            return
        current = struct.unpack("=III", attr.raw)[1]
        yield current


def pin(obj: Fd, path: Path) -> None:
    """Pin a program or map in bpffs. Raises OSError."""
    name = buffer(str(path).encode() + b"\0")
    bpf(uapi.BPF_OBJ_PIN, struct.pack("=QII", address(name), obj.fd, 0))


def pinned(path: Path) -> Fd:
    """A new descriptor of what is pinned there. Raises OSError."""
    name = buffer(str(path).encode() + b"\0")
    return Fd(bpf(uapi.BPF_OBJ_GET, struct.pack("=QII", address(name), 0, 0)))


def link_create(prog: Fd, attach_type: int, target_fd: int = 0) -> Fd:
    """Attach by BPF_LINK_CREATE; the attachment lasts as long as the result. Raises OSError."""
    return Fd(bpf(uapi.BPF_LINK_CREATE, struct.pack("=IIII", prog.fd, target_fd, attach_type, 0)))


def raw_tracepoint_open(prog: Fd, name: bytes = b"") -> Fd:
    """Attach a raw tracepoint, tracing or LSM program (no name). Raises OSError."""
    memory = buffer(name + b"\0")
    pointer = address(memory) if name else 0
    return Fd(bpf(uapi.BPF_RAW_TRACEPOINT_OPEN, struct.pack("=QI4x", pointer, prog.fd)))
