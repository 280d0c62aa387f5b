# SPDX-License-Identifier: MIT
"""libbpf of the tree under test knows the program type."""

from __future__ import annotations

import ctypes
import errno
import sys

import pytest

from selftests.harness import child, objects, seccomp, uapi
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import BPF_PROG_TYPE_SECCOMP, NR

pytestmark = proves("program-type", "libbpf")


def test_the_section_gives_the_type() -> None:
    """SEC("seccomp") makes a program of BPF_PROG_TYPE_SECCOMP."""
    assert objects.BpfObject("pure_global").prog_type("filter") == BPF_PROG_TYPE_SECCOMP


def test_the_section_s_name_is_known() -> None:
    """libbpf_prog_type_by_name() finds the type, without an attach type."""
    type_, attach = ctypes.c_int(-1), ctypes.c_int(-1)
    found = objects.libbpf().libbpf_prog_type_by_name(
        b"seccomp", ctypes.byref(type_), ctypes.byref(attach)
    )
    assert (found, type_.value, attach.value) == (0, BPF_PROG_TYPE_SECCOMP, 0)


def test_the_type_has_a_name() -> None:
    """libbpf_bpf_prog_type_str() says "seccomp", which is what bpftool prints."""
    assert objects.libbpf().libbpf_bpf_prog_type_str(BPF_PROG_TYPE_SECCOMP) == b"seccomp"


def test_the_type_can_be_probed() -> None:
    """libbpf_probe_bpf_prog_type() finds that the kernel has it."""
    assert objects.libbpf().libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SECCOMP, None) == 1


@pytest.mark.parametrize(("helper", "offered"), [(uapi.BPF_FUNC_ktime_get_ns, 1), (169, 0)])
def test_helpers_can_be_probed(helper: int, offered: int) -> None:
    """libbpf_probe_bpf_helper() tells what the type offers from what it refuses."""
    probe = objects.libbpf().libbpf_probe_bpf_helper
    assert probe(BPF_PROG_TYPE_SECCOMP, helper, None) == offered


def test_a_global_function_takes_the_context() -> None:
    """A global function with a struct seccomp_data * argument loads, and decides."""

    def case() -> tuple[int, int]:
        filter_ = objects.BpfObject("pure_global")
        filter_.set_rodata(NR.getppid.to_bytes(4, sys.byteorder))
        prog = filter_.load().prog("filter")
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid, 7), errno_of(NR.getppid, 8)

    assert child.run(case) == (errno.EDOM, 0)
