# SPDX-License-Identifier: MIT
"""Numbers from the kernel's UAPI headers, and the ones that the series adds."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

# include/uapi/linux/bpf.h
BPF_MAP_CREATE = 0
BPF_MAP_LOOKUP_ELEM = 1
BPF_MAP_UPDATE_ELEM = 2
BPF_MAP_DELETE_ELEM = 3
BPF_MAP_GET_NEXT_KEY = 4
BPF_PROG_LOAD = 5
BPF_OBJ_PIN = 6
BPF_OBJ_GET = 7
BPF_PROG_TEST_RUN = 10
BPF_PROG_GET_NEXT_ID = 11
BPF_MAP_GET_NEXT_ID = 12
BPF_PROG_GET_FD_BY_ID = 13
BPF_MAP_GET_FD_BY_ID = 14
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_RAW_TRACEPOINT_OPEN = 17
BPF_BTF_LOAD = 18
BPF_MAP_FREEZE = 22
BPF_LINK_CREATE = 28

BPF_MAP_TYPE_HASH = 1
BPF_MAP_TYPE_ARRAY = 2
BPF_MAP_TYPE_PROG_ARRAY = 3
BPF_MAP_TYPE_PERCPU_HASH = 5
BPF_MAP_TYPE_PERCPU_ARRAY = 6
BPF_MAP_TYPE_LRU_HASH = 9
BPF_MAP_TYPE_ARRAY_OF_MAPS = 12
BPF_MAP_TYPE_HASH_OF_MAPS = 13
BPF_MAP_TYPE_RINGBUF = 27
BPF_MAP_TYPE_TASK_STORAGE = 29
BPF_MAP_TYPE_ARENA = 33
BPF_MAP_TYPE_INSN_ARRAY = 34

BPF_PROG_TYPE_SOCKET_FILTER = 1
BPF_PROG_TYPE_KPROBE = 2
BPF_PROG_TYPE_TRACEPOINT = 5
BPF_PROG_TYPE_XDP = 6
BPF_PROG_TYPE_CGROUP_SKB = 8
BPF_PROG_TYPE_RAW_TRACEPOINT = 17
BPF_PROG_TYPE_TRACING = 26
BPF_PROG_TYPE_EXT = 28
BPF_PROG_TYPE_LSM = 29
BPF_PROG_TYPE_NETFILTER = 32
# The series: after BPF_PROG_TYPE_NETFILTER.
BPF_PROG_TYPE_SECCOMP = 33

BPF_MODIFY_RETURN = 26
BPF_LSM_MAC = 27
BPF_F_SLEEPABLE = 1 << 4
BPF_F_NO_PREALLOC = 1 << 0
BPF_F_RDONLY = 1 << 3
BPF_F_MMAPABLE = 1 << 10

BPF_PSEUDO_MAP_FD = 1
BPF_PSEUDO_MAP_VALUE = 2
BPF_PSEUDO_BTF_ID = 3
BPF_PSEUDO_FUNC = 4
BPF_PSEUDO_MAP_IDX = 5
BPF_PSEUDO_MAP_IDX_VALUE = 6
BPF_PSEUDO_CALL = 1
BPF_PSEUDO_KFUNC_CALL = 2

BPF_FUNC_map_lookup_elem = 1
BPF_FUNC_map_update_elem = 2
BPF_FUNC_ktime_get_ns = 5
BPF_FUNC_tail_call = 12
BPF_FUNC_get_current_pid_tgid = 14
BPF_FUNC_get_current_uid_gid = 15
BPF_FUNC_probe_read_user = 112
BPF_FUNC_probe_read_user_str = 114
BPF_FUNC_ringbuf_output = 130
BPF_FUNC_this_cpu_ptr = 154
BPF_FUNC_task_storage_get = 156
BPF_FUNC_task_storage_delete = 157
BPF_FUNC_get_current_task_btf = 158

# include/uapi/linux/seccomp.h
SECCOMP_SET_MODE_STRICT = 0
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1 << 0
SECCOMP_FILTER_FLAG_LOG = 1 << 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3
SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 1 << 4
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5
# The series: bit 5 was the last one taken.
SECCOMP_FILTER_FLAG_EXTENDED = 1 << 6

SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_RET_KILL_THREAD = 0x00000000
SECCOMP_RET_TRAP = 0x00030000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_RET_TRACE = 0x7FF00000
SECCOMP_RET_LOG = 0x7FFC0000
SECCOMP_RET_ALLOW = 0x7FFF0000

SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1

# struct seccomp_data
DATA_NR = 0
DATA_ARCH = 4
DATA_IP = 8
DATA_ARGS = 16
DATA_SIZE = 64


def data_arg(index: int) -> int:
    """Offset of argument ``index`` (0 to 5) in struct seccomp_data."""
    return DATA_ARGS + 8 * index


# include/uapi/linux/ptrace.h
PTRACE_CONT = 7
PTRACE_KILL = 8
PTRACE_ATTACH = 16
PTRACE_DETACH = 17
PTRACE_SETOPTIONS = 0x4200
PTRACE_GETEVENTMSG = 0x4201
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_GET_SYSCALL_INFO = 0x420E
PTRACE_SET_SYSCALL_INFO = 0x4212
PTRACE_SECCOMP_GET_FILTER = 0x420C
# The series: 0x4210 to 0x4212 were taken.
PTRACE_SECCOMP_GET_FILTER_EXTENDED = 0x4213
PTRACE_O_TRACESECCOMP = 1 << 7
PTRACE_O_EXITKILL = 1 << 20
PTRACE_EVENT_SECCOMP = 7

# include/uapi/linux/prctl.h
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

# include/uapi/linux/capability.h
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
CAP_PERFMON = 38
CAP_BPF = 39

MAX_ERRNO = 4095


@dataclass(frozen=True)
class Arch:
    """System call numbers that differ between architectures, and the audit architecture."""

    audit: int
    bpf: int
    seccomp: int
    getppid: int
    getpid: int
    getuid: int
    openat: int
    ptrace: int
    prctl: int
    capset: int
    execve: int
    perf_event_open: int
    pidfd_getfd: int
    userfaultfd: int
    always_allowed: tuple[int, ...] = ()
    """uprobe and uretprobe, which 7.3 exempts from filtering (seccomp_uprobe_exception())."""


# include/uapi/asm-generic/unistd.h
_GENERIC: dict[str, Any] = {
    "bpf": 280,
    "seccomp": 277,
    "getppid": 173,
    "getpid": 172,
    "getuid": 174,
    "openat": 56,
    "ptrace": 117,
    "prctl": 167,
    "capset": 91,
    "execve": 221,
    "perf_event_open": 241,
    "pidfd_getfd": 438,
    "userfaultfd": 282,
}

ARCHES = {
    "x86_64": Arch(
        audit=0xC000003E,
        bpf=321,
        seccomp=317,
        getppid=110,
        getpid=39,
        getuid=102,
        openat=257,
        ptrace=101,
        prctl=157,
        capset=126,
        execve=59,
        perf_event_open=298,
        pidfd_getfd=438,
        userfaultfd=323,
        always_allowed=(335, 336),
    ),
    "aarch64": Arch(audit=0xC00000B7, **_GENERIC),
    "riscv64": Arch(audit=0xC00000F3, **_GENERIC),
    "s390x": Arch(
        audit=0x80000016,
        bpf=351,
        seccomp=348,
        getppid=64,
        getpid=20,
        getuid=199,
        openat=288,
        ptrace=26,
        prctl=172,
        capset=185,
        execve=11,
        perf_event_open=331,
        pidfd_getfd=438,
        userfaultfd=355,
    ),
}

NR = ARCHES[platform.machine()]
