# SPDX-License-Identifier: MIT
"""How long a program lives: as long as a descriptor, a pin, or a task that it filters."""

from __future__ import annotations

import errno
import os
import time

from selftests.harness import bpf, child, mounts, seccomp, uapi
from selftests.harness.asm import R1, Source, load, map_value, on_syscall, ret
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, error_of, no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ERRNO

pytestmark = proves("program-type")

PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | errno.EDOM))


def with_map(state: Map) -> list[Source]:
    """The same, with a map that it looks at."""
    return on_syscall(
        NR.getppid,
        map_value(R1, state.fd),
        load(8, R1, R1, 0),
        *ret(SECCOMP_RET_ERRNO | errno.EDOM),
    )


def test_a_program_without_users_goes_away() -> None:
    """Closing the last descriptor frees the program and its map."""
    state = map_create()
    prog = prog_load(with_map(state))
    prog_id, map_id = prog.id, state.id
    assert prog_id in progs()
    assert map_id in maps()
    state.close()
    assert map_id in maps(), "the program needs its map"
    prog.close()
    assert eventually(lambda: prog_id not in progs() and map_id not in maps())


def test_a_filtered_task_keeps_program_and_map() -> None:
    """With all descriptors closed both live as long as the task, and go with it."""
    state = map_create()
    prog = prog_load(with_map(state))
    prog_id, map_id = prog.id, state.id

    def sleep() -> None:
        no_new_privs()
        seccomp.install(prog)
        prog.close()
        state.close()
        time.sleep(60)

    with child.running(sleep) as pid:
        assert eventually(lambda: seccomp.status("Seccomp_filters", pid) == "1")
        prog.close()
        state.close()
        time.sleep(0.2)
        assert prog_id in progs()
        assert map_id in maps()
    assert eventually(lambda: prog_id not in progs() and map_id not in maps())


def test_a_grandchild_keeps_the_program() -> None:
    """The filter is shared by fork(): the last task that has it counts."""
    prog = prog_load(PURE)
    prog_id = prog.id
    reader, writer = os.pipe()

    def parent() -> None:
        no_new_privs()
        seccomp.install(prog)
        if os.fork() == 0:
            prog.close()
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)

    assert child.wait(parent).code == 0
    prog.close()
    os.close(reader)
    time.sleep(0.2)
    assert prog_id in progs()
    os.close(writer)
    assert eventually(lambda: prog_id not in progs())


def test_a_pinned_program_can_be_installed_by_another_process() -> None:
    """Pinned in bpffs a program outlives its loader, and its pin's removal outlives nothing."""
    with mounts.bpffs() as directory:
        path = directory / "filter"

        def loader() -> int:
            prog = prog_load(PURE)
            bpf.pin(prog, path)
            return prog.id

        def installer() -> tuple[int, int]:
            prog = bpf.pinned(path)
            no_new_privs()
            seccomp.install(prog)
            prog.close()
            before = errno_of(NR.getppid)
            path.unlink()
            return before, errno_of(NR.getppid)

        prog_id = child.run(loader)
        assert prog_id in progs()
        assert child.run(installer) == (errno.EDOM, errno.EDOM)
        assert eventually(lambda: prog_id not in progs())


def test_failed_installs_leave_nothing_behind() -> None:
    """Programs whose installation failed are freed: flags, privilege, length."""
    before = progs()

    def case() -> list[int]:
        prog = prog_load(PURE)
        errors = [
            error_of(lambda: seccomp.install(prog, 1 << 7)),
            error_of(lambda: seccomp.install(prog, uapi.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)),
        ]
        no_new_privs()
        listener = uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER
        seccomp.install(prog, listener)
        errors.append(error_of(lambda: seccomp.install(prog, listener)))
        return errors

    assert child.run(case) == [errno.EINVAL, errno.EINVAL, errno.EBUSY]
    assert eventually(lambda: progs() <= before)


def test_two_hundred_loads_and_installs_leak_nothing() -> None:
    """After many children with filters the set of programs is what it was."""
    before = progs()

    def case() -> None:
        no_new_privs()
        held: list[Prog] = []
        for _ in range(200):
            prog = prog_load(PURE, log_level=0)
            seccomp.install(prog)
            held.append(prog)
        for prog in held:
            prog.close()

    child.run(case)
    assert eventually(lambda: progs() <= before)
