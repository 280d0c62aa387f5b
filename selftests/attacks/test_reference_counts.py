"""Attack: load, install and fail so often that a reference that is lost each time is noticed.

On all CPUs at once, so that counts are taken and dropped at the same time. A hundred thousand
rounds, profile ``endurance``, would overflow a 16-bit count and fill memory; the default profile
does some hundred.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import R1, Source, load, map_value, on_syscall, ret
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.lifetimes import eventually, maps, progs
from selftests.harness.sys import errno_of, error_of, no_new_privs
from selftests.harness.uapi import NR

pytestmark = pytest.mark.patch(2)

ROUNDS = int(os.environ.get("SECCOMP_LAB_ROUNDS", "300"))
CHUNK = 100
"""Rounds for each child: a task's filters add up to a limit."""

DENY = on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM))


def stateful(state: Map) -> list[Source]:
    """A filter that looks at a map."""
    return on_syscall(
        NR.getppid,
        map_value(R1, state.fd),
        load(8, R1, R1, 0),
        *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM),
    )


def loaded() -> None:
    """Load, and close."""
    state = map_create()
    prog_load(stateful(state), log_level=0).close()
    state.close()


def refused() -> None:
    """A load that the verifier refuses late, when it has taken the map."""
    state = map_create()
    program = on_syscall(NR.getppid, map_value(R1, state.fd), load(8, R1, R1, 8), *ret(0))
    assert error_of(lambda: prog_load(program, log_level=0)) == errno.EACCES
    state.close()


def installed() -> None:
    """Load, install, close."""
    state = map_create()
    prog = prog_load(stateful(state), log_level=0)
    state.close()
    seccomp.install(prog)
    prog.close()


def failed() -> None:
    """Installations that fail: a flag that does not exist, a second listener."""
    prog = prog_load(DENY, log_level=0)
    assert error_of(lambda: seccomp.install(prog, 1 << 9)) == errno.EINVAL
    listener = uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER
    assert error_of(lambda: seccomp.install(prog, listener)) == errno.EBUSY
    prog.close()


def without_privilege() -> None:
    """Installations that fail for want of no_new_privs, after the program was taken."""
    prog = prog_load(DENY, log_level=0)
    assert error_of(lambda: seccomp.install(prog)) == errno.EACCES
    prog.close()


def prepared_for(operation: Callable[[], None]) -> None:
    """What a child does first."""
    if operation is without_privilege:
        privileges.set_caps(uapi.CAP_BPF, uapi.CAP_PERFMON, uapi.CAP_SYS_PTRACE)
        return
    no_new_privs()
    if operation is failed:
        seccomp.install(prog_load(DENY, log_level=0), uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER)


OPERATIONS = (loaded, refused, installed, failed, without_privilege)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_nothing_is_left_after_many_rounds(operation: Callable[[], None]) -> None:
    """Programs and maps are gone with their last users, and as many as before can be had."""
    before = progs(), maps()

    def case(rounds: int) -> None:
        prepared_for(operation)
        for _ in range(rounds):
            operation()

    at_once = len(os.sched_getaffinity(0))
    with privileges.sysctl(privileges.PTRACE_SCOPE, 1):
        for start in range(0, ROUNDS, CHUNK * at_once):
            rounds = [max(0, min(CHUNK, ROUNDS - start - CHUNK * n)) for n in range(at_once)]
            pids = [child.start(functools.partial(case, number)) for number in rounds]
            assert [child.reap(pid).code for pid in pids] == [0] * at_once
            if start % 5000 < CHUNK * at_once:
                _sign_of_life(f"{operation.__name__}: {start} of {ROUNDS}")
    assert eventually(lambda: progs() <= before[0] and maps() <= before[1])


def _sign_of_life(text: str) -> None:
    """A guest that says nothing for minutes is taken for a dead one."""
    if ROUNDS > 5000:
        Path("/dev/kmsg").write_text(f"seccomp-lab: {text}\n")


def test_a_listener_and_its_filter_go_together() -> None:
    """Closing the listener of a task that is gone frees the program."""
    before = progs()

    def case() -> int:
        no_new_privs()
        for _ in range(20):
            if os.fork() == 0:
                prog = prog_load(DENY, log_level=0)
                os.close(seccomp.install(prog, uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER))
                os._exit(0)
            os.wait()
        return errno_of(NR.getppid)

    assert child.run(case) == 0
    assert eventually(lambda: progs() <= before)
