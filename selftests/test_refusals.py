# SPDX-License-Identifier: MIT
"""What a seccomp program is never allowed, whoever loads it."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from selftests.harness import bpf, child, kernel_btf, objects, privileges, uapi
from selftests.harness.asm import R0, Insn, call, call_kfunc, exit_, mov, ret
from selftests.harness.bpf import BpfError, Prog, prog_load
from selftests.harness.patches import proves
from selftests.harness.uapi import SECCOMP_RET_ALLOW

pytestmark = proves("program-type")


def pure() -> Prog:
    """Any seccomp program."""
    return prog_load(ret(SECCOMP_RET_ALLOW))


def test_sleepable_programs_are_refused() -> None:
    """BPF_F_SLEEPABLE is EINVAL, and the log says why."""
    with pytest.raises(BpfError) as refused:
        prog_load(ret(SECCOMP_RET_ALLOW), prog_flags=uapi.BPF_F_SLEEPABLE)
    assert refused.value.errno == errno.EINVAL
    assert "be sleepable" in refused.value.log


@pytest.mark.parametrize("attach_type", [1, uapi.BPF_LSM_MAC, 45, 1000])
def test_an_expected_attach_type_is_refused(attach_type: int) -> None:
    """expected_attach_type has to be zero."""
    with pytest.raises(BpfError) as refused:
        prog_load(ret(SECCOMP_RET_ALLOW), expected_attach_type=attach_type)
    assert refused.value.errno == errno.EINVAL


def test_classic_packet_loads_are_refused() -> None:
    """BPF_LD_ABS, which reads packets, is not for this type."""
    with pytest.raises(BpfError) as refused:
        prog_load([Insn(0xBF, 6, 1), Insn(0x20, imm=0), exit_()])
    assert "not allowed for this program type" in refused.value.log


@pytest.mark.parametrize(
    ("name", "helper"),
    [("timer_init", 169), ("timer_set_callback", 170), ("timer_start", 171), ("timer_cancel", 172)],
)
def test_timers_are_refused(name: str, helper: int) -> None:
    """A timer's callback would run in the context of whatever task it interrupts."""
    with pytest.raises(BpfError) as refused:
        prog_load([call(helper), *ret(0)])
    assert f"cannot use helper bpf_{name}" in refused.value.log


def test_kernel_functions_are_refused() -> None:
    """A kfunc that every other program type can call gives EACCES, and the log names it."""
    privileges.need_jit()
    kfunc = kernel_btf.function_id("bpf_rcu_read_lock")
    with pytest.raises(BpfError) as refused:
        prog_load([call_kfunc(kfunc), mov(R0, 0), exit_()])
    assert refused.value.errno == errno.EACCES
    assert "calling kernel function bpf_rcu_read_lock is not allowed" in refused.value.log


@proves("libbpf")
def test_functions_cannot_be_replaced() -> None:
    """An extension (freplace) of a filter's global function is refused at load."""
    target = objects.load_object("pure_global")
    prog = target.prog("filter")
    extension = objects.BpfObject("freplace")
    extension.set_attach_target("replacement", prog, "decide")
    with pytest.raises(OSError, match="Invalid argument"):
        extension.load()
    target.close()


def test_programs_cannot_be_test_run() -> None:
    """BPF_PROG_TEST_RUN has no meaning for a filter."""
    prog = pure()
    attr = struct.pack("=II", prog.fd, 0).ljust(80, b"\0")
    with pytest.raises(OSError) as refused:  # noqa: PT011 - the number is what is checked
        bpf.bpf(uapi.BPF_PROG_TEST_RUN, attr)
    # ENOTSUPP, which user space has no name for
    assert refused.value.errno == 524


def test_a_filter_is_no_socket_filter() -> None:
    """SO_ATTACH_BPF takes socket filters only."""
    prog = pure()
    with socket.socket() as sock, pytest.raises(OSError, match="Invalid argument"):
        sock.setsockopt(socket.SOL_SOCKET, 50, struct.pack("=i", prog.fd))


def test_a_filter_is_no_tracepoint() -> None:
    """BPF_RAW_TRACEPOINT_OPEN takes tracing programs only."""
    with pytest.raises(OSError, match="Invalid argument"):
        bpf.raw_tracepoint_open(pure(), b"sys_enter")


@pytest.mark.parametrize("attach_type", [0, 6, 37, uapi.BPF_LSM_MAC])
def test_there_is_no_link(attach_type: int) -> None:
    """BPF_LINK_CREATE does not know the type."""

    def case() -> int:
        try:
            bpf.link_create(pure(), attach_type)
        except OSError as error:
            return error.errno or -1
        return 0

    assert child.run(case) in (errno.EINVAL, errno.EBADF)
