"""What of the series the running kernel has, found out by doing.

Each patch has a probe. A probe returns if the feature is there and raises :class:`Absent` with what
it saw if it is not. Which of the two is right depends on the kernel: conftest.py decides.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

TITLES = {
    1: "no_new_privs check after prepare_filter",
    2: "program type, load, install, run",
    3: "retrieval by ptrace",
    4: "libbpf",
    5: "sample",
    6: "LSM hook",
    7: "restriction of maps",
    8: "restriction to tier 1",
    9: "Yama",
    10: "user memory",
    11: "NULL for a task",
    12: "task storage of the leader",
}


YAMA_PATCH = 9


class Absent(Exception):
    """The kernel does not have the feature; the message says what it answered."""


class Lacks(Exception):
    """This guest, not the series, lacks something that the test needs: ``what``, by the name that
    the lab has for it. Whether it may lack it is for the profile (lab/kernel/profiles.py) and
    the base (lab/source/base.py) to say.
    """

    def __init__(self, what: str, seen: str) -> None:
        super().__init__(f"{what}: {seen}")
        self.what, self.seen = what, seen


YAMA, BPF_LSM, JIT = "yama", "bpf-lsm", "jit"
SWITCH, RETRIEVAL = "unprivileged-switch", "checkpoint-restore"
"""What a profile takes away."""
BASE_HELPERS, KFUNCS = "helpers-for-all-types", "newer-kernel-functions"
INSN_ARRAYS, BOUND_MAPS = "instruction-arrays", "maps-bound-by-fd-array"
UNTRUSTED, UPROBE = "untrusted-arguments", "uprobe-system-call"
SET_SYSCALL_INFO, EMPTY_STRINGS = "ptrace-set-syscall-info", "length-of-empty-strings"
"""What came to the kernel between 6.12 and 7.3."""

APPLIED = int(os.environ.get("SECCOMP_LAB_APPLIED") or len(TITLES))
"""How many patches of the series the kernel has, if it has any."""

LACKS = frozenset(filter(None, os.environ.get("SECCOMP_LAB_LACKS", "").split(",")))
"""What this guest may lack."""


def _program_type() -> None:
    from selftests.harness import bpf, uapi
    from selftests.harness.asm import ret

    try:
        bpf.prog_load(ret(uapi.SECCOMP_RET_ALLOW))
    except bpf.BpfError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Absent("loading a program of type 33 gives EINVAL") from None


def _error_order() -> None:
    from selftests.harness import privileges, seccomp
    from selftests.harness.asm import Classic

    def install_nonsense() -> int:
        try:
            seccomp.install_classic([Classic(0xFFFF)])
        except OSError as error:
            return error.errno or 0
        return 0

    if privileges.as_user(install_nonsense) == errno.EACCES:
        raise Absent("EACCES comes before what is wrong with the filter")


def _retrieval() -> None:
    from selftests.harness import child, sys, uapi

    _program_type()

    def trace() -> int:
        import os
        import signal
        import time

        with child.running(lambda: time.sleep(30)) as pid:
            sys.ptrace(uapi.PTRACE_ATTACH, pid)
            os.waitpid(pid, 0)
            code = sys.errno_of(uapi.NR.ptrace, uapi.PTRACE_SECCOMP_GET_FILTER_EXTENDED, pid, 0, 0)
            os.kill(pid, signal.SIGKILL)
            return code

    if not Path("/proc/sys/kernel/ns_last_pid").exists():
        # Of a kernel without CHECKPOINT_RESTORE one cannot tell whether it has the request.
        raise Lacks(RETRIEVAL, "GET_FILTER and its sister need CONFIG_CHECKPOINT_RESTORE")
    if child.run(trace) == errno.EIO:
        raise Absent("ptrace request 0x4213 gives EIO")


def _libbpf() -> None:
    from selftests.harness import objects, uapi

    if objects.libbpf().libbpf_bpf_prog_type_str(uapi.BPF_PROG_TYPE_SECCOMP) is None:
        raise Absent("libbpf has no name for program type 33")


def _sample() -> None:
    from selftests.harness import objects

    try:
        objects.guest_file("test_seccomp")
    except FileNotFoundError:
        raise Absent("samples/bpf has no test_seccomp") from None


def _hook() -> None:
    from selftests.harness import lsm, objects, uapi

    lsm.need()
    try:
        objects.vmlinux_btf_id("seccomp_extended", uapi.BPF_LSM_MAC)
    except OSError:
        raise Absent("the kernel's BTF has no bpf_lsm_seccomp_extended") from None


def _restriction() -> None:
    from selftests.harness import bpf, child, lsm, privileges, uapi
    from selftests.harness.asm import R1, map_fd, ret

    _program_type()

    def load_with_map() -> int:
        array = bpf.map_create()
        try:
            bpf.prog_load([map_fd(R1, array.fd), *ret(uapi.SECCOMP_RET_ALLOW)])
        except OSError as error:
            return error.errno or 0
        return 0

    if not privileges.has_yama():
        with lsm.attached() as denier:

            def denied() -> int:
                denier.aim()
                return load_with_map()

            code = child.run(denied)
        if code == 0:
            raise Absent("a map is allowed though an LSM denies state")
        return
    with privileges.sysctl(privileges.PTRACE_SCOPE, 2):
        code = privileges.as_root_with(load_with_map, uapi.CAP_BPF)
    if code == 0:
        raise Absent("a map is allowed under ptrace_scope 2 without CAP_SYS_PTRACE")


def _yama() -> None:
    from selftests.harness import privileges

    privileges.need_yama()
    _restriction()


def _user_memory() -> None:
    from selftests.harness import bpf, uapi
    from selftests.harness.asm import R1, R2, R3, R10, alu, call, exit_, mov, mov_reg

    _program_type()
    try:
        bpf.prog_load(
            [
                mov_reg(R1, R10),
                alu("add", R1, -8),
                mov(R2, 8),
                mov(R3, 0),
                call(uapi.BPF_FUNC_probe_read_user),
                exit_(),
            ]
        )
    except bpf.BpfError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Absent("filters cannot call bpf_probe_read_user()") from None


PROBES: dict[int, Callable[[], None]] = {
    1: _error_order,
    2: _program_type,
    3: _retrieval,
    4: _libbpf,
    5: _sample,
    6: _hook,
    7: _restriction,
    8: _restriction,
    9: _yama,
    10: _user_memory,
    # NULL is accepted by the verifier of every kernel that has the program type, and that it means
    # the leader is what the tests of patch 12 are about.
    11: _program_type,
    12: _program_type,
}


@functools.cache
def why_absent(patch: int) -> str | None:
    """None if the kernel has what the patch adds, else what was seen instead."""
    try:
        PROBES[patch]()
    except Absent as absent:
        return str(absent)
    return None
