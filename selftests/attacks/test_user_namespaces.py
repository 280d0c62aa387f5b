# SPDX-License-Identifier: MIT
"""Attack: be root in a user namespace of one's own, load there, and use the program outside.

test_dumpability.py has each way out for one level. Here: deeper, and for ids; and the other
direction, a task that goes into a namespace to have more there.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from selftests.harness import child, memory, privileges, seccomp, uapi
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
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.handing import Route, from_namespace, routes
from selftests.harness.memory import filtered_by, load_reader, report_map
from selftests.harness.patches import proves
from selftests.harness.privileges import (
    enter_user_namespace,
)
from selftests.harness.sys import address, buffer, no_new_privs, prctl
from selftests.harness.uapi import CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, NR

pytestmark = pytest.mark.usefixtures("everybody_may_load")

SECRET = buffer(b"do not tell anybody more")


def undumpable_reading(filtered: memory.Filtered) -> int:
    """The helper's result for a task that is not dumpable."""
    prctl(uapi.PR_SET_DUMPABLE, 0)
    return filtered.read(address(SECRET)).result


@proves("user-memory")
@routes
def test_root_of_a_namespace_in_a_namespace_reads_no_memory(
    route: Route, bpffs_for_all: Path
) -> None:
    """Two levels down, all capabilities in each: EPERM for a task that is not dumpable."""

    def case() -> int:
        report = report_map()
        prog = from_namespace(route, bpffs_for_all, lambda: load_reader(report), depth=2)
        return undumpable_reading(filtered_by(prog, report))

    assert child.run(case) == -errno.EPERM


@proves("user-memory")
def test_going_into_a_namespace_brings_no_right_to_read() -> None:
    """A task that enters a namespace has CAP_SYS_PTRACE there; the filter's loader had not."""

    def case() -> int:
        report = report_map()
        privileges.become_user(privileges.NOBODY, CAP_BPF)
        filtered = filtered_by(load_reader(report), report)
        enter_user_namespace()
        return undumpable_reading(filtered)

    assert child.run(case) == -errno.EPERM


@proves("user-memory")
def test_a_loader_who_enters_a_namespace_first_has_lost_the_right() -> None:
    """CAP_SYS_PTRACE of the initial namespace is given up by entering another."""

    def case(first: bool) -> int:
        report = report_map()
        privileges.become_user(privileges.NOBODY, CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)
        if first:
            enter_user_namespace()
        filtered = filtered_by(load_reader(report), report)
        return undumpable_reading(filtered)

    assert child.run(lambda: case(False)) == 0
    assert child.run(lambda: case(True)) == -errno.EPERM


def asking_uid(report: Map) -> list[Source]:
    """A filter that reports bpf_get_current_uid_gid()."""
    return on_syscall(
        NR.getppid,
        call(uapi.BPF_FUNC_get_current_uid_gid),
        mov_reg(R1, R0),
        map_value(R8, report.fd),
        store(8, R8, 0, R1),
        *ret(uapi.SECCOMP_RET_ALLOW),
    )


@proves("program-type")
@routes
def test_a_program_from_below_sees_no_ids_of_above(route: Route, bpffs_for_all: Path) -> None:
    """Installed in a third namespace, it gets the ids as they are there."""

    def case() -> int:
        report = map_create()
        prog = from_namespace(route, bpffs_for_all, lambda: prog_load(asking_uid(report)))
        os.setresuid(4321, 4321, 4321)
        prctl(uapi.PR_SET_DUMPABLE, 1)
        enter_user_namespace(inside=77)
        no_new_privs()
        seccomp.install(prog)
        seccomp.getppid()
        return report.lookup_int() & 0xFFFFFFFF

    assert child.run(case) == 77
