# SPDX-License-Identifier: MIT
"""Attack: take the loader's namespaces away before the program is installed, or while it runs.

A program that kept a pointer to its loader's namespace without a reference would now follow it; one
that kept a reference would keep namespaces alive that nobody can see any more.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R8,
    Source,
    call,
    map_value,
    mov_reg,
    on_syscall,
    ret,
    store,
)
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.handing import BY_DESCRIPTOR, BY_ID, from_namespace
from selftests.harness.lifetimes import eventually
from selftests.harness.memory import filtered_by, load_reader, report_map
from selftests.harness.patches import proves
from selftests.harness.privileges import get_sysctl, sysctl
from selftests.harness.sys import address, buffer, error_of, no_new_privs, prctl
from selftests.harness.uapi import NR

pytestmark = pytest.mark.usefixtures("everybody_may_load")

SECRET = buffer(b"do not tell anybody more")
MAX_NAMESPACES = "user/max_user_namespaces"


@pytest.fixture(autouse=True)
def _the_limit_is_put_back() -> Iterator[None]:
    """Also if a case is killed while it has another."""
    with sysctl(MAX_NAMESPACES, get_sysctl(MAX_NAMESPACES)):
        yield


def all_are_gone(seconds: float = 20.0) -> bool:
    """Whether the loaders' namespaces go in time: the user who owned them may have one only, and
    gets it.

    Nobody else may need any meanwhile: a worker frees them, soon but not at once.
    """

    def another() -> int:
        return privileges.as_user(lambda: error_of(privileges.enter_user_namespace))

    with sysctl(MAX_NAMESPACES, 1):
        return eventually(lambda: another() == 0, seconds)


@proves("program-type")
def test_a_descriptor_out_of_a_namespace_keeps_it(bpffs_for_all: Path) -> None:
    """As that of any file does (f_cred): what the other tests look for would be seen."""

    def case() -> tuple[bool, bool]:
        report = map_create()
        prog = from_namespace(BY_DESCRIPTOR, bpffs_for_all, lambda: prog_load(ids(report)))
        held = not all_are_gone(2.0 * child.SLOWNESS)
        prog.close()
        return held, all_are_gone()

    assert child.run(case, child.LONG) == (True, True)


@proves("user-memory")
def test_a_program_outlives_the_namespaces_of_its_loader(bpffs_for_all: Path) -> None:
    """Installed when they are gone, it reads what is dumpable and nothing else."""

    def case() -> tuple[bool, int, int]:
        report = report_map()
        prog = from_namespace(BY_ID, bpffs_for_all, lambda: load_reader(report), depth=3, pids=True)
        gone = all_are_gone()
        filtered = filtered_by(prog, report)
        dumpable = filtered.read(address(SECRET)).result
        prctl(uapi.PR_SET_DUMPABLE, 0)
        return gone, dumpable, filtered.read(address(SECRET)).result

    assert child.run(case) == (True, 0, -errno.EPERM)


def ids(report: Map) -> list[Source]:
    """A filter that asks for both kinds of ids, and reports the user's."""
    return on_syscall(
        NR.getppid,
        call(uapi.BPF_FUNC_get_current_pid_tgid),
        call(uapi.BPF_FUNC_get_current_uid_gid),
        mov_reg(R1, R0),
        map_value(R8, report.fd),
        store(8, R8, 0, R1),
        *ret(uapi.SECCOMP_RET_ALLOW),
    )


@proves("program-type")
def test_ids_are_the_running_tasks_when_the_loaders_namespaces_are_gone(
    bpffs_for_all: Path,
) -> None:
    """Names are looked up in the namespaces of who makes the call."""

    def case() -> tuple[bool, int]:
        report = map_create()
        prog = from_namespace(
            BY_ID, bpffs_for_all, lambda: prog_load(ids(report)), depth=2, pids=True
        )
        gone = all_are_gone()
        os.setresuid(4321, 4321, 4321)
        no_new_privs()
        seccomp.install(prog)
        seccomp.getppid()
        return gone, report.lookup_int() & 0xFFFFFFFF

    assert child.run(case) == (True, 4321)


@proves("program-type")
def test_programs_keep_no_namespace_alive(bpffs_for_all: Path) -> None:
    """Sixteen filters, each out of a namespace of its own and all in use: none of these is left.

    An open descriptor would hold its opener's namespace.
    """
    filters = 16

    def wait_under(prog: Prog) -> None:
        no_new_privs()
        seccomp.install(prog)
        prog.close()
        signal.pause()

    def case() -> tuple[bool, int]:
        report = map_create()
        pids: list[int] = []
        for _ in range(filters):
            prog = from_namespace(BY_ID, bpffs_for_all, lambda: prog_load(ids(report)))
            pids.append(child.start(lambda: wait_under(prog)))  # noqa: B023 - called at once
            assert eventually(lambda: seccomp.status("Seccomp_filters", pids[-1]) == "1")
            prog.close()
        gone = all_are_gone()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return gone, sum(child.reap(pid).signal == signal.SIGKILL for pid in pids)

    assert child.run(case, child.LONG) == (True, filters)


@proves("program-type")
def test_a_filter_runs_on_when_its_tasks_namespaces_go() -> None:
    """The last process of a pid namespace makes its last calls under a filter that asks for ids."""

    def case() -> int:
        report = map_create()
        privileges.become_user()
        prog = prog_load(ids(report))
        privileges.enter_user_namespace(inside=55)
        privileges.unshare(privileges.CLONE_NEWPID)

        def first() -> None:
            no_new_privs()
            seccomp.install(prog)
            # Killed with its namespace, in the middle of calls.
            for _ in range(3):
                if os.fork() == 0:
                    while True:
                        seccomp.getppid()
            for _ in range(100):
                seccomp.getppid()

        assert child.wait(first).code == 0
        return report.lookup_int() & 0xFFFFFFFF

    assert child.run(case) == 55
