# SPDX-License-Identifier: MIT
"""Filters of both kinds on top of each other, and what children get."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    Label,
    Source,
    classic_on_syscall,
    classic_ret,
    exit_,
    jump_if,
    load,
    map_value,
    on_syscall,
    ret,
)
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

pytestmark = proves("program-type")

SOFT = SECCOMP_RET_ERRNO | errno.EDOM
LOG = uapi.SECCOMP_RET_LOG


def ebpf(answer: int) -> None:
    """Answer for getppid()."""
    no_new_privs()
    seccomp.install(prog_load(on_syscall(NR.getppid, *ret(answer))))


def cbpf(answer: int) -> None:
    """The same, classic."""
    no_new_privs()
    seccomp.install_classic(classic_on_syscall(NR.getppid, answer))


KINDS: dict[str, Callable[[int], None]] = {"ebpf": ebpf, "cbpf": cbpf}


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("answers", [(SOFT, SECCOMP_RET_ALLOW), (SECCOMP_RET_ALLOW, SOFT)])
def test_the_stricter_filter_wins(first: str, second: str, answers: tuple[int, int]) -> None:
    """Of ERRNO and ALLOW, ERRNO is taken, whichever filter came last and of whichever kind."""

    def case() -> tuple[int, str]:
        KINDS[first](answers[0])
        KINDS[second](answers[1])
        return errno_of(NR.getppid), seccomp.status("Seccomp_filters")

    assert child.run(case) == (errno.EDOM, "2")


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_of_two_errnos_the_last_filter_s_is_taken(first: str, second: str) -> None:
    """Equal actions: the data of the filter installed last."""

    def case() -> int:
        KINDS[first](SECCOMP_RET_ERRNO | errno.EDOM)
        KINDS[second](SECCOMP_RET_ERRNO | errno.E2BIG)
        return errno_of(NR.getppid)

    assert child.run(case) == errno.E2BIG


def switch(state: Map) -> Sequence[Source]:
    """Deny getppid() while the first value of the map is not zero."""
    return on_syscall(
        NR.getppid,
        map_value(R1, state.fd),
        load(8, R0, R1, 0),
        jump_if("eq", R0, 0, "allow"),
        *ret(SOFT),
        Label("allow"),
        *ret(SECCOMP_RET_ALLOW),
    )


def verdicts(state: Map) -> list[int]:
    """What getppid() comes to while the switch goes on, off and on."""
    seen = []
    for value in (1, 0, 1):
        state.update(value)
        seen.append(errno_of(NR.getppid))
    return seen


@pytest.mark.parametrize("below", [False, True], ids=["alone-below", "allow-all-below"])
@pytest.mark.parametrize("above", [False, True], ids=["alone-above", "allow-all-above"])
def test_a_changing_verdict_is_never_cached(below: bool, above: bool) -> None:
    """Classic allow-all filters around an eBPF filter let each of its verdicts through.

    The bitmap of constant answers would otherwise remember the first one.
    """

    def case() -> list[int]:
        no_new_privs()
        state = map_create()
        if below:
            seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))
        seccomp.install(prog_load(switch(state)))
        if above:
            seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))
        return verdicts(state)

    assert child.run(case) == [errno.EDOM, 0, errno.EDOM]


def test_a_forked_child_has_the_filter() -> None:
    """fork() passes the filter on, and the count with it."""

    def case() -> tuple[int, str]:
        ebpf(SOFT)
        return child.run(lambda: (errno_of(NR.getppid), seccomp.status("Seccomp_filters")))

    assert child.run(case) == (errno.EDOM, "1")


def test_a_thread_has_the_filter() -> None:
    """A thread created later has the filter of its creator."""

    def case() -> int:
        ebpf(SOFT)
        return child.in_thread(lambda: errno_of(NR.getppid))

    assert child.run(case) == errno.EDOM


def test_an_executed_program_has_the_filter() -> None:
    """execve() keeps the filter: the shell finds itself filtered."""

    def case() -> None:
        ebpf(SECCOMP_RET_ALLOW)
        check = 'case "$(cat /proc/$$/status)" in *"Seccomp_filters:	1"*) exit 42;; esac; exit 1'
        os.execv("/bin/sh", ["sh", "-c", check])

    assert child.wait(case).code == 42


def test_a_filter_survives_its_installer() -> None:
    """A child goes on being filtered when the process that installed the filter is gone."""

    def case() -> int:
        reader, writer = os.pipe()
        if os.fork() == 0:
            ebpf(SOFT)
            if os.fork() == 0:
                while os.getppid() != 1 and errno_of(NR.getppid) == errno.EDOM:
                    os.sched_yield()
                    os.write(writer, bytes([errno_of(NR.getppid)]))
                    break
                os._exit(0)
            os._exit(0)
        return os.read(reader, 1)[0]

    assert child.run(case) == errno.EDOM


def test_sixteen_filters_run() -> None:
    """Filters of both kinds stack deep, and each of them is asked."""

    def case() -> tuple[str, int]:
        for _ in range(8):
            cbpf(SECCOMP_RET_ALLOW)
            ebpf(LOG)
        ebpf(SOFT)
        for _ in range(4):
            cbpf(SECCOMP_RET_ALLOW)
        return seccomp.status("Seccomp_filters"), errno_of(NR.getppid)

    assert child.run(case) == ("21", errno.EDOM)


def test_returning_zero_from_getppid_needs_no_map() -> None:
    """A program without state behaves as one with state that never changes."""

    def case() -> list[int]:
        no_new_privs()
        state = map_create()
        state.update(1)
        seccomp.install(prog_load(switch(state)))
        ebpf(SOFT)
        state.update(0)
        return [errno_of(NR.getppid)]

    assert child.run(case) == [errno.EDOM]


def test_the_answer_is_r0() -> None:
    """A filter that only exits with R0 set answers for every system call alike."""

    def case() -> int:
        no_new_privs()
        seccomp.install(prog_load([*ret(SECCOMP_RET_ALLOW)[:1], exit_()]))
        return errno_of(NR.getppid)

    assert child.run(case) == 0
