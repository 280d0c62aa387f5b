# SPDX-License-Identifier: MIT
"""The bitmap of constant answers, as CONFIG_SECCOMP_CACHE_DEBUG shows it in /proc/PID.

Classic filters enter calls that they always allow; eBPF filters enter none.
"""

from __future__ import annotations

import errno
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from selftests.harness import child, newer, seccomp
from selftests.harness.asm import classic_on_syscall, classic_ret, on_syscall, ret
from selftests.harness.bpf import prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import no_new_privs
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

pytestmark = proves("program-type")

DENY = SECCOMP_RET_ERRNO | errno.EDOM


def ebpf_allow() -> None:
    """An eBPF filter that allows everything."""
    seccomp.install(prog_load(ret(SECCOMP_RET_ALLOW)))


def ebpf_deny() -> None:
    """One that denies getppid()."""
    seccomp.install(prog_load(on_syscall(NR.getppid, *ret(DENY))))


def cbpf_allow() -> None:
    """A classic filter that allows everything."""
    seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))


def cbpf_deny() -> None:
    """One that denies getppid()."""
    seccomp.install_classic(classic_on_syscall(NR.getppid, DENY))


def cached(*installs: Callable[[], None]) -> set[int]:
    """Numbers of the native system calls that are answered without running a filter."""

    def case() -> set[int]:
        no_new_privs()
        for install in installs:
            install()
        rows = [line.split() for line in Path("/proc/self/seccomp_cache").read_text().splitlines()]
        assert {answer for _, _, answer in rows} <= {"ALLOW", "FILTER"}
        native = platform.machine()
        return {int(nr) for arch, nr, answer in rows if arch == native and answer == "ALLOW"}

    return child.run(case)


def test_a_classic_filter_that_allows_all_is_cached() -> None:
    """The control: the file shows what it is meant to."""
    assert {NR.getppid, NR.openat} <= cached(cbpf_allow)


def test_a_classic_filter_caches_what_it_always_allows() -> None:
    """getppid() is not among it."""
    answered = cached(cbpf_deny)
    assert NR.openat in answered
    assert NR.getppid not in answered


@pytest.mark.parametrize(
    "stack",
    [
        (ebpf_allow,),
        (ebpf_deny,),
        (cbpf_allow, ebpf_allow),
        (ebpf_allow, cbpf_allow),
        (ebpf_deny, cbpf_allow),
        (cbpf_allow, ebpf_deny, cbpf_allow),
    ],
    ids=lambda stack: " ".join(function.__name__ for function in stack),
)
def test_with_an_ebpf_filter_nothing_is_cached_but_uprobes(
    stack: tuple[Callable[[], None], ...],
) -> None:
    """Whatever is below or on top of it: only the two calls that uprobes make are exempt."""
    newer.need_uprobe_call()
    assert cached(*stack) == set(NR.always_allowed)
