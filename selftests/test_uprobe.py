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
import struct
from pathlib import Path

import pytest

from selftests.harness import child, objects, seccomp, uapi
from selftests.harness.asm import classic_ret, ret
from selftests.harness.bpf import Fd, Prog, prog_load
from selftests.harness.sys import buffer, no_new_privs, syscall
from selftests.harness.uapi import NR

pytestmark = [
    pytest.mark.patch(2),
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", NR.always_allowed)
def test_the_calls_themselves_pass_the_filter(kind: str, number: int) -> None:
    """Made from a wrong place they die of their own SIGILL, or fail; not of the filter's SIGSYS."""

    def case() -> None:
        faulthandler.disable()
        no_new_privs()
        libc = ctypes.CDLL(None)
        KINDS[kind]()
        libc.syscall(ctypes.c_long(number))
        libc.syscall(ctypes.c_long(NR.getppid))

    ended = child.wait(case)
    # uretprobe() outside its trampoline raises SIGILL; uprobe() returns an error, after which
    # getppid() meets the filter. Either way the call itself was let through.
    by_itself = {335: signal.SIGILL, 336: signal.SIGSYS}[number]
    assert ended.signal in (by_itself, signal.SIGILL)


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


def symbol_offset(address: int) -> tuple[Path, int]:
    """The file, and the offset in it, that is mapped at an address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        low, high = (int(part, 16) for part in fields[0].split("-"))
        if low <= address < high:
            return Path(fields[5]), address - low + int(fields[2], 16)
    raise LookupError(hex(address))


@pytest.mark.parametrize("kind", [None, *KINDS], ids=["unfiltered", *KINDS])
@pytest.mark.parametrize("on_return", [False, True], ids=["entry", "return"])
def test_a_probed_function_runs_under_default_deny(kind: str | None, on_return: bool) -> None:
    """A probed function of libbpf, which makes no system call, returns and is counted."""

    def case() -> None:
        # pytest's handler would write a traceback, and meet the filter doing so.
        faulthandler.disable()
        lib = objects.libbpf()
        function = lib.libbpf_major_version
        address = ctypes.cast(function, ctypes.c_void_p).value
        assert address
        path, offset = symbol_offset(address)
        probe = open_probe(path, offset, on_return)
        before = function()
        count = int.from_bytes(os.read(probe.fd, 8), "little")
        assert count == 1, f"the probe was hit {count} times"
        stop = ctypes.CDLL(None).abort
        if kind:
            no_new_privs()
            KINDS[kind]()
        if function() != before:
            stop()
        # Nothing but a signal can end this: no system call is allowed any more.
        ctypes.string_at(0)

    assert child.wait(case).signal == signal.SIGSEGV
