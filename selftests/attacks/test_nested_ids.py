# SPDX-License-Identifier: MIT
"""Attack: learn ids of the namespaces above, or be taken for somebody, three namespaces down.

test_ids.py has one level. Here each level has names of its own for the same user and process.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import R0, R1, R8, call, map_value, mov_reg, on_syscall, ret, store
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.privileges import (
    CLONE_NEWPID,
    CLONE_NEWUSER,
    NOBODY,
    enter_user_namespace,
    unshare,
)
from selftests.harness.sys import no_new_privs
from selftests.harness.uapi import CAP_BPF, NR

pytestmark = [proves("program-type"), pytest.mark.usefixtures("everybody_may_load")]

USER = 1234
NAMES = (0, 5, 9)
"""What the same user is called, level by level."""
PID, UID = uapi.BPF_FUNC_get_current_pid_tgid, uapi.BPF_FUNC_get_current_uid_gid

loaders = pytest.mark.parametrize(
    ("caps", "sees_all"), [((), False), ((CAP_BPF,), True)], ids=["no_capability", "CAP_BPF"]
)


def asking(helper: int, report: Map) -> Prog:
    """A filter that reports a helper's answer, loaded with the caller's privileges."""
    return prog_load(
        on_syscall(
            NR.getppid,
            call(helper),
            mov_reg(R1, R0),
            map_value(R8, report.fd),
            store(8, R8, 0, R1),
            *ret(uapi.SECCOMP_RET_ALLOW),
        )
    )


def halves(report: Map) -> tuple[int, int]:
    """Low and high half of the report."""
    value = report.lookup_int()
    return value & 0xFFFFFFFF, value >> 32


@loaders
def test_a_user_is_called_what_his_own_namespace_calls_him(
    caps: tuple[int, ...], sees_all: bool
) -> None:
    """Asked at each level: the name there, or the global id for a loader with CAP_BPF."""

    def case() -> list[tuple[int, int]]:
        report = map_create()
        privileges.become_user(USER, *caps)
        prog = asking(UID, report)
        no_new_privs()
        seccomp.install(prog)
        seen = []
        for name in NAMES:
            enter_user_namespace(inside=name)
            seccomp.getppid()
            seen.append(halves(report))
        return seen

    names = [USER] * len(NAMES) if sees_all else list(NAMES)
    assert child.run(case) == [(name, name) for name in names]


@loaders
def test_without_a_mapping_half_way_up_a_user_is_nobody(
    caps: tuple[int, ...], sees_all: bool
) -> None:
    """A namespace without mappings below one with: there the user has no name."""

    def case() -> tuple[int, int]:
        report = map_create()
        privileges.become_user(USER, *caps)
        prog = asking(UID, report)
        enter_user_namespace(inside=7)
        unshare(CLONE_NEWUSER)
        no_new_privs()
        seccomp.install(prog)
        seccomp.getppid()
        return halves(report)

    assert child.run(case) == ((USER, USER) if sees_all else (NOBODY, NOBODY))


@loaders
def test_a_process_is_called_what_its_own_namespace_calls_it(
    caps: tuple[int, ...], sees_all: bool
) -> None:
    """The first process three pid namespaces down is 1 there, and has its parents' names above."""

    def case() -> tuple[tuple[int, int], int]:
        report = map_create()
        privileges.become_user(USER, *caps)
        prog = asking(PID, report)
        enter_user_namespace()
        no_new_privs()
        seccomp.install(prog)
        reader, writer = os.pipe()

        def deeper(level: int) -> None:
            if level == len(NAMES):
                os.write(writer, bytes(Path("/proc/self").readlink()))
                seccomp.getppid()
                return
            unshare(CLONE_NEWPID)
            assert child.wait(lambda: deeper(level + 1)).code == 0

        deeper(0)
        # /proc was mounted outside, and has the outermost names.
        return halves(report), int(os.read(reader, 20))

    seen, outermost = child.run(case)
    assert outermost > 1
    assert seen == ((outermost, outermost) if sees_all else (1, 1))
