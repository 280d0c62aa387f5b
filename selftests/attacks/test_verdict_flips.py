# SPDX-License-Identifier: MIT
"""Attack: change the LSMs' mind while programs are loaded and installed, on all CPUs at once.

What a program may use is asked for at several places of the verifier. If two of them got different
answers, the kernel would call a helper that it has no prototype for.
"""

from __future__ import annotations

import errno
import functools
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from selftests.harness import child, lsm, privileges, seccomp, uapi
from selftests.harness.asm import R1, call, load, map_value, on_syscall, ret
from selftests.harness.bpf import map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.privileges import PTRACE_SCOPE, need_yama
from selftests.harness.sys import errno_of, error_of, no_new_privs
from selftests.harness.uapi import CAP_BPF, NR

RACE, PATIENCE = 1.5, 20.0 * child.SLOWNESS
"""Seconds of racing, and how long it goes on at most until all outcomes have been seen."""

DENIED = uapi.SECCOMP_RET_ERRNO | errno.EDOM
SEEN = {("load", 0), ("load", errno.EACCES), ("run", errno.EDOM)}
ALLOWED = {("load", 0), ("load", errno.EACCES), ("install", 0), ("install", errno.EPERM)}


def attack(outcomes: Counter[tuple[str, int]], apart: bool) -> None:
    """Load a filter with map and helpers; if that goes, install it; if that goes, run it: in a
    child of its own if ``apart``.
    """
    state = map_create()
    program = on_syscall(
        NR.getppid,
        *[call(number) for number in (5, 7, 8, 14, 15) for _ in range(10)],
        map_value(R1, state.fd),
        load(8, R1, R1, 0),
        *ret(DENIED),
    )
    try:
        prog = prog_load(program, log_level=0)
    except OSError as error:
        outcomes["load", error.errno or -1] += 1
        return
    outcomes["load", 0] += 1

    def install() -> tuple[int, int]:
        no_new_privs()
        return error_of(lambda: seccomp.install(prog)), errno_of(NR.getppid)

    # One in some: a fork takes as long as several loads, and a task's filters add up to a limit.
    if outcomes["load", 0] % 4 == 1:
        installed, ran = child.run(install) if apart else install()
        outcomes["install", installed] += 1
        if installed == 0:
            outcomes["run", ran] += 1


def goes_on(start: float, outcomes: Counter[tuple[str, int]], wanted: set[tuple[str, int]]) -> bool:
    """Whether a race that began at ``start`` is not over yet."""
    seconds = time.monotonic() - start
    return seconds < RACE or (seconds < PATIENCE and not wanted <= set(outcomes))


def attack_for_a_while(cpu: int, writer: int) -> None:
    """On one CPU; the outcomes go to a pipe."""
    os.sched_setaffinity(0, {cpu})
    privileges.set_caps(CAP_BPF)
    outcomes: Counter[tuple[str, int]] = Counter()
    start = time.monotonic()
    while goes_on(start, outcomes, SEEN):
        attack(outcomes, apart=True)
    os.write(writer, pickle.dumps(outcomes))


def on_all_cpus(while_running: Callable[[], object]) -> Counter[tuple[str, int]]:
    """Attack on two CPUs while a child does ``while_running``; all outcomes."""
    outcomes: Counter[tuple[str, int]] = Counter()
    pids, pipes = [], []
    with child.running(while_running):
        for cpu in sorted(os.sched_getaffinity(0))[:2]:
            reader, writer = os.pipe()
            pids.append(child.start(functools.partial(attack_for_a_while, cpu, writer)))
            os.close(writer)
            pipes.append(reader)
        for pid, reader in zip(pids, pipes, strict=True):
            assert child.reap(pid, child.LONG).code == 0
            with os.fdopen(reader, "rb") as pipe:
                outcomes += pickle.load(pipe)
    return outcomes


def tainted() -> str:
    """What the kernel knows against itself."""
    return Path("/proc/sys/kernel/tainted").read_text()


@proves("tier-1", "yama")
def test_yama_is_switched_while_programs_are_loaded_and_installed() -> None:
    """ptrace_scope 0, 2, 0, 2 ...: each load and each installation is allowed or denied, whole."""
    need_yama()
    before = tainted()

    def flip() -> None:
        fd = os.open(f"/proc/sys/{PTRACE_SCOPE}", os.O_WRONLY)
        while True:
            os.pwrite(fd, b"2", 0)
            os.pwrite(fd, b"0", 0)

    with privileges.sysctl(PTRACE_SCOPE, 0):
        outcomes = on_all_cpus(flip)
    assert set(outcomes) >= SEEN
    assert set(outcomes) <= ALLOWED | {("run", errno.EDOM)}, outcomes
    assert tainted() == before


@proves("lsm-hook", "tier-1")
def test_an_lsm_program_changes_its_mind_under_threads_on_all_cpus() -> None:
    """An LSM that denies every second question, asked by two threads of one process at once."""
    before = tainted()

    def case(denier: lsm.Denier) -> Counter[tuple[str, int]]:
        denier.aim(alternate=True)
        outcomes: Counter[tuple[str, int]] = Counter()
        finished: list[int] = []
        start = time.monotonic()

        def body(cpu: int) -> None:
            os.sched_setaffinity(0, {cpu})
            while goes_on(start, outcomes, ALLOWED):
                attack(outcomes, apart=False)
            finished.append(cpu)

        cpus = sorted(os.sched_getaffinity(0))[:2]
        threads = [threading.Thread(target=body, args=(cpu,)) for cpu in cpus]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * PATIENCE)
        assert sorted(finished) == cpus, "an exception ended a thread"
        return outcomes

    with privileges.sysctl(PTRACE_SCOPE, 1), lsm.attached() as denier:
        outcomes = child.run(lambda: case(denier), child.LONG)
    # Each load and each installation, in either thread, has been asked about, and answered whole.
    assert set(outcomes) >= ALLOWED, outcomes
    assert set(outcomes) <= ALLOWED | {("run", errno.EDOM)}, outcomes
    assert tainted() == before
