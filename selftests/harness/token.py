# SPDX-License-Identifier: MIT
"""BPF tokens: what an administrator delegates to the root of somebody's user namespace.

A token belongs to a bpffs that is mounted in the user namespace and that the administrator has
configured: so two processes have to work together (bpf_token_create(), kernel/bpf/token.c).
"""

from __future__ import annotations

import os
import socket
import struct

from selftests.harness.bpf import Fd, bpf
from selftests.harness.privileges import CLONE_NEWNS, enter_user_namespace, unshare
from selftests.harness.sys import buffer, syscall

# The same on all architectures: include/uapi/asm-generic/unistd.h
NR_FSOPEN, NR_FSCONFIG, NR_FSMOUNT = 430, 431, 432
FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 1, 6

BPF_TOKEN_CREATE = 36
BPF_F_TOKEN_FD = 1 << 16
"""In prog_flags, beside prog_token_fd: load with a token."""


def administer(channel: socket.socket, progs: str = "any") -> None:
    """The administrator's half: delegate to whoever sends an opened bpffs.

    ``progs`` are program types by name, in lower case and without BPF_PROG_TYPE_, or "any":
    bpf_parse_param() in kernel/bpf/inode.c.
    """
    _, (fs, *_), _, _ = socket.recv_fds(channel, 1, 1)
    for kind, value in {"cmds": "any", "maps": "any", "progs": progs, "attachs": "any"}.items():
        option, names = buffer(f"delegate_{kind}\0".encode()), buffer(f"{value}\0".encode())
        syscall(NR_FSCONFIG, fs, FSCONFIG_SET_STRING, option, names, 0)
    syscall(NR_FSCONFIG, fs, FSCONFIG_CMD_CREATE, 0, 0, 0)
    mount = syscall(NR_FSMOUNT, fs, 0, 0)
    socket.send_fds(channel, [b"m"], [mount])


def obtain(channel: socket.socket) -> Fd:
    """The other half: enter a user namespace, as its root, and come back with a token."""
    enter_user_namespace()
    unshare(CLONE_NEWNS)
    fs = syscall(NR_FSOPEN, buffer(b"bpf\0"), 0)
    socket.send_fds(channel, [b"f"], [fs])
    _, (mount, *_), _, _ = socket.recv_fds(channel, 1, 1)
    root = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mount)
    return Fd(bpf(BPF_TOKEN_CREATE, struct.pack("=II", 0, root)))
