# SPDX-License-Identifier: MIT
"""Tier 1: what can be said without state, by whom, and how much of it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R6,
    Label,
    Source,
    alu,
    alu_reg,
    call_label,
    classic_ret,
    exit_,
    jump_if,
    load,
    mov,
    mov32,
    mov_reg,
    on_syscall,
    ret,
)
from selftests.harness.bpf import load_error, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import CAP_BPF, NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, data_arg

pytestmark = proves("program-type")

MAX_INSNS_PER_PATH = 32768
"""256 KB of 8-byte instructions: kernel/seccomp.c."""
PENALTY = 4
"""Instructions that each filter below counts on top of its own."""

PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | errno.EDOM))


def denies_with(program: Sequence[Source]) -> int:
    """The errno that getppid(7) fails with under the program."""

    def case() -> int:
        no_new_privs()
        seccomp.install(prog_load(program))
        return errno_of(NR.getppid, 7)

    return child.run(case)


def test_a_bounded_loop_runs() -> None:
    """A loop whose bound the verifier sees is allowed, and computes."""
    program = on_syscall(
        NR.getppid,
        mov(R0, 0),
        mov(R2, 10),
        Label("again"),
        alu("add", R0, 3),
        alu("sub", R2, 1),
        jump_if("ne", R2, 0, "again"),
        alu("or", R0, SECCOMP_RET_ERRNO),
        exit_(),
    )
    assert denies_with(program) == 30


def test_an_endless_loop_is_refused() -> None:
    """The verifier finds a loop that does not end."""
    assert load_error([Label("again"), mov(R0, 0), jump_if("eq", R0, 0, "again"), exit_()]) in (
        errno.EINVAL,
        errno.E2BIG,
    )


def test_functions_call_each_other() -> None:
    """A program can have functions of its own."""
    program = on_syscall(
        NR.getppid,
        load(4, R1, R6, data_arg(0)),
        call_label("double"),
        alu("or", R0, SECCOMP_RET_ERRNO),
        exit_(),
    )
    double: list[Source] = [Label("double"), mov_reg(R0, R1), alu_reg("add", R0, R1), exit_()]
    assert denies_with([*program, *double]) == 14


def test_a_result_that_was_never_set_is_refused() -> None:
    """R0 has to be set at the exit."""
    assert load_error([exit_()]) == errno.EACCES


def test_more_than_the_classic_limit() -> None:
    """With CAP_BPF a program can be longer than the 4096 instructions of a classic one."""
    body: list[Source] = [mov(R0, 0)]
    # Each step depends on the one before, so that none of them is dead.
    body += [alu("add", R0, 1)] * 5000
    program: list[Source] = [*body, mov32(R0, SECCOMP_RET_ALLOW), exit_()]
    assert load_error(program) == 0


def load_as_user(*caps: int) -> int:
    """What loading a filter comes to for an ordinary user."""
    return privileges.as_user(lambda: load_error(PURE), *caps)


def test_users_cannot_load_by_default() -> None:
    """kernel.unprivileged_bpf_disabled=2: EPERM without CAP_BPF."""
    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 2):
        assert load_as_user() == errno.EPERM


def test_cap_bpf_is_enough_to_load() -> None:
    """CAP_BPF alone loads a filter, whatever the sysctl says."""
    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 2):
        assert load_as_user(CAP_BPF) == 0


def test_users_can_load_where_the_administrator_lets_them() -> None:
    """kernel.unprivileged_bpf_disabled=0: an ordinary user loads and installs a pure filter."""

    def case() -> int:
        no_new_privs()
        seccomp.install(prog_load(PURE))
        return errno_of(NR.getppid)

    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 0):
        assert privileges.as_user(case) == errno.EDOM


def test_installing_takes_no_capability() -> None:
    """A user with no_new_privs installs a program that root has loaded."""
    prog = prog_load(PURE)

    def case() -> int:
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid)

    assert privileges.as_user(case) == errno.EDOM


def long_program(length: int) -> list[Source]:
    """A program that the verifier leaves at ``length`` instructions."""
    return [
        mov_reg(R6, R1),
        load(4, R0, R1, uapi.DATA_NR),
        *[alu("xor", R0, 0x55)] * (length - 4),
        mov32(R0, SECCOMP_RET_ALLOW),
        exit_(),
    ]


def install_errors(lengths: Sequence[int], classic_first: int = 0) -> list[int]:
    """The errno of installing programs of these lengths, one after the other."""

    def case() -> list[int]:
        no_new_privs()
        if classic_first:
            seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW) * classic_first)
        errors = []
        for length in lengths:
            prog = prog_load(long_program(length), log_level=0)
            try:
                seccomp.install(prog)
                errors.append(0)
            except OSError as error:
                errors.append(error.errno or -1)
        return errors

    return child.run(case)


def test_one_filter_of_the_limit_fits() -> None:
    """A single program may have as many instructions as all filters together."""
    assert install_errors([MAX_INSNS_PER_PATH]) == [0]


def test_one_instruction_more_does_not() -> None:
    """One more is ENOMEM."""
    assert install_errors([MAX_INSNS_PER_PATH + 1]) == [errno.ENOMEM]


def test_filters_add_up_with_a_penalty_each() -> None:
    """Each filter below counts its instructions and four more."""
    rest = MAX_INSNS_PER_PATH - 20000 - PENALTY
    assert install_errors([20000, rest]) == [0, 0]
    assert install_errors([20000, rest + 1]) == [0, errno.ENOMEM]


def test_classic_filters_count_too() -> None:
    """Both kinds share the limit: with a classic filter below, the whole limit is too much."""
    assert install_errors([MAX_INSNS_PER_PATH], classic_first=1) == [errno.ENOMEM]
    assert install_errors([1000], classic_first=1) == [0]
