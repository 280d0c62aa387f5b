# SPDX-License-Identifier: MIT
"""An allocation fails, each in turn: loading, installing and retrieving fail cleanly.

Documentation/fault-injection/fault-injection.rst: a number written to /proc/thread-self/fail-nth
lets that allocation of the thread fail; it reads as 0 once that has happened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from selftests.harness import bpf, child, seccomp, uapi
from selftests.harness.asm import R1, Label, Source, call_label, load, map_value, on_syscall, ret
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.mounts import debugfs
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs, ptrace
from selftests.harness.uapi import NR

pytestmark = proves("program-type")

PURE = on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM))
ENOUGH = 400
"""More allocations than any of these operations makes."""


@pytest.fixture(autouse=True, scope="module")
def _slab_faults() -> None:
    """Let allocations that may wait fail too, and do not tell each on the console."""
    with debugfs() as directory:
        settings = directory / "failslab"
        for name, value in {"ignore-gfp-wait": "N", "verbose": "0"}.items():
            (settings / name).write_text(value)


@dataclass
class Tally:
    """How often an operation failed, with which errors, before it got all its memory."""

    failures: int = 0
    errors: set[int] = field(default_factory=set)


def starve(operation: Callable[[], object], once: bool = False) -> Tally:
    """Let the first allocation of the operation fail, then the second, ... until none does, or,
    with ``once``, until the operation succeeds: it can get over the failure of some.
    """
    tally = Tally()
    control = os.open("/proc/thread-self/fail-nth", os.O_RDWR | os.O_CLOEXEC)
    for number in range(1, ENOUGH):
        os.pwrite(control, f"{number}\n".encode(), 0)
        try:
            operation()
            code = 0
        except OSError as error:
            code = error.errno or -1
        left = int(os.pread(control, 16, 0).split(b"\0")[0])
        os.pwrite(control, b"0\n", 0)
        if left or (once and code == 0):
            os.close(control)
            assert code == 0, "it failed without a fault"
            return tally
        if code:
            tally.failures += 1
            tally.errors.add(code)
    raise AssertionError(f"more than {ENOUGH} allocations")


def stateful(state: Map) -> list[Source]:
    """A program of whatever type, with a map and a function of its own."""
    return [
        map_value(R1, state.fd),
        load(8, R1, R1, 0),
        call_label("function"),
        *ret(0),
        Label("function"),
        *ret(0),
    ]


@pytest.mark.parametrize("kind", ["pure", "stateful"])
def test_loading(kind: str) -> None:
    """No failure has another errno than those of a socket filter, and nothing is left of any."""
    before = progs(), maps()

    def case(type_: int) -> Tally:
        state = map_create()
        program = ret(0) if kind == "pure" else stateful(state)
        return starve(lambda: prog_load(program, type_, log_level=0).close())

    ours = child.run(lambda: case(uapi.BPF_PROG_TYPE_SECCOMP), child.LONG)
    theirs = child.run(lambda: case(uapi.BPF_PROG_TYPE_SOCKET_FILTER), child.LONG)
    assert ours.failures > 5
    assert errno.ENOMEM in ours.errors <= theirs.errors
    assert eventually(lambda: progs() <= before[0] and maps() <= before[1])


FLAGS = {
    "alone": 0,
    "with TSYNC": uapi.SECCOMP_FILTER_FLAG_TSYNC,
    "with a listener": uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER,
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_installing(flags: int) -> None:
    """Each failure is ENOMEM and installs nothing; the attempt after it goes through."""
    before = progs()

    def case() -> tuple[set[int], bool, int, str]:
        prog = prog_load(PURE, log_level=0)
        no_new_privs()
        stop = threading.Event()
        other = threading.Thread(target=stop.wait)
        other.start()
        tally = starve(lambda: seccomp.install(prog, flags), once=True)
        filters = seccomp.status("Seccomp_filters")
        stop.set()
        other.join()
        return tally.errors, tally.failures > 0, errno_of(NR.getppid), filters

    assert child.run(case, child.LONG) == ({errno.ENOMEM}, True, errno.EDOM, "1")
    assert eventually(lambda: progs() <= before)


@proves("retrieval")
def test_retrieving() -> None:
    """A retrieval that gets no memory leaves no reference behind."""
    before = progs()

    def filtered() -> None:
        no_new_privs()
        seccomp.install(prog_load(PURE, log_level=0))
        time.sleep(60)

    def case() -> set[int]:
        with child.running(filtered) as pid:
            assert eventually(lambda: seccomp.status("Seccomp_filters", pid) == "1")
            ptrace(uapi.PTRACE_ATTACH, pid)
            os.waitpid(pid, 0)
            return starve(lambda: seccomp.tracer_filter(pid, 0).close()).errors

    assert child.run(case, child.LONG) <= {errno.ENOMEM, errno.ENFILE}
    assert eventually(lambda: progs() <= before)


def test_faults_are_injected() -> None:
    """The control: an operation that allocates fails, one that does not is left alone."""

    def case() -> tuple[bool, int]:
        with contextlib.suppress(OSError):
            bpf.map_create().close()
        return starve(lambda: map_create().close()).failures > 0, starve(os.getppid).failures

    assert child.run(case) == (True, 0)
