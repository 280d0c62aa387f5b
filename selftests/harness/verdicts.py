# SPDX-License-Identifier: MIT
"""What comes of loading and installing a filter, for who may be denied state."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from selftests.harness import seccomp, uapi
from selftests.harness.asm import Source, call, on_syscall, ret
from selftests.harness.bpf import BpfError, Prog, prog_load
from selftests.harness.sys import no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ERRNO

PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | 7))
STATEFUL = on_syscall(NR.getppid, call(uapi.BPF_FUNC_ktime_get_ns), *ret(SECCOMP_RET_ERRNO | 8))


@dataclass(frozen=True)
class Verdict:
    """What came of a load: 0 or an errno, and the verifier's last words."""

    code: int
    log: str = ""


def loading(program: list[Source]) -> Verdict:
    """Load a filter, and let it go again."""
    return verdict(lambda: prog_load(program))


def verdict(load_it: Callable[[], Prog]) -> Verdict:
    """The same, however it is loaded."""
    try:
        load_it()
    except BpfError as error:
        return Verdict(error.errno or -1, error.log)
    return Verdict(0)


def installing(prog: Prog) -> int:
    """Install a filter on the calling process: 0 or an errno."""
    no_new_privs()
    try:
        seccomp.install(prog)
    except OSError as error:
        return error.errno or -1
    return 0


def assert_denied(verdict: Verdict, what: str) -> None:
    """The load was refused, and the log says what and by whom."""
    assert verdict.code == errno.EACCES, verdict
    assert f"{what} are refused to this program" in verdict.log, verdict
    assert "seccomp_extended" in verdict.log, verdict
