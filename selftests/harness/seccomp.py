# SPDX-License-Identifier: MIT
"""seccomp(2): installing filters of both kinds, notifications, and what /proc says."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selftests.harness import uapi
from selftests.harness.asm import Classic, Source, assemble_classic
from selftests.harness.bpf import Fd, Prog, prog_load
from selftests.harness.sys import address, buffer, no_new_privs, syscall


def install(prog: Fd | int, flags: int = 0) -> int:
    """Install an eBPF program as filter; the result is a listener if the flags ask for one."""
    fd = prog if isinstance(prog, int) else prog.fd
    return syscall(
        uapi.NR.seccomp,
        uapi.SECCOMP_SET_MODE_FILTER,
        uapi.SECCOMP_FILTER_FLAG_EXTENDED | flags,
        buffer(struct.pack("=i", fd)),
    )


def install_classic(program: Sequence[Classic], flags: int = 0) -> int:
    """Install a classic program as filter."""
    code = buffer(assemble_classic(program))
    # struct sock_fprog: unsigned short, padding, pointer
    fprog = buffer(struct.pack("@HP", len(program), address(code)))
    return syscall(uapi.NR.seccomp, uapi.SECCOMP_SET_MODE_FILTER, flags, fprog)


def filter_with(program: Sequence[Source], flags: int = 0) -> Prog:
    """Load a program and install it on the caller, with no_new_privs. Raises OSError."""
    prog = prog_load(program)
    no_new_privs()
    install(prog, flags)
    return prog


def getppid() -> int:
    """The system call that the tests filter: harmless, and Python does not need it."""
    return syscall(uapi.NR.getppid)


def status(field: str, pid: int | str = "self") -> str:
    """A field of /proc/PID/status, such as Seccomp or Seccomp_filters."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return value.strip()
    raise KeyError(field)


@dataclass(frozen=True)
class Notification:
    """struct seccomp_notif, without its data's instruction pointer."""

    id: int
    pid: int
    nr: int
    arch: int
    args: tuple[int, ...]


def receive(listener: int) -> Notification:
    """Wait for the next notification."""
    memory = bytearray(80)
    fcntl.ioctl(listener, uapi.SECCOMP_IOCTL_NOTIF_RECV, memory)
    fields = struct.unpack("=QIIiIQ6Q", memory)
    return Notification(fields[0], fields[1], fields[3], fields[4], fields[6:])


def respond(
    listener: int, to: Notification, value: int = 0, error: int = 0, flags: int = 0
) -> None:
    """Answer: the result, or an errno (positive), or SECCOMP_USER_NOTIF_FLAG_CONTINUE."""
    response = bytearray(struct.pack("=QqiI", to.id, value, -error, flags))
    fcntl.ioctl(listener, uapi.SECCOMP_IOCTL_NOTIF_SEND, response)


def tracer_filter(pid: int, index: int) -> Fd:
    """PTRACE_SECCOMP_GET_FILTER_EXTENDED. Raises OSError."""
    return Fd(syscall(uapi.NR.ptrace, uapi.PTRACE_SECCOMP_GET_FILTER_EXTENDED, pid, index, 0))


def tracer_classic_filter(pid: int, index: int) -> int:
    """Length, in instructions, that PTRACE_SECCOMP_GET_FILTER reports. Raises OSError."""
    return syscall(uapi.NR.ptrace, uapi.PTRACE_SECCOMP_GET_FILTER, pid, index, 0)


def event_message(pid: int) -> int:
    """PTRACE_GETEVENTMSG."""
    message = ctypes.c_ulong()
    syscall(uapi.NR.ptrace, uapi.PTRACE_GETEVENTMSG, pid, 0, address(message))
    return message.value


def is_cloexec(fd: int) -> bool:
    """Is the descriptor closed on exec?"""
    return not os.get_inheritable(fd)
