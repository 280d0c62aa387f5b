"""What of the series the running kernel has, found out by doing.

Each patch has a probe, which its row in patches.py names. A probe returns if the feature is there
and raises :class:`Absent` with what it saw if it is not. Which of the two is right depends on the
kernel: conftest.py decides.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path


class Absent(Exception):
    """The kernel does not have the feature; the message says what it answered."""


class Lacks(Exception):
    """This guest, not the series, lacks something that the test needs: ``what``, by the name that
    the lab has for it. Whether it may lack it is for the profile (lab/profiles.py) and the base
    (lab/base.py) to say.
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

LACKS = frozenset(filter(None, os.environ.get("SECCOMP_LAB_LACKS", "").split(",")))
"""What this guest may lack."""


def program_type() -> None:
    """Programs of the type can be loaded."""
    from selftests.harness import bpf, uapi
    from selftests.harness.asm import ret

    try:
        bpf.prog_load(ret(uapi.SECCOMP_RET_ALLOW))
    except bpf.BpfError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Absent("loading a program of type 33 gives EINVAL") from None


def error_order() -> None:
    """What is wrong with a filter comes before what its owner may not."""
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


def retrieval() -> None:
    """The ptrace request is known. Raises Lacks."""
    from selftests.harness import child, sys, uapi

    program_type()

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


def libbpf() -> None:
    """libbpf has a name for the type."""
    from selftests.harness import objects, uapi

    if objects.libbpf().libbpf_bpf_prog_type_str(uapi.BPF_PROG_TYPE_SECCOMP) is None:
        raise Absent("libbpf has no name for program type 33")


def sample() -> None:
    """The sample has been built."""
    from selftests.harness import objects

    try:
        objects.guest_file("test_seccomp")
    except FileNotFoundError:
        raise Absent("samples/bpf has no test_seccomp") from None


def lsm_hook() -> None:
    """The hook is there for BPF programs. Raises Lacks."""
    from selftests.harness import lsm, objects, uapi

    lsm.need()
    try:
        objects.vmlinux_btf_id("seccomp_extended", uapi.BPF_LSM_MAC)
    except OSError:
        raise Absent("the kernel's BTF has no bpf_lsm_seccomp_extended") from None


def restriction() -> None:
    """A map is refused where an LSM denies state. Raises Lacks."""
    from selftests.harness import bpf, child, lsm, privileges, uapi
    from selftests.harness.asm import R1, map_fd, ret

    program_type()

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


def yama() -> None:
    """It is Yama that denies state. Raises Lacks."""
    from selftests.harness import privileges

    privileges.need_yama()
    restriction()


def user_memory() -> None:
    """Filters may call the helper that reads it."""
    from selftests.harness import bpf, uapi
    from selftests.harness.asm import R1, R2, R3, R10, alu, call, exit_, mov, mov_reg

    program_type()
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


@functools.cache
def why_absent(probe: Callable[[], None]) -> str | None:
    """None if the kernel has what the probe looks for, else what was seen instead. Raises Lacks."""
    try:
        probe()
    except Absent as absent:
        return str(absent)
    return None
