# SPDX-License-Identifier: MIT
"""PTRACE_SECCOMP_GET_FILTER_EXTENDED: getting a task's filters back, for checkpoint/restore."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import classic_ret, on_syscall, ret
from selftests.harness.bpf import Prog, object_id, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, error_of, no_new_privs, ptrace
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

pytestmark = proves("retrieval")

DENY = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | errno.EDOM))
CLASSIC = "classic"


@contextlib.contextmanager
def traced(filters: Sequence[Prog | str]) -> Iterator[int]:
    """A stopped tracee of the caller with these filters, the first one installed first; its pid."""

    def body() -> None:
        no_new_privs()
        for item in filters:
            if isinstance(item, Prog):
                seccomp.install(item)
            else:
                seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))
        time.sleep(60)

    with child.running(body) as pid:
        deadline = time.monotonic() + 20
        while filters and seccomp.status("Seccomp_filters", pid) != str(len(filters)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        ptrace(uapi.PTRACE_ATTACH, pid)
        os.waitpid(pid, 0)
        yield pid


def id_at(pid: int, index: int) -> int:
    """Id of the program that is the tracee's filter at ``index``."""
    got = seccomp.tracer_filter(pid, index)
    return object_id(got.fd)


def error_for(filters: Sequence[Prog | str], index: int) -> int:
    """What asking for the filter at ``index`` comes to."""

    def case() -> int:
        with traced(filters) as pid:
            return error_of(lambda: seccomp.tracer_filter(pid, index))

    return child.run(case)


def test_the_same_program_comes_back() -> None:
    """The tracer gets a new descriptor of the very program, closed on exec."""
    prog = prog_load(DENY)

    def case() -> tuple[int, int]:
        with traced([prog]) as pid:
            got = seccomp.tracer_filter(pid, 0)
            return object_id(got.fd), fcntl.fcntl(got.fd, fcntl.F_GETFD)

    assert child.run(case) == (prog.id, fcntl.FD_CLOEXEC)


def test_it_can_be_installed_again() -> None:
    """What came back filters whoever installs it, also when the tracee is long gone."""

    def case() -> int:
        prog = prog_load(DENY)
        with traced([prog]) as pid:
            prog.close()
            got = seccomp.tracer_filter(pid, 0)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        no_new_privs()
        seccomp.install(got)
        return errno_of(NR.getppid)

    assert child.run(case) == errno.EDOM


def test_a_mixed_stack_can_be_walked() -> None:
    """Each index answers to one of the two requests, with EMEDIUMTYPE for the other."""
    first, last = prog_load(DENY), prog_load(ret(SECCOMP_RET_ALLOW))

    def case() -> list[object]:
        seen: list[object] = []
        with traced([first, CLASSIC, last]) as pid:
            for index in range(3):
                classic = error_of(partial(seccomp.tracer_classic_filter, pid, index))
                extended = error_of(partial(seccomp.tracer_filter, pid, index))
                seen.append((errno.errorcode.get(classic), errno.errorcode.get(extended)))
            seen += [id_at(pid, 0), id_at(pid, 2)]
        return seen

    assert child.run(case) == [
        ("EMEDIUMTYPE", None),
        (None, "EMEDIUMTYPE"),
        ("EMEDIUMTYPE", None),
        first.id,
        last.id,
    ]


def test_past_the_end() -> None:
    """An index beyond the last filter is ENOENT, also a very large one."""
    prog = prog_load(DENY)
    assert error_for([prog], 1) == errno.ENOENT
    assert error_for([prog], 2**63) == errno.ENOENT


def test_a_task_without_filters() -> None:
    """A tracee that is not in filter mode is EINVAL."""
    assert error_for([], 0) == errno.EINVAL


def test_it_takes_cap_sys_admin() -> None:
    """A tracer without CAP_SYS_ADMIN gets EACCES, for a tracee that it may trace."""
    prog = prog_load(DENY)

    def case() -> int:
        privileges.set_caps(uapi.CAP_BPF, uapi.CAP_PERFMON, uapi.CAP_SYS_PTRACE)
        with traced([prog]) as pid:
            return error_of(lambda: seccomp.tracer_filter(pid, 0))

    assert child.run(case) == errno.EACCES


def test_cap_sys_admin_of_a_child_namespace_is_not_it() -> None:
    """All capabilities in a user namespace of one's own are EACCES."""
    prog = prog_load(DENY)

    def case() -> int:
        with traced([prog]) as pid:
            return error_of(lambda: seccomp.tracer_filter(pid, 0))

    assert privileges.in_user_namespace(case) == errno.EACCES


def test_a_tracer_under_seccomp_gets_nothing() -> None:
    """A filtered tracer gets EACCES, though it has every capability."""
    prog = prog_load(DENY)

    def case() -> int:
        with traced([prog]) as pid:
            no_new_privs()
            seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))
            return error_of(lambda: seccomp.tracer_filter(pid, 0))

    assert child.run(case) == errno.EACCES
