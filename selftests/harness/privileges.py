# SPDX-License-Identifier: MIT
"""Sysctls, users, capabilities and user namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from selftests.harness import child, series, uapi
from selftests.harness.lacks import JIT, SWITCH, YAMA, Lacks
from selftests.harness.sys import buffer, prctl, syscall

T = TypeVar("T")

NOBODY = 65534
ALL_CAPS = (1 << 41) - 1

UNPRIVILEGED_BPF = "kernel/unprivileged_bpf_disabled"
PTRACE_SCOPE = "kernel/yama/ptrace_scope"
BPF_JIT = "net/core/bpf_jit_enable"
SUID_DUMPABLE = "fs/suid_dumpable"

YAMA_PATCH = "yama-concept-restrict-seccomp-eBPF-with-ptrace_scope"
"""What the series calls the patch that tells Yama of filters."""


def get_sysctl(name: str) -> int:
    """A sysctl by its path below /proc/sys."""
    return int(Path("/proc/sys", name).read_text())


def has_yama() -> bool:
    """Whether Yama is one of this kernel's LSMs, and has been told of filters."""
    return Path("/proc/sys", PTRACE_SCOPE).exists() and series.has(YAMA_PATCH)


def need_yama() -> None:
    """Raises Lacks without Yama."""
    if not has_yama():
        raise Lacks(YAMA, f"/proc/sys/{PTRACE_SCOPE} is not there")


def need_jit() -> None:
    """Raises Lacks where programs are interpreted: the verifier refuses what the JIT has to do
    (kernel functions, arenas, arrays of instructions) before it asks whether it is allowed.
    """
    if get_sysctl(BPF_JIT) == 0:
        raise Lacks(JIT, f"{BPF_JIT} is 0")


def set_sysctl(name: str, value: int) -> None:
    """Set it; some can be set once only: unprivileged_bpf_disabled=1 and ptrace_scope=3 stay.

    Raises Lacks if this guest has been set so that it cannot be.
    """
    if name == UNPRIVILEGED_BPF and value != 1 and get_sysctl(name) == 1:
        raise Lacks(SWITCH, f"{name} is 1, which stays until the next boot")
    Path("/proc/sys", name).write_text(str(value))


@contextlib.contextmanager
def sysctl(name: str, value: int) -> Iterator[None]:
    """The sysctl's value for the duration of a ``with``.

    Yama's ptrace_scope at 0 or 1 allows filters to have state, and so does a kernel without Yama.
    Raises Lacks where the value cannot be had.
    """
    if name == PTRACE_SCOPE and not has_yama():
        if value > 1:
            need_yama()
        yield
        return
    before = get_sysctl(name)
    set_sysctl(name, value)
    try:
        yield
    finally:
        set_sysctl(name, before)


def set_caps(*caps: int) -> None:
    """Have these capabilities and no others, in the current user namespace, as far as allowed."""
    mask = sum(1 << cap for cap in caps)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    # _LINUX_CAPABILITY_VERSION_3; effective, permitted, inheritable of each half
    header = buffer(struct.pack("=Ii", 0x20080522, 0))
    data = buffer(struct.pack("=6I", low, low, 0, high, high, 0))
    syscall(uapi.NR.capset, header, data)


def become_user(uid: int = NOBODY, *caps: int) -> None:
    """Change to an ordinary user who has just these capabilities; stays dumpable as it was."""
    prctl(uapi.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    set_caps(*caps)
    # setresuid() makes a task undumpable; a user's own shell is not.
    prctl(uapi.PR_SET_DUMPABLE, 1)


def as_user(function: Callable[[], T], *caps: int, uid: int = NOBODY) -> T:
    """Call ``function`` in a child that is an ordinary user with these capabilities."""

    def body() -> T:
        become_user(uid, *caps)
        return function()

    return child.run(body)


def as_root_with(function: Callable[[], T], *caps: int) -> T:
    """Call ``function`` in a child with uid 0 that has just these capabilities."""

    def body() -> T:
        set_caps(*caps)
        return function()

    return child.run(body)


CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNS = 0x00020000


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def enter_user_namespace(inside: int = 0, outside: int | None = None) -> None:
    """A new user namespace in which the caller is ``inside``, with all capabilities in it."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {uid if outside is None else outside} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {gid if outside is None else outside} 1")


def join(pid: int, flags: int) -> None:
    """setns(2): the namespaces of these kinds that a process is in. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        if libc.setns(pidfd, flags):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(pidfd)


def in_user_namespace(function: Callable[[], T], inside: int = 0) -> T:
    """Call ``function`` in a child with a user namespace of its own, all-powerful in it."""

    def body() -> T:
        enter_user_namespace(inside)
        return function()

    return child.run(body)
