# SPDX-License-Identifier: MIT
"""What an installation leaves: one that fails, nothing; one that succeeds, a program for a time."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import R0, classic_ret, mov32
from selftests.harness.bpf import Prog, ids, prog_load
from selftests.harness.installing import CLOSED, DENY, errname_of, install_at
from selftests.harness.patches import proves
from selftests.harness.sys import no_new_privs
from selftests.harness.uapi import (
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
    SECCOMP_RET_ALLOW,
)

pytestmark = proves("program-type")


def open_descriptors() -> int:
    """How many descriptors the process has, and one for looking."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def is_loaded(number: int) -> bool:
    """Does the kernel still know the program of this id?"""
    return number in ids(uapi.BPF_PROG_GET_NEXT_ID)


def is_freed(number: int, seconds: float = 10) -> bool:
    """Does the program go away? Tasks and filters are released some time after they end."""
    deadline = time.monotonic() + seconds
    while is_loaded(number):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def not_allowed(prog: Prog) -> str:
    """EACCES: neither no_new_privs nor CAP_SYS_ADMIN."""
    privileges.become_user()
    return errname_of(lambda: seccomp.install(prog))


def no_descriptor_left(prog: Prog) -> str:
    """EMFILE: the listener gets no descriptor."""
    no_new_privs()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        while True:
            os.dup(prog.fd)
    except OSError:
        return errname_of(lambda: seccomp.install(prog, SECCOMP_FILTER_FLAG_NEW_LISTENER))


def second_listener(prog: Prog) -> str:
    """EBUSY: there is a listener already."""
    no_new_privs()
    seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW), SECCOMP_FILTER_FLAG_NEW_LISTENER)
    return errname_of(lambda: seccomp.install(prog, SECCOMP_FILTER_FLAG_NEW_LISTENER))


def diverged(prog: Prog) -> str:
    """ESRCH: another thread has filters of its own; with a listener, which is taken back."""
    no_new_privs()
    ready, done = threading.Event(), threading.Event()

    def other() -> None:
        seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))
        ready.set()
        done.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait(20)
    flags = (
        SECCOMP_FILTER_FLAG_TSYNC
        | SECCOMP_FILTER_FLAG_TSYNC_ESRCH
        | SECCOMP_FILTER_FLAG_NEW_LISTENER
    )
    code = errname_of(lambda: seccomp.install(prog, flags))
    done.set()
    thread.join(20)
    return code


LONG = 32768
"""MAX_INSNS_PER_PATH (kernel/seccomp.c): a program with this and more is too long by itself."""


def too_much(prog: Prog) -> str:
    """ENOMEM: the instructions of all filters together are more than a task may have."""
    no_new_privs()
    return errname_of(lambda: seccomp.install(prog))


FAILURES: dict[str, Callable[[Prog], str]] = {
    "EACCES": not_allowed,
    "EMFILE": no_descriptor_left,
    "EBUSY": second_listener,
    "ESRCH": diverged,
    "ENOMEM": too_much,
}


@pytest.mark.parametrize("expected", FAILURES)
def test_a_failed_install_keeps_no_program(expected: str) -> None:
    """Each way to fail after the program was found gives its reference back."""
    program = DENY if expected != "ENOMEM" else [*[mov32(R0, 0)] * LONG, *DENY]
    prog = prog_load(program, log_level=0)
    number = prog.id

    def case() -> tuple[str, str]:
        code = FAILURES[expected](prog)
        # Our own filter denies this; the others that a case needed do not.
        return code, errname_of(seccomp.getppid)

    assert child.run(case) == (expected, "0")
    assert is_loaded(number)
    prog.close()
    assert is_freed(number)


def test_an_installed_program_lives_as_long_as_its_task() -> None:
    """A filter holds its program while a task has it, and no longer."""
    prog = prog_load(DENY)
    number = prog.id
    reader, writer = os.pipe()

    def body() -> None:
        no_new_privs()
        seccomp.install(prog)
        prog.close()
        os.write(writer, b"x")
        time.sleep(30)

    with child.running(body):
        os.read(reader, 1)
        prog.close()
        assert is_loaded(number)
    assert is_freed(number)


def test_failed_installs_leave_no_filter_and_no_descriptor() -> None:
    """After failures of every kind the task has no filter, and as many descriptors as before."""

    def case() -> tuple[list[str], str, int]:
        prog = prog_load(DENY)
        no_new_privs()
        before = open_descriptors()
        codes = [
            errname_of(lambda: seccomp.install(CLOSED)),
            errname_of(lambda: install_at(0)),
            errname_of(lambda: seccomp.install(prog, 1 << 7)),
            errname_of(
                lambda: seccomp.install(
                    prog, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER
                )
            ),
        ]
        after = open_descriptors()
        return codes, seccomp.status("Seccomp_filters"), after - before

    assert child.run(case) == (["EBADF", "EFAULT", "EINVAL", "EINVAL"], "0", 0)
