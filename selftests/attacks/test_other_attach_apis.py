# SPDX-License-Identifier: MIT
"""Attack: run a filter on another context than its own, by every other way to attach a program.

Each API is tried with a program of the type that it takes as well, to see that it is the type that
is refused. The reverse, other types given to seccomp(), is in test_install_errors.py. Without
CONFIG_NET_CLS_BPF there is no classifier to try; tcx is among the links.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from selftests.harness import bpf, child, mounts, seccomp, uapi
from selftests.harness.asm import on_syscall, ret
from selftests.harness.bpf import Prog, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import buffer, errno_of, error_of, no_new_privs, syscall
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW

pytestmark = proves("program-type")

LOOPBACK = 1
ATTACH_TYPES = 63
"""Up to __MAX_BPF_ATTACH_TYPE of 7.3, and some more that nobody has."""
INGRESS, XDP = 0, 37
BPF_PROG_ATTACH, BPF_PROG_DETACH = 8, 9
SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF = 50, 52
PERF_EVENT_IOC_SET_BPF = 0x40042408
PROG_TYPE_PERF_EVENT = 7

REFUSALS = {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.EPERM, errno.ENOTSUP, 524}
"""524 is ENOTSUPP, which user space has no name for."""


def filter_() -> Prog:
    """Any filter."""
    return prog_load(ret(SECCOMP_RET_ALLOW))


def of_type(type_: int) -> Prog:
    """A program of another type."""
    return prog_load(ret(0), type_)


def socket_option(option: int) -> Callable[[Prog], None]:
    """setsockopt() with the program."""

    def attach(prog: Prog) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("127.0.0.1", 0))
            sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("=i", prog.fd))

    return attach


def perf_event(prog: Prog) -> None:
    """A software clock, and the program on its overflow."""
    # struct perf_event_attr: type, size, config, sample_period, ..., as far as it is not zero
    attr = struct.pack("=IIQQ", 1, 128, 0, 1000000).ljust(128, b"\0")
    fd = syscall(NR.perf_event_open, buffer(attr), os.getpid(), -1, -1, 0)
    try:
        fcntl.ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog.fd)
    finally:
        os.close(fd)


def raw_tracepoint(prog: Prog) -> None:
    """BPF_RAW_TRACEPOINT_OPEN by name."""
    bpf.raw_tracepoint_open(prog, b"sys_enter").close()


def xdp_link(prog: Prog) -> None:
    """BPF_LINK_CREATE on the loopback device."""
    bpf.link_create(prog, XDP, LOOPBACK).close()


def cgroup(prog: Prog) -> None:
    """BPF_PROG_ATTACH to the root control group."""
    with mounts.cgroup2() as directory:
        attach_to_group(directory, prog, INGRESS)


def attach_to_group(directory: Path, prog: Prog, attach_type: int) -> None:
    """Attach, and detach if it goes."""
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fields = struct.pack("=IIII", group, prog.fd, attach_type, 0)
        bpf.bpf(BPF_PROG_ATTACH, fields)
        bpf.bpf(BPF_PROG_DETACH, fields)
    finally:
        os.close(group)


@dataclass(frozen=True)
class Api:
    """A way to attach, and the program type that it is for."""

    name: str
    attach: Callable[[Prog], None]
    type_: int


APIS = (
    Api("SO_ATTACH_BPF", socket_option(SO_ATTACH_BPF), uapi.BPF_PROG_TYPE_SOCKET_FILTER),
    Api(
        "SO_ATTACH_REUSEPORT_EBPF",
        socket_option(SO_ATTACH_REUSEPORT_EBPF),
        uapi.BPF_PROG_TYPE_SOCKET_FILTER,
    ),
    Api("perf event", perf_event, PROG_TYPE_PERF_EVENT),
    Api("raw tracepoint", raw_tracepoint, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT),
    Api("XDP", xdp_link, uapi.BPF_PROG_TYPE_XDP),
    Api("cgroup", cgroup, uapi.BPF_PROG_TYPE_CGROUP_SKB),
)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
def test_a_filter_is_refused_where_the_right_type_is_taken(api: Api) -> None:
    """The same call with a program of its own type goes through."""

    def case() -> tuple[int, int]:
        return error_of(lambda: api.attach(filter_())), error_of(
            lambda: api.attach(of_type(api.type_))
        )

    refused, taken = child.run(case)
    assert taken == 0
    assert refused in REFUSALS


def test_no_attach_type_takes_a_filter() -> None:
    """BPF_PROG_ATTACH with every attach type there is, to a control group."""

    def case() -> dict[int, int]:
        prog = filter_()
        with mounts.cgroup2() as directory:
            return {
                kind: error_of(lambda: attach_to_group(directory, prog, kind))  # noqa: B023
                for kind in range(ATTACH_TYPES)
            }

    errors = child.run(case)
    assert set(errors.values()) <= REFUSALS, errors


@pytest.mark.parametrize("target", ["nothing", "device", "group"])
def test_no_link_takes_a_filter(target: str) -> None:
    """BPF_LINK_CREATE with every attach type there is, on a device, a control group, or nothing."""

    def case() -> dict[int, int]:
        prog = filter_()
        with mounts.cgroup2() as directory:
            group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            fd = {"nothing": 0, "device": LOOPBACK, "group": group}[target]
            errors = {
                kind: error_of(lambda: bpf.link_create(prog, kind, fd))  # noqa: B023
                for kind in range(ATTACH_TYPES)
            }
            os.close(group)
            return errors

    errors = child.run(case)
    assert set(errors.values()) <= REFUSALS, errors


def test_a_filter_that_was_refused_elsewhere_is_still_a_filter() -> None:
    """Refusals leave no mark on the program."""

    def case() -> int:
        prog = prog_load(on_syscall(NR.getppid, *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM)))
        for api in APIS:
            assert error_of(lambda: api.attach(prog))  # noqa: B023
        no_new_privs()
        seccomp.install(prog)
        return errno_of(NR.getppid)

    assert child.run(case) == errno.EDOM
