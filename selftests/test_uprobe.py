# SPDX-License-Identifier: MIT
"""uprobe() and uretprobe() are exempt from filtering, under eBPF filters as under classic ones.

On x86-64 a probed function is entered and left through these system calls, which the traced program
knows nothing of: a default-deny filter that killed it for them would make probing a sandboxed task
impossible. 7.3 keeps them in the bitmap of allowed system calls (seccomp_uprobe_exception()).
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
import struct
import sys
from pathlib import Path

import pytest

from selftests.harness import child, memory, newer, seccomp, uapi
from selftests.harness.asm import classic_ret, ret
from selftests.harness.bpf import Fd, Prog, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import buffer, no_new_privs, syscall
from selftests.harness.uapi import NR

pytestmark = [
    proves("program-type"),
    pytest.mark.skipif(not NR.always_allowed, reason="no such system calls here"),
]

KILL = uapi.SECCOMP_RET_KILL_PROCESS
KEPT: list[Prog] = []


def deny_all_extended() -> None:
    """From now on every system call but the exempt ones kills."""
    prog = prog_load(ret(KILL))
    # Closing the descriptor would be a system call.
    KEPT.append(prog)
    seccomp.install(prog)


def deny_all_classic() -> None:
    """The same, by a classic filter."""
    seccomp.install_classic(classic_ret(KILL))


KINDS = {"ebpf": deny_all_extended, "cbpf": deny_all_classic}


def own_end() -> None:
    """Die of SIGSEGV, without any system call."""
    ctypes.string_at(0)


ENDS = {335: signal.SIGILL, 336: signal.SIGSEGV, NR.getppid: signal.SIGSYS}
"""uretprobe() outside its trampoline raises SIGILL; uprobe() fails, and what follows is the end."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [*NR.always_allowed, NR.getppid])
def test_only_the_calls_themselves_pass_the_filter(kind: str, number: int) -> None:
    """Made from a wrong place they end as without a filter; any other call ends in SIGSYS."""

    if number == newer.UPROBE_CALL:
        newer.need_uprobe_call()

    def case() -> None:
        # pytest's handler would write a traceback, and meet the filter doing so.
        faulthandler.disable()
        no_new_privs()
        libc = ctypes.CDLL(None)
        KINDS[kind]()
        libc.syscall(ctypes.c_long(number))
        own_end()

    assert child.wait(case).signal == ENDS[number]


def probe_type() -> int:
    """Type of the uprobe PMU."""
    return int(Path("/sys/bus/event_source/devices/uprobe/type").read_text())


def open_probe(path: Path, offset: int, on_return: bool) -> Fd:
    """A uprobe, or uretprobe, on a file's offset, for the calling process. Raises OSError."""
    name = buffer(str(path).encode() + b"\0")
    # struct perf_event_attr, PERF_ATTR_SIZE_VER8: type, size, config (bit 0: on return), ...,
    # config1 = uprobe_path, config2 = probe_offset
    attr = bytearray(136)
    struct.pack_into("=IIQ", attr, 0, probe_type(), 136, int(on_return))
    struct.pack_into("=QQ", attr, 56, ctypes.addressof(name), offset)
    fd = syscall(NR.perf_event_open, buffer(bytes(attr)), os.getpid(), -1, -1, 8)
    return Fd(fd)


NOP10 = bytes.fromhex("66 2e 0f 1f 84 00 00 00 00 00")
"""What 7.3 replaces, at the first hit, by a call of a trampoline that makes uprobe():
is_optimizable_nop10() in arch/x86/kernel/uprobes.c. Elsewhere a probe is a breakpoint."""
RETURN_42 = bytes.fromhex("b8 2a 00 00 00 c3")
LEA = bytes.fromhex("48 8d 64 24 80")


def code_file() -> int:
    """Descriptor of a file that holds a function to be probed."""
    fd = os.memfd_create("site")
    os.write(fd, NOP10 + RETURN_42)
    return fd


def hits(probe: int) -> int:
    """How often the probe was hit."""
    return int.from_bytes(os.read(probe, 8), sys.byteorder)


@pytest.mark.parametrize("kind", [None, *KINDS], ids=["unfiltered", *KINDS])
@pytest.mark.parametrize("on_return", [False, True], ids=["entry", "return"])
def test_a_probed_function_runs_under_default_deny(kind: str | None, on_return: bool) -> None:
    """It enters by uprobe(), leaves by uretprobe(), returns what it should, and is counted."""
    if not on_return:
        newer.need_uprobe_call()
    ours, theirs = socket.socketpair()

    def case() -> None:
        faulthandler.disable()
        code = code_file()
        place = memory.map_code(code)
        # A kernel that does not replace it does not take a probe there (is_prefix_bad()).
        offset = 0 if newer.has_uprobe_call() else len(NOP10)
        function = ctypes.CFUNCTYPE(ctypes.c_int)(place + offset)
        probe = open_probe(Path(f"/proc/self/fd/{code}"), offset, on_return)
        socket.send_fds(theirs, [b"p"], [probe.fd])
        assert function() == 42
        assert hits(probe.fd) == 1
        if newer.has_uprobe_call():
            assert ctypes.string_at(place, len(LEA)) == LEA, "the probe makes no system calls"
        if kind:
            no_new_privs()
            KINDS[kind]()
        if function() == 42:
            own_end()
        os.abort()

    pid = child.start(case)
    theirs.close()
    _, (probe, *_), _, _ = socket.recv_fds(ours, 1, 1)
    assert child.reap(pid).signal == signal.SIGSEGV
    assert hits(probe) == 2
    os.close(probe)
