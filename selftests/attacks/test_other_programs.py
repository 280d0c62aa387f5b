# SPDX-License-Identifier: MIT
"""Attack: hook a filter that is installed with a program of another type, to change its answer.

freplace, which could, is refused (test_refusals.py). fentry and fexit programs may watch a program
that has types (bpf_check_attach_target(), kernel/bpf/verifier.c), and cannot change its answer.
"""

from __future__ import annotations

import errno
import struct

import pytest

from selftests.harness import child, privileges, seccomp
from selftests.harness.asm import ret
from selftests.harness.bpf import Prog, prog_load, raw_tracepoint_open
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, error_of, no_new_privs
from selftests.harness.uapi import NR

pytestmark = proves("program-type", "libbpf")

DENIED = 33
"""What bpf/pure_global.bpf.c answers if the first argument is 7."""


def filter_with_types() -> Prog:
    """A filter in C."""
    obj = BpfObject("pure_global")
    obj.set_rodata(struct.pack("=i", NR.getppid))
    prog = obj.load().prog("filter")
    obj.close()
    return prog


def watcher(target: Prog) -> BpfObject:
    """Programs on entry and exit of the filter, loaded."""
    watching = BpfObject("watch_filter")
    for name in ("on_entry", "on_exit"):
        watching.set_attach_target(name, target, "filter")
    return watching.load()


@pytest.mark.parametrize("first", ["installed", "watched"])
def test_whoever_watches_a_filter_does_not_change_its_answer(first: str) -> None:
    """Programs on entry and exit see each run, whichever came first; the answers stay."""
    privileges.need_jit()

    def case() -> tuple[list[int], bool, list[int]]:
        target = filter_with_types()
        no_new_privs()
        if first == "installed":
            seccomp.install(target)
        watching = watcher(target)
        links = [raw_tracepoint_open(watching.prog(name)) for name in ("on_entry", "on_exit")]
        if first == "watched":
            seccomp.install(target)
        answers = [errno_of(NR.getppid, argument) for argument in (7, 0, 7)]
        entered, left = struct.unpack("=QQ", watching.map(".bss").lookup())
        for link in links:
            link.close()
        return answers, entered >= 3 and left >= 3, [errno_of(NR.getppid, 7)]

    assert child.run(case) == ([DENIED, 0, DENIED], True, [DENIED])


def test_a_program_that_modifies_returns_is_refused() -> None:
    """fmod_ret is for kernel functions that allow it; the same object without it loads."""
    privileges.need_jit()

    def case(modify: bool) -> int:
        watching = BpfObject("watch_filter")
        target = filter_with_types()
        for name in ("on_entry", "on_exit", "instead"):
            watching.set_attach_target(name, target, "filter")
        if modify:
            watching.want("instead")
        return error_of(watching.load)

    assert child.run(lambda: case(False)) == 0
    assert child.run(lambda: case(True)) == errno.EINVAL


def test_a_filter_is_nobodys_extension() -> None:
    """A filter names no target of its own."""

    def case() -> int:
        target = filter_with_types()
        try:
            prog_load(ret(0), attach_prog_fd=target.fd, attach_btf_id=1)
        except OSError as error:
            return error.errno or -1
        return 0

    assert child.run(case) == errno.EINVAL
