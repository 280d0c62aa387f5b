# SPDX-License-Identifier: MIT
"""Attack: take a program that nobody has handed over, for it may read more than one of one's own.

test_handing_over.py has the ways that there are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selftests.harness import bpf, child, privileges, seccomp, uapi
from selftests.harness.asm import on_syscall, ret
from selftests.harness.bpf import map_create, prog_load
from selftests.harness.handing import prog_by_id
from selftests.harness.patches import proves
from selftests.harness.privileges import enter_user_namespace
from selftests.harness.sys import error_of, no_new_privs, syscall
from selftests.harness.uapi import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, NR, SECCOMP_RET_ERRNO

pytestmark = pytest.mark.usefixtures("everybody_may_load")

PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | errno.EDOM))


@contextlib.contextmanager
def holding(become: Callable[[], object]) -> Iterator[tuple[int, int, int]]:
    """A process that has a program, and has become somebody since: pid, descriptor and id."""
    ready, done = os.pipe()

    def hold() -> None:
        prog = prog_load(PURE)
        become()
        os.write(done, struct.pack("=iI", prog.fd, prog.id))
        time.sleep(60)

    with child.running(hold) as pid:
        fd, number = struct.unpack("=iI", os.read(ready, 8))
        yield pid, fd, number
    os.close(ready)
    os.close(done)


@proves("program-type")
def test_proc_does_not_open_a_program_again(bpffs_for_all: Path) -> None:
    """Attack: open /proc/PID/fd/N, by root and of a process that is his to do with what he likes.

    There is no file behind it: not to open, not to get as a pinned object, not to link to; and a
    descriptor of the path alone is none of a program.
    """

    def case() -> tuple[str, list[int]]:
        with holding(lambda: None) as (pid, fd, _):
            link = Path(f"/proc/{pid}/fd/{fd}")
            name = str(link.readlink())
            path_only = os.open(link, os.O_PATH)
            no_new_privs()
            return name, [
                error_of(lambda: os.close(os.open(link, os.O_RDONLY))),
                error_of(lambda: os.close(os.open(link, os.O_RDWR))),
                error_of(lambda: bpf.pinned(link)),
                error_of(lambda: os.link(link, bpffs_for_all / "link", follow_symlinks=True)),
                error_of(lambda: seccomp.install(path_only)),
                error_of(lambda: bpf.object_id(path_only)),
                error_of(
                    lambda: seccomp.install(syscall(NR.pidfd_getfd, os.pidfd_open(pid), fd, 0))
                ),
            ]

    name, errors = child.run(case)
    assert name == "anon_inode:bpf-prog"
    assert errors == [
        errno.ENXIO,
        errno.ENXIO,
        errno.EACCES,
        errno.EXDEV,
        errno.EBADF,
        errno.EBADFD,
        # The control: the way that there is.
        0,
    ]


def _with_cap_bpf() -> None:
    privileges.become_user(privileges.NOBODY, CAP_BPF, CAP_PERFMON)


def _below() -> None:
    privileges.become_user()
    enter_user_namespace()


ATTACKERS: dict[str, Callable[[], object]] = {
    "no capability": privileges.become_user,
    "CAP_BPF": _with_cap_bpf,
    "namespace": _below,
    "root's namespace": enter_user_namespace,
}


@proves("program-type")
@pytest.mark.parametrize("become", ATTACKERS.values(), ids=ATTACKERS.keys())
def test_nobody_without_cap_sys_admin_opens_a_program_by_id(
    become: Callable[[], object],
) -> None:
    """Attack: guess ids, or list them. It takes CAP_SYS_ADMIN in the initial namespace, whatever
    else one has, also to go through a prog array that one holds.
    """
    prog = prog_load(PURE)
    table = map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4)
    table.update(prog.fd)
    number = prog.id

    def case(become: Callable[[], object]) -> tuple[int, int]:
        os.close(prog.fd)
        become()
        found = table.lookup_int()
        assert found == number, "the array tells the id"
        by_id = error_of(lambda: os.close(prog_by_id(found)))
        return by_id, error_of(next_id)

    def next_id() -> int:
        return bpf.bpf(uapi.BPF_PROG_GET_NEXT_ID, struct.pack("=III", 0, 0, 0))

    def admin() -> None:
        privileges.become_user(privileges.NOBODY, CAP_SYS_ADMIN)

    assert child.run(lambda: case(become)) == (errno.EPERM, errno.EPERM)
    assert child.run(lambda: case(admin)) == (0, 0)


@proves("program-type")
def test_nobody_below_takes_a_program_from_above() -> None:
    """Attack: take a program that may read everything from a process above, all-powerful below.

    pidfd_getfd(), /proc and ptrace() all ask for the right to trace, in the holder's namespace.
    """

    def attempts(become: Callable[[], object], pid: int, fd: int) -> list[int]:
        become()
        return [
            error_of(lambda: syscall(NR.pidfd_getfd, os.pidfd_open(pid), fd, 0)),
            error_of(lambda: os.open(f"/proc/{pid}/fd/{fd}", os.O_PATH)),
            error_of(lambda: syscall(NR.ptrace, uapi.PTRACE_SEIZE, pid, 0, 0)),
        ]

    def case(become: Callable[[], object]) -> list[int]:
        with holding(lambda: None) as (pid, fd, _):
            return child.run(lambda: attempts(become, pid, fd))

    denied = [errno.EPERM, errno.EACCES, errno.EPERM]
    assert child.run(lambda: case(ATTACKERS["namespace"])) == denied
    assert child.run(lambda: case(ATTACKERS["root's namespace"])) == denied
    assert child.run(lambda: case(lambda: None)) == [0, 0, 0]
