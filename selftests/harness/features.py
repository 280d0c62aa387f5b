# SPDX-License-Identifier: MIT
"""What of the series the running kernel has, found out by doing.

Each patch has a probe, which its row in patches.py names. A probe returns if the feature is there
and raises :class:`Absent` with what it saw if it is not. Which of the two is right depends on the
kernel: conftest.py decides.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from selftests.harness import bpf, child, lsm, objects, privileges, seccomp, sys, uapi
from selftests.harness.asm import (
    R1,
    R2,
    R3,
    R10,
    Classic,
    alu,
    call,
    exit_,
    map_fd,
    mov,
    mov_reg,
    ret,
)
from selftests.harness.lacks import RETRIEVAL, Absent, Lacks


def program_type() -> None:
    """Programs of the type can be loaded."""
    try:
        bpf.prog_load(ret(uapi.SECCOMP_RET_ALLOW))
    except bpf.BpfError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Absent("loading a program of type 33 gives EINVAL") from None


def error_order() -> None:
    """What is wrong with a filter comes before what its owner may not."""

    def install_nonsense() -> int:
        try:
            seccomp.install_classic([Classic(0xFFFF)])
        except OSError as error:
            return error.errno or 0
        return 0

    if privileges.as_user(install_nonsense) == errno.EACCES:
        raise Absent("EACCES comes before what is wrong with the filter")


def retrieval() -> None:
    """The ptrace request is known. Raises Lacks."""
    program_type()

    def trace() -> int:
        with child.running(lambda: time.sleep(30)) as pid:
            sys.ptrace(uapi.PTRACE_ATTACH, pid)
            os.waitpid(pid, 0)
            code = sys.errno_of(uapi.NR.ptrace, uapi.PTRACE_SECCOMP_GET_FILTER_EXTENDED, pid, 0, 0)
            os.kill(pid, signal.SIGKILL)
            return code

    if not Path("/proc/sys/kernel/ns_last_pid").exists():
        # Of a kernel without CHECKPOINT_RESTORE one cannot tell whether it has the request.
        raise Lacks(RETRIEVAL, "GET_FILTER and its sister need CONFIG_CHECKPOINT_RESTORE")
    if child.run(trace) == errno.EIO:
        raise Absent("ptrace request 0x4213 gives EIO")


def libbpf() -> None:
    """libbpf has a name for the type."""
    if objects.libbpf().libbpf_bpf_prog_type_str(uapi.BPF_PROG_TYPE_SECCOMP) is None:
        raise Absent("libbpf has no name for program type 33")


def sample() -> None:
    """The sample has been built."""
    try:
        objects.guest_file("test_seccomp")
    except FileNotFoundError:
        raise Absent("samples/bpf has no test_seccomp") from None


def lsm_hook() -> None:
    """The hook is there for BPF programs. Raises Lacks."""
    lsm.need()
    try:
        objects.vmlinux_btf_id("seccomp_extended", uapi.BPF_LSM_MAC)
    except OSError:
        raise Absent("the kernel's BTF has no bpf_lsm_seccomp_extended") from None


def restriction() -> None:
    """A map is refused where an LSM denies state. Raises Lacks."""
    program_type()

    def load_with_map() -> int:
        array = bpf.map_create()
        try:
            bpf.prog_load([map_fd(R1, array.fd), *ret(uapi.SECCOMP_RET_ALLOW)])
        except OSError as error:
            return error.errno or 0
        return 0

    if not privileges.has_yama():
        with lsm.attached() as denier:

            def denied() -> int:
                denier.aim()
                return load_with_map()

            code = child.run(denied)
        if code == 0:
            raise Absent("a map is allowed though an LSM denies state")
        return
    with privileges.sysctl(privileges.PTRACE_SCOPE, 2):
        code = privileges.as_root_with(load_with_map, uapi.CAP_BPF)
    if code == 0:
        raise Absent("a map is allowed under ptrace_scope 2 without CAP_SYS_PTRACE")


def yama() -> None:
    """It is Yama that denies state. Raises Lacks."""
    privileges.need_yama()
    restriction()


def user_memory() -> None:
    """Filters may call the helper that reads it."""
    program_type()
    try:
        bpf.prog_load(
            [
                mov_reg(R1, R10),
                alu("add", R1, -8),
                mov(R2, 8),
                mov(R3, 0),
                call(uapi.BPF_FUNC_probe_read_user),
                exit_(),
            ]
        )
    except bpf.BpfError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Absent("filters cannot call bpf_probe_read_user()") from None


@functools.cache
def why_absent(probe: Callable[[], None]) -> str | None:
    """None if the kernel has what the probe looks for, else what was seen instead. Raises Lacks."""
    try:
        probe()
    except Absent as absent:
        return str(absent)
    return None
