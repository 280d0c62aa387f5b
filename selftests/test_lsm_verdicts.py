# SPDX-License-Identifier: MIT
"""LSM denial by a BPF program on the hook, and by a verdict that changes while it matters."""

from __future__ import annotations

import errno
import functools
import os
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftests.harness import btf, child, lsm, newer, privileges
from selftests.harness.asm import (
    R0,
    R1,
    Label,
    Source,
    call,
    call_label,
    exit_,
    load,
    mov,
    on_syscall,
    ret,
)
from selftests.harness.bpf import prog_load
from selftests.harness.lsm import Denier
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of
from selftests.harness.uapi import CAP_BPF, NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
from selftests.harness.verdicts import (
    PURE,
    STATEFUL,
    Verdict,
    assert_denied,
    installing,
    loading,
    verdict,
)

pytestmark = pytest.mark.usefixtures("state_allowed")


@pytest.fixture
def denier() -> Iterator[Denier]:
    """A BPF program on the hook."""
    with lsm.attached() as attached:
        yield attached


@proves("lsm-hook", "tier-1")
def test_a_bpf_lsm_program_denies_state(denier: Denier) -> None:
    """A BPF program on the hook seccomp_extended refuses state to root, and leaves pure filters."""

    def case() -> tuple[Verdict, Verdict, Verdict, int, int]:
        allowed = loading(STATEFUL)
        denier.aim()
        denied = loading(STATEFUL)
        pure = loading(PURE)
        return allowed, denied, pure, installing(prog_load(PURE)), errno_of(NR.getppid)

    allowed, denied, pure, installed, answer = child.run(case)
    assert allowed == pure == Verdict(0)
    assert_denied(denied, "helpers")
    assert (installed, answer) == (0, 7)


@proves("lsm-hook", "tier-1")
def test_a_bpf_lsm_program_denies_installing(denier: Denier) -> None:
    """The hook is asked about the task that installs, and only if the filter has state."""

    def case() -> tuple[int, int, int, int]:
        pure, stateful = prog_load(PURE), prog_load(STATEFUL)
        denier.aim()
        denied, asked = installing(stateful), denier.asked
        return denied, asked, installing(pure), denier.asked

    assert child.run(case) == (errno.EPERM, 1, 0, 1)


def _reading_by_number() -> tuple[list[Source], btf.FuncInfo]:
    """A filter that reads kernel memory without a map, a helper or a variable."""
    newer.need_untrusted_arguments()
    program = [
        *on_syscall(NR.getppid, mov(R1, 0), call_label("peek"), *ret(SECCOMP_RET_ERRNO | 9)),
        Label("peek"),
        load(1, R0, R1, 0),
        exit_(),
    ]
    return program, btf.untrusted_argument(program, "peek")


@proves("map-restriction", "tier-1", "user-memory")
def test_kernel_pointers_are_refused_where_state_is_denied(denier: Denier) -> None:
    """Root may follow them, unless an LSM denies him state: EACCES at load, EPERM afterwards."""

    def case() -> tuple[Verdict, int]:
        program, info = _reading_by_number()
        prog = prog_load(program, functions=info.fields)
        denier.aim()
        denied = verdict(lambda: prog_load(program, functions=info.fields))
        return denied, installing(prog)

    denied, installed = child.run(case)
    assert_denied(denied, "kernel pointers")
    assert installed == errno.EPERM


MUCH = on_syscall(
    NR.getppid,
    *[call(number) for number in (5, 7, 8, 14, 15) for _ in range(40)],
    *ret(SECCOMP_RET_ALLOW),
)
"""A filter with 200 calls of helpers: the verifier asks for each prototype twice."""


@proves("lsm-hook", "tier-1")
def test_the_lsm_is_asked_once_per_load(denier: Denier) -> None:
    """However much a program uses, its loader is asked about once."""

    def case() -> list[int]:
        asked = []
        for program in (MUCH, STATEFUL):
            denier.aim(alternate=True)
            loading(program)
            asked.append(denier.asked)
        return asked

    assert child.run(case) == [1, 1]


@proves("lsm-hook", "tier-1")
def test_a_verdict_that_changes_each_time_is_the_same_within_a_load(denier: Denier) -> None:
    """With an LSM that denies every second question, every second load fails as a whole."""

    def case() -> list[int]:
        denier.aim(alternate=True)
        return [loading(MUCH).code for _ in range(8)]

    assert child.run(case) == [errno.EACCES, 0] * 4


RACE = 1.5
"""Seconds of racing."""


def _flip_scope() -> None:
    fd = os.open("/proc/sys/kernel/yama/ptrace_scope", os.O_WRONLY)
    while True:
        os.pwrite(fd, b"2", 0)
        os.pwrite(fd, b"0", 0)


def _load_for_a_while(cpu: int) -> Counter[int]:
    os.sched_setaffinity(0, {cpu})
    privileges.set_caps(CAP_BPF)
    outcomes: Counter[int] = Counter()
    end = time.monotonic() + RACE
    while time.monotonic() < end:
        outcomes[loading(MUCH).code] += 1
    return outcomes


def _report_loads(cpu: int, writer: int) -> None:
    os.write(writer, pickle.dumps(_load_for_a_while(cpu)))


@proves("tier-1", "yama")
def test_a_verdict_that_flips_during_loads_does_no_harm() -> None:
    """While ptrace_scope goes 0, 2, 0 ... loads end in 0 or EACCES, and the kernel stays clean."""
    tainted = Path("/proc/sys/kernel/tainted").read_text()
    cpus = sorted(os.sched_getaffinity(0))[:2]
    pids, reports = [], []
    outcomes: Counter[int] = Counter()
    with child.running(_flip_scope):
        for cpu in cpus:
            reader, writer = os.pipe()
            pids.append(child.start(functools.partial(_report_loads, cpu, writer)))
            os.close(writer)
            reports.append(reader)
        for pid, reader in zip(pids, reports, strict=True):
            assert child.reap(pid).code == 0
            with os.fdopen(reader, "rb") as pipe:
                outcomes += pickle.load(pipe)
    assert set(outcomes) == {0, errno.EACCES}, outcomes
    assert Path("/proc/sys/kernel/tainted").read_text() == tainted
