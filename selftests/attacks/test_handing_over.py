# SPDX-License-Identifier: MIT
"""Attack: hand a program over, for somebody to have more by it than by one of his own.

Out of a user namespace by every way of handing.py, and down into one by inheritance.
test_taking_over.py has the ways that there must not be, test_dumpability.py and
test_user_namespaces.py what a program out of a namespace reads over each way.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selftests.harness import child, lsm, memory, privileges, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R6,
    R8,
    Source,
    alu,
    call,
    load,
    map_fd,
    map_value,
    mov_reg,
    on_syscall,
    ret,
    store,
)
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.handing import ROUTES, Route, from_namespace, from_user, routes
from selftests.harness.memory import filtered_by, load_reader, report_map
from selftests.harness.objects import guest_file
from selftests.harness.patches import proves
from selftests.harness.privileges import CLONE_NEWPID, CLONE_NEWUSER, enter_user_namespace, unshare
from selftests.harness.sys import address, buffer, error_of, no_new_privs, prctl, syscall
from selftests.harness.uapi import CAP_BPF, CAP_SYS_PTRACE, NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

pytestmark = pytest.mark.usefixtures("everybody_may_load")

SECRET = buffer(b"do not tell anybody more")
PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | errno.EDOM))


def undumpable_reading(filtered: memory.Filtered) -> int:
    """The helper's result for a task that is not dumpable."""
    prctl(uapi.PR_SET_DUMPABLE, 0)
    return filtered.read(address(SECRET)).result


def asking(helper: int, report: Map) -> list[Source]:
    """A filter that reports a helper's answer."""
    return on_syscall(
        NR.getppid,
        call(helper),
        mov_reg(R1, R0),
        map_value(R8, report.fd),
        store(8, R8, 0, R1),
        *ret(SECCOMP_RET_ALLOW),
    )


UID, PID = uapi.BPF_FUNC_get_current_uid_gid, uapi.BPF_FUNC_get_current_pid_tgid


# Out of a namespace, and from user to user


@proves("user-memory")
@routes
def test_the_right_to_read_comes_over_every_way_with_its_loader(
    route: Route, bpffs_for_all: Path
) -> None:
    """Attack: launder a program. The loader's CAP_SYS_PTRACE in the initial namespace counts over
    each way, and nothing that the way itself takes: not the receiver's, who is root.
    """

    def case(*caps: int) -> int:
        report = report_map()
        prog = from_user(route, bpffs_for_all, lambda: load_reader(report), CAP_BPF, *caps)
        return undumpable_reading(filtered_by(prog, report))

    assert child.run(lambda: case(CAP_SYS_PTRACE)) == 0
    assert child.run(case) == -errno.EPERM


@proves("lsm-hook", "tier-1")
@routes
def test_state_is_asked_about_again_however_the_program_has_come(
    route: Route, bpffs_for_all: Path
) -> None:
    """Attack: have a filter with state from somebody to whom nobody denies it. Who installs it is
    asked about once, and refused; a pure one that has come the same way is not asked about.
    """

    def case(denier: lsm.Denier) -> tuple[int, int, int, int, int]:
        state = map_create()

        def with_state() -> Prog:
            return prog_load(on_syscall(NR.getppid, map_fd(R1, state.fd), *ret(SECCOMP_RET_ALLOW)))

        stateful = from_namespace(route, bpffs_for_all, with_state)
        pure = from_namespace(route, bpffs_for_all, lambda: prog_load(PURE))
        no_new_privs()
        denier.aim()
        refused, asked = error_of(lambda: seccomp.install(stateful)), denier.asked
        taken = error_of(lambda: seccomp.install(pure))
        asked_then = denier.asked
        denier.lower()
        return refused, asked, taken, asked_then, error_of(lambda: seccomp.install(stateful))

    with lsm.attached() as denier:
        assert child.run(lambda: case(denier)) == (errno.EPERM, 1, 0, 1, 0)


@proves("program-type")
@routes
def test_processes_are_called_what_they_are_called_below(route: Route, bpffs_for_all: Path) -> None:
    """Attack: learn ids of the pid namespaces above. A program out of a namespace says 1 of the
    first process of another; one that has come the same way by CAP_BPF says what it is called here.
    """

    def case() -> tuple[tuple[int, int], tuple[int, int], int]:
        below, here = map_create(), map_create()
        ours = from_namespace(route, bpffs_for_all, lambda: prog_load(asking(PID, below)))
        all_ = from_user(route, bpffs_for_all, lambda: prog_load(asking(PID, here)), CAP_BPF)
        no_new_privs()
        for prog in (ours, all_):
            seccomp.install(prog)
        enter_user_namespace()
        unshare(CLONE_NEWPID)
        pid = child.start(seccomp.getppid)
        assert child.reap(pid).code == 0
        return halves(below), halves(here), pid

    low, high, pid = child.run(case)
    assert pid > 1
    assert (low, high) == ((1, 1), (pid, pid))


def halves(report: Map) -> tuple[int, int]:
    """Low and high half of the report."""
    value = report.lookup_int()
    return value & 0xFFFFFFFF, value >> 32


# Tail calls


def calling(table: Map) -> list[Source]:
    """A filter that goes on in the program of slot 0.

    The slot is no constant: test_changed_from_outside.py has why.
    """
    return on_syscall(
        NR.getppid,
        mov_reg(R1, R6),
        map_fd(R2, table.fd),
        load(4, R3, R6, uapi.DATA_NR),
        alu("xor", R3, NR.getppid),
        call(uapi.BPF_FUNC_tail_call),
        *ret(SECCOMP_RET_ERRNO | errno.EDOM),
    )


def chained(target: Callable[[], Prog], from_above: bool, directory: Path) -> tuple[Prog, Map]:
    """A program that goes on in another one, of which one was loaded in a namespace below: the
    first if the other, ``target``, is to be ``from_above``. With it the map between them, which is
    emptied when nobody has it open.
    """
    table = map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4)

    def caller() -> Prog:
        return prog_load(calling(table))

    if from_above:
        called, first = target(), from_namespace(ROUTES[0], directory, caller)
    else:
        called, first = from_namespace(ROUTES[0], directory, target), caller()
    table.update(called.fd)
    return first, table


@proves("user-memory")
@pytest.mark.parametrize("target_from_above", [True, False], ids=["into above", "into below"])
def test_a_tail_call_neither_lends_nor_takes_the_right_to_read(
    target_from_above: bool, bpffs_for_all: Path
) -> None:
    """Attack: be called by, or call, a program whose loader may read everything. Each program of a
    chain reads what its own loader may.
    """

    def case() -> int:
        report = report_map()
        first, _table = chained(lambda: load_reader(report), target_from_above, bpffs_for_all)
        return undumpable_reading(filtered_by(first, report))

    assert child.run(case) == (0 if target_from_above else -errno.EPERM)


@proves("program-type")
@pytest.mark.parametrize("target_from_above", [True, False], ids=["into above", "into below"])
def test_a_tail_call_changes_nothing_about_ids(
    target_from_above: bool, bpffs_for_all: Path
) -> None:
    """Attack: the same to learn global ids; each program is given those of its own loader."""

    def case() -> int:
        report = map_create()
        first, _table = chained(
            lambda: prog_load(asking(UID, report)), target_from_above, bpffs_for_all
        )
        os.setresuid(4321, 4321, 4321)
        prctl(uapi.PR_SET_DUMPABLE, 1)
        enter_user_namespace(inside=77)
        no_new_privs()
        seccomp.install(first)
        seccomp.getppid()
        return halves(report)[0]

    assert child.run(case) == (4321 if target_from_above else 77)


# Down into a namespace, by inheritance


@dataclass(frozen=True)
class Descent:
    """A way for who has inherited a program into a namespace below his own."""

    name: str
    enter: Callable[[], contextlib.AbstractContextManager[None]] = field(repr=False)
    over_exec: bool = False


@contextlib.contextmanager
def _nowhere() -> Iterator[None]:
    yield


@contextlib.contextmanager
def _unsharing() -> Iterator[None]:
    enter_user_namespace(inside=77)
    yield


@contextlib.contextmanager
def _joining() -> Iterator[None]:
    """A namespace that somebody else has made, of the same user; he goes when the heir does, or
    executes something.
    """
    ready, made = os.pipe()
    gone, here = os.pipe()

    def make() -> None:
        os.close(here)
        enter_user_namespace(inside=77)
        os.write(made, b"m")
        os.read(gone, 1)

    pid = child.start(make)
    os.close(made)
    assert os.read(ready, 1) == b"m"
    privileges.join(pid, CLONE_NEWUSER)
    yield


DESCENTS = (
    Descent("fork and unshare", _unsharing),
    Descent("fork and setns", _joining),
    Descent("fork and exec", _nowhere, over_exec=True),
    Descent("fork, unshare and exec", _unsharing, over_exec=True),
    Descent("fork, setns and exec", _joining, over_exec=True),
)
descents = pytest.mark.parametrize("descent", DESCENTS, ids=lambda descent: descent.name)


def install_and_call(prog: Prog) -> None:
    """What native/install_inherited.c does, by a process that goes on; exits with an errno."""
    no_new_privs()
    prctl(uapi.PR_SET_DUMPABLE, 0)
    code = error_of(lambda: seccomp.install(prog))
    if code == 0:
        syscall(NR.getppid, address(SECRET))
    os._exit(code)


def installed_below(
    descent: Descent,
    prog: Prog,
    before: Callable[[], object] = lambda: None,
) -> int:
    """Errno of installing by an heir, who is an ordinary user and root where he goes; or 0, and
    then the filter has looked at a call of his, with the address of a secret and not dumpable.
    """

    def heir() -> None:
        with descent.enter():
            before()
            if descent.over_exec:
                os.set_inheritable(prog.fd, True)
                name = str(guest_file("install_inherited"))
                os.execv(name, [name, str(prog.fd)])
            install_and_call(prog)

    ended = child.wait(heir)
    assert ended.code is not None, str(ended)
    return ended.code


LOADERS: dict[str, tuple[tuple[int, ...], bool, bool]] = {
    "namespace": ((), True, False),
    "CAP_BPF": ((CAP_BPF,), False, False),
    "CAP_SYS_PTRACE": ((CAP_BPF, CAP_SYS_PTRACE), False, True),
}
"""Capabilities, whether they are those in a namespace of the loader's own, and if he may read."""


@proves("user-memory")
@descents
@pytest.mark.parametrize(
    ("caps", "own_namespace", "may_read"), LOADERS.values(), ids=LOADERS.keys()
)
def test_an_inherited_program_reads_what_its_loader_may(
    descent: Descent, caps: tuple[int, ...], own_namespace: bool, may_read: bool
) -> None:
    """Attack: have children, root in a namespace below, install what their parent has loaded, for
    their capabilities, or a new program's, to be taken for the loader's.
    """

    def case() -> tuple[int, memory.Reading]:
        report = report_map()
        privileges.become_user(privileges.NOBODY, *caps)
        if own_namespace:
            # Root there, who passes on all that he has.
            enter_user_namespace()
        prog = load_reader(report)
        if not own_namespace:
            privileges.set_caps()
        return installed_below(descent, prog), memory.reading(report)

    code, seen = child.run(case)
    assert code == 0
    if may_read:
        assert seen == memory.Reading(0, SECRET.raw[: memory.SIZE])
    else:
        assert seen == memory.refused(errno.EPERM)


@proves("lsm-hook", "tier-1", "user-memory")
@descents
def test_an_heir_is_asked_about_before_he_installs(descent: Descent) -> None:
    """Attack: inherit a filter with state that was loaded before an LSM denied it. The heir is
    asked about once; all capabilities of a namespace below do not help.
    """

    def case(denier: lsm.Denier) -> tuple[int, int, int]:
        report = report_map()
        privileges.become_user()
        prog = load_reader(report)
        code = installed_below(descent, prog, denier.aim)
        asked = denier.asked
        denier.lower()
        return code, asked, installed_below(descent, prog)

    with lsm.attached() as denier:
        assert child.run(lambda: case(denier)) == (errno.EPERM, 1, 0)


@proves("program-type")
@descents
@pytest.mark.parametrize("caps", [(), (CAP_BPF,)], ids=["no_capability", "CAP_BPF"])
def test_an_heir_is_called_what_his_own_namespace_calls_him(
    descent: Descent, caps: tuple[int, ...]
) -> None:
    """Attack: learn the ids above through a program loaded there. Who lacked CAP_BPF when loading
    says what the heir's namespace says, wherever the heir has gone with it.
    """

    def case() -> tuple[int, int]:
        report = map_create()
        privileges.become_user(4321, *caps)
        prog = prog_load(asking(UID, report))
        return installed_below(descent, prog), halves(report)[0]

    below = 4321 if descent.enter is _nowhere or caps else 77
    assert child.run(case) == (0, below)
