# SPDX-License-Identifier: MIT
"""Helper functions: what each loader of filters is offered, and what nobody is."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import socket
from dataclasses import dataclass

import pytest

from selftests.harness import child, privileges, seccomp, token
from selftests.harness.asm import (
    R0,
    Source,
    alu,
    assemble,
    call,
    call_kfunc,
    exit_,
    mov,
    on_syscall,
    ret,
)
from selftests.harness.bpf import BpfError, ProgLoadAttr, bpf, load_error, prog_load
from selftests.harness.helper_table import (
    ANY,
    BPF,
    HELPERS,
    NEVER,
    PERFMON,
    Grant,
    grants_of,
)
from selftests.harness.kernel_btf import function_id
from selftests.harness.lacks import KFUNCS, Lacks
from selftests.harness.patches import proves
from selftests.harness.sys import address, buffer, errno_of, error_of, no_new_privs
from selftests.harness.uapi import (
    BPF_PROG_LOAD,
    BPF_PROG_TYPE_SECCOMP,
    CAP_BPF,
    CAP_PERFMON,
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    NR,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    BPF_FUNC_get_current_uid_gid,
)

pytestmark = [proves("program-type", "user-memory"), pytest.mark.usefixtures("state_allowed")]


@dataclass(frozen=True)
class Loader:
    """Somebody who loads filters: what he is called, and his capabilities."""

    name: str
    caps: frozenset[int] = frozenset()
    unprivileged_bpf_disabled: int = 2


LOADERS = (
    Loader("unprivileged", frozenset(), 0),
    Loader("CAP_PERFMON_without_CAP_BPF", frozenset({CAP_PERFMON, CAP_SYS_PTRACE}), 0),
    Loader("CAP_BPF", frozenset({CAP_BPF})),
    Loader("CAP_BPF_and_CAP_SYS_PTRACE", frozenset({CAP_BPF, CAP_SYS_PTRACE})),
    Loader("CAP_BPF_and_CAP_PERFMON", frozenset({CAP_BPF, CAP_PERFMON})),
    Loader("CAP_SYS_ADMIN", frozenset({CAP_SYS_ADMIN})),
    Loader("root", frozenset(range(41))),
)


class Prober:
    """Loads one-call programs. Log and attributes are reused: there are some 1500 loads."""

    def __init__(self, **fields: int) -> None:
        self._log = ctypes.create_string_buffer(8192)
        self._code = ctypes.create_string_buffer(assemble(self._program(0)))
        self._licence = buffer(b"GPL\0")
        self._attr = ProgLoadAttr(
            prog_type=BPF_PROG_TYPE_SECCOMP,
            insn_cnt=3,
            insns=address(self._code),
            license=address(self._licence),
            log_level=2,
            log_size=len(self._log),
            log_buf=address(self._log),
        )
        for name, value in fields.items():
            setattr(self._attr, name, value)

    @staticmethod
    def _program(helper: int) -> list[Source]:
        return [call(helper), mov(R0, 0), exit_()]

    def log_for(self, helper: int) -> str:
        """What the verifier has to say about a call of this helper."""
        self._code.raw = assemble(self._program(helper)) + b"\0"
        self._log[0] = b"\0"
        with contextlib.suppress(OSError):
            os.close(bpf(BPF_PROG_LOAD, self._attr))
        return self._log.value.decode()


REFUSED = "program of this type cannot use helper"
UNKNOWN = "invalid func"


def surprises(grants: frozenset[Grant], **fields: int) -> list[str]:
    """Load a call of every helper; what was not as the table says."""
    prober = Prober(**fields)
    found = []
    for helper in HELPERS:
        log = prober.log_for(helper.id)
        named = re.search(r"call bpf_(\w+)#(\d+)", log)
        if named is None or UNKNOWN in log:
            found.append(f"{helper.id} {helper.name}: no verdict in {log!r}")
            continue
        if (named[1], int(named[2])) != (helper.name, helper.id):
            found.append(f"{helper.id} is {named[1]}, not {helper.name}")
        offered, expected = REFUSED not in log, helper.grant in grants
        if offered != expected and not (helper.may_miss and not offered):
            found.append(f"{helper.name} is {'offered' if offered else 'refused'}")
    return found


@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.name)
def test_a_loader_is_offered_the_helpers_of_his_tier_and_no_others(loader: Loader) -> None:
    """Of all helpers of the kernel, each loader gets those that the table gives him."""
    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, loader.unprivileged_bpf_disabled):
        found = privileges.as_user(lambda: surprises(grants_of(loader.caps)), *loader.caps)
    assert found == []


def test_a_token_brings_helpers_but_not_memory() -> None:
    """A BPF token for a user namespace's root gives CAP_BPF's and CAP_PERFMON's helpers only."""
    ours, theirs = socket.socketpair()

    def case() -> list[str]:
        privileges.become_user()
        mine = token.obtain(theirs)
        return surprises(
            frozenset({ANY, BPF, PERFMON}), prog_flags=token.BPF_F_TOKEN_FD, prog_token_fd=mine.fd
        )

    with child.running(lambda: token.administer(ours)):
        assert child.run(case) == []


@pytest.mark.parametrize(
    ("delegated", "expected"),
    [("seccomp", 0), ("socket_filter", errno.EPERM)],
    ids=["this_type", "another"],
)
def test_a_token_loads_filters_if_the_type_was_delegated(delegated: str, expected: int) -> None:
    """An administrator delegates filters by the name of their program type, and nothing else."""
    ours, theirs = socket.socketpair()

    def case() -> int:
        privileges.become_user()
        mine = token.obtain(theirs)
        return error_of(
            lambda: prog_load(PURE, prog_flags=token.BPF_F_TOKEN_FD, prog_token_fd=mine.fd)
        )

    with (
        privileges.sysctl(privileges.UNPRIVILEGED_BPF, 2),
        child.running(lambda: token.administer(ours, progs=delegated)),
    ):
        assert child.run(case) == expected


def test_no_helper_of_the_kernel_is_missing_from_the_table() -> None:
    """The table ends where the kernel's helpers end: a new one has to be classified."""
    log = child.run(lambda: Prober().log_for(len(HELPERS) + 1))
    assert [helper.id for helper in HELPERS] == list(range(1, len(HELPERS) + 1))
    assert UNKNOWN in log, f"new helper: classify it in helper_table.py: {log}"


def test_the_table_refuses_what_must_never_be_offered() -> None:
    """Timers and helpers that sleep stay refused to root, whatever else the table says."""
    never = {helper.name for helper in HELPERS if helper.grant is NEVER}
    assert {
        "timer_init",
        "timer_set_callback",
        "timer_start",
        "timer_cancel",
        "copy_from_user",
        "copy_from_user_task",
        "probe_write_user",
        "override_return",
    } <= never
    prober = Prober()
    assert all(REFUSED in prober.log_for(h.id) for h in HELPERS if h.name in never)


PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | 7))


@pytest.mark.parametrize(
    ("disabled", "expected"), [(0, 0), (2, errno.EPERM)], ids=["sysctl_0", "sysctl_2"]
)
def test_an_ordinary_user_loads_only_if_the_sysctl_says_so(disabled: int, expected: int) -> None:
    """Without CAP_BPF a filter is loaded under unprivileged_bpf_disabled=0 and not under 2."""
    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, disabled):
        assert privileges.as_user(lambda: load_error(PURE)) == expected


def test_an_ordinary_users_filter_works() -> None:
    """Under unprivileged_bpf_disabled=0 somebody without any capability filters himself."""

    def case() -> tuple[int, int]:
        prog = prog_load(PURE)
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid), errno_of(NR.getuid)

    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 0):
        assert privileges.as_user(case) == (7, 0)


def test_capabilities_in_a_child_namespace_do_not_load() -> None:
    """All capabilities in a user namespace of one's own are no CAP_BPF: EPERM under sysctl 2."""

    def case() -> int:
        privileges.become_user()
        privileges.enter_user_namespace()
        return load_error(PURE)

    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 2):
        assert child.run(case) == errno.EPERM


@pytest.mark.parametrize(
    "name", ["bpf_rcu_read_lock", "bpf_get_kmem_cache", "bpf_probe_read_user_str_dynptr"]
)
def test_kfuncs_are_refused_to_root(name: str) -> None:
    """Not even root calls a kernel function from a filter: EACCES, by name in the log."""
    privileges.need_jit()
    try:
        kfunc = function_id(name)
    except LookupError as missing:
        raise Lacks(KFUNCS, str(missing)) from None

    def case() -> tuple[int, str]:
        with pytest.raises(BpfError) as failure:
            prog_load([call_kfunc(kfunc), *ret(SECCOMP_RET_ALLOW)])
        return failure.value.errno or 0, failure.value.log

    code, log = child.run(case)
    assert code == errno.EACCES
    assert f"calling kernel function {name} is not allowed" in log


def test_a_filter_decides_by_what_a_helper_returns() -> None:
    """A helper is really called: the filter makes an errno of the uid that it returns."""
    program = on_syscall(
        NR.getppid,
        call(BPF_FUNC_get_current_uid_gid),
        alu("and", R0, 0xFFF),
        alu("or", R0, SECCOMP_RET_ERRNO),
        exit_(),
    )

    def case() -> int:
        prog = prog_load(program)
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid)

    assert privileges.as_user(case, CAP_BPF, uid=33) == 33
