# SPDX-License-Identifier: MIT
"""What refuses to be installed, with which error, and in which order."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from selftests.harness import child, memory, privileges, seccomp, uapi
from selftests.harness.asm import R0, Classic, assemble_classic, classic_ret, exit_, mov32, ret
from selftests.harness.bpf import BpfError, map_create, prog_load
from selftests.harness.installing import CLOSED, DENY, errname_of, install_at
from selftests.harness.patches import proves
from selftests.harness.sys import address, buffer, errname, no_new_privs, syscall
from selftests.harness.uapi import NR, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_RET_ALLOW

EXTENDED_FILTER = proves("program-type")
PRECEDENCE = proves("error-order")
BOTH = proves("error-order", "program-type")

O_PATH = 0o10000000
"""include/uapi/asm-generic/fcntl.h; none of the lab's architectures has its own."""


def unmapped() -> int:
    """An address at which nothing is mapped any more."""
    place = memory.map_pages(1)
    memory.unmap_page(place)
    return place


def before_a_hole() -> int:
    """The last two bytes before an unmapped page: half of an int."""
    place = memory.map_pages(2)
    memory.unmap_page(place + memory.PAGE)
    return place + memory.PAGE - 2


# --- what is no filter -----------------------------------------------------------------------


@contextmanager
def descriptor(kind: str) -> Iterator[int]:
    """A descriptor of something that is not a filter."""
    with tempfile.TemporaryFile() as file:
        reader, writer = os.pipe()
        others: dict[str, Callable[[], int]] = {
            "file": file.fileno,
            "pipe": lambda: os.dup(reader),
            "directory": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
            "path": lambda: os.open("/", O_PATH),
            "pidfd": lambda: os.pidfd_open(os.getpid()),
            "eventfd": lambda: os.eventfd(0),
        }
        try:
            yield others[kind]()
        finally:
            os.close(reader)
            os.close(writer)


@EXTENDED_FILTER
@pytest.mark.parametrize(
    ("fd", "expected"),
    [(CLOSED, "EBADF"), (-1, "EBADF"), (-(2**31), "EBADF"), (2**31 - 1, "EBADF")],
    ids=["closed", "minus-one", "lowest", "highest"],
)
def test_a_descriptor_that_is_not_open(fd: int, expected: str) -> None:
    """A number behind which there is no open file is EBADF."""

    def case() -> tuple[str, str]:
        no_new_privs()
        return errname_of(lambda: seccomp.install(fd)), seccomp.status("Seccomp")

    assert child.run(case) == (expected, "0")


@EXTENDED_FILTER
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("file", "EINVAL"),
        ("pipe", "EINVAL"),
        ("directory", "EINVAL"),
        ("pidfd", "EINVAL"),
        ("eventfd", "EINVAL"),
        # What is opened with O_PATH does not count as open.
        ("path", "EBADF"),
    ],
)
def test_a_descriptor_of_something_else(kind: str, expected: str) -> None:
    """An open file that is no program is EINVAL, whatever it is."""

    def case() -> tuple[str, str]:
        no_new_privs()
        with descriptor(kind) as fd:
            return errname_of(lambda: seccomp.install(fd)), seccomp.status("Seccomp")

    assert child.run(case) == (expected, "0")


@EXTENDED_FILTER
def test_a_map_is_not_a_filter() -> None:
    """The descriptor of a map is EINVAL."""

    def case() -> str:
        no_new_privs()
        return errname_of(lambda: seccomp.install(map_create()))

    assert child.run(case) == "EINVAL"


@EXTENDED_FILTER
def test_a_listener_is_not_a_filter() -> None:
    """The descriptor that NEW_LISTENER gave is EINVAL."""

    def case() -> str:
        no_new_privs()
        listener = seccomp.install_classic(
            classic_ret(SECCOMP_RET_ALLOW), SECCOMP_FILTER_FLAG_NEW_LISTENER
        )
        return errname_of(lambda: seccomp.install(listener))

    assert child.run(case) == "EINVAL"


OTHER_TYPES = {
    "socket-filter": uapi.BPF_PROG_TYPE_SOCKET_FILTER,
    "kprobe": uapi.BPF_PROG_TYPE_KPROBE,
    "tracepoint": uapi.BPF_PROG_TYPE_TRACEPOINT,
    "raw-tracepoint": uapi.BPF_PROG_TYPE_RAW_TRACEPOINT,
    "xdp": uapi.BPF_PROG_TYPE_XDP,
    "cgroup-skb": uapi.BPF_PROG_TYPE_CGROUP_SKB,
}


@EXTENDED_FILTER
@pytest.mark.parametrize("name", OTHER_TYPES)
def test_a_program_of_another_type(name: str) -> None:
    """A program that was verified for another context is EINVAL, and is not installed."""

    def case() -> tuple[str, str]:
        prog = prog_load([mov32(R0, 0), exit_()], OTHER_TYPES[name])
        no_new_privs()
        return errname_of(lambda: seccomp.install(prog)), seccomp.status("Seccomp")

    assert child.run(case) == ("EINVAL", "0")


@EXTENDED_FILTER
def test_a_seccomp_program_goes_through_the_same_door() -> None:
    """The same two instructions of the right type are installed: it is the type that decides."""

    def case() -> tuple[str, str]:
        prog = prog_load(ret(SECCOMP_RET_ALLOW))
        no_new_privs()
        return errname_of(lambda: seccomp.install(prog)), seccomp.status("Seccomp")

    assert child.run(case) == ("0", "2")


POINTERS: dict[str, Callable[[], int]] = {
    "null": lambda: 0,
    "unmapped": unmapped,
    "half-an-int": before_a_hole,
    "kernel": lambda: 2**64 - memory.PAGE,
}


@EXTENDED_FILTER
@pytest.mark.parametrize("name", POINTERS)
def test_a_pointer_to_nowhere(name: str) -> None:
    """A third argument that cannot be read as an int is EFAULT."""

    def case() -> tuple[str, str]:
        no_new_privs()
        return errname_of(lambda: install_at(POINTERS[name]())), seccomp.status("Seccomp")

    assert child.run(case) == ("EFAULT", "0")


@EXTENDED_FILTER
def test_four_bytes_are_read() -> None:
    """The int may end where the mapping ends."""

    def case() -> str:
        prog = prog_load(ret(SECCOMP_RET_ALLOW))
        no_new_privs()
        place = before_a_hole() - 2
        memory.write(place, struct.pack("=i", prog.fd))
        return errname_of(lambda: install_at(place))

    assert child.run(case) == "0"


@EXTENDED_FILTER
@pytest.mark.parametrize("attach_type", [1, uapi.BPF_LSM_MAC, 2**32 - 1])
def test_loading_with_an_attach_type(attach_type: int) -> None:
    """BPF_PROG_LOAD with another expected_attach_type than 0 is EINVAL."""
    with pytest.raises(BpfError) as caught:
        prog_load(ret(SECCOMP_RET_ALLOW), expected_attach_type=attach_type)
    assert errname(caught.value.errno or 0) == "EINVAL"


# --- who may install, and what is said first -------------------------------------------------

BAD_CLASSIC: dict[str, tuple[list[Classic], str]] = {
    "empty": ([], "EINVAL"),
    "too-long": (classic_ret(SECCOMP_RET_ALLOW) * 4097, "EINVAL"),
    "unknown-opcode": ([Classic(0xFFFF)], "EINVAL"),
    "no-return": ([Classic(0x20, uapi.DATA_NR)], "EINVAL"),
    "jump-outside": ([Classic(0x05, 7), *classic_ret(SECCOMP_RET_ALLOW)], "EINVAL"),
    # BPF_LD | BPF_B | BPF_ABS is fine for a socket, and refused by seccomp_check_filter().
    "not-for-seccomp": ([Classic(0x30, 0), *classic_ret(SECCOMP_RET_ALLOW)], "EINVAL"),
    # Offset 64 is just past struct seccomp_data.
    "outside-the-data": (
        [Classic(0x20, uapi.DATA_SIZE), *classic_ret(SECCOMP_RET_ALLOW)],
        "EINVAL",
    ),
}


@PRECEDENCE
@pytest.mark.parametrize("name", BAD_CLASSIC)
def test_a_bad_classic_filter_is_reported_to_everybody(name: str) -> None:
    """Who may not install a classic filter learns what is wrong with it, not EACCES."""
    program, expected = BAD_CLASSIC[name]
    code = privileges.as_user(lambda: errname_of(lambda: seccomp.install_classic(program)))
    assert code == expected


def install_classic_at(instructions: int) -> int:
    """A classic filter of one instruction, which is said to be there."""
    fprog = buffer(struct.pack("@HP", 1, instructions))
    return syscall(NR.seccomp, uapi.SECCOMP_SET_MODE_FILTER, 0, fprog)


@PRECEDENCE
@pytest.mark.parametrize("name", ["unmapped", "half-an-int", "kernel"])
def test_unreadable_classic_instructions_are_reported_to_everybody(name: str) -> None:
    """Instructions that cannot be read are EFAULT, not EACCES."""
    code = privileges.as_user(lambda: errname_of(lambda: install_classic_at(POINTERS[name]())))
    assert code == "EFAULT"


@PRECEDENCE
@pytest.mark.parametrize("name", POINTERS)
def test_an_unreadable_classic_program_is_reported_to_everybody(name: str) -> None:
    """A struct sock_fprog that cannot be read is EFAULT, not EACCES."""
    assert (
        privileges.as_user(lambda: errname_of(lambda: install_at(POINTERS[name](), 0))) == "EFAULT"
    )


@PRECEDENCE
def test_prctl_has_the_same_order() -> None:
    """PR_SET_SECCOMP reports a bad filter before it reports missing privilege, too."""

    def case() -> tuple[str, str]:
        return errname_of(lambda: prctl_install([Classic(0xFFFF)])), errname_of(
            lambda: prctl_install(classic_ret(SECCOMP_RET_ALLOW))
        )

    assert privileges.as_user(case) == ("EINVAL", "EACCES")


def prctl_install(program: list[Classic]) -> int:
    """PR_SET_SECCOMP (22) with SECCOMP_MODE_FILTER (2)."""
    code = buffer(assemble_classic(program))
    fprog = buffer(struct.pack("@HP", len(program), address(code)))
    return syscall(NR.prctl, 22, 2, fprog, 0, 0)


@BOTH
@pytest.mark.parametrize(
    ("name", "expected"),
    [("closed", "EBADF"), ("minus-one", "EBADF"), ("pipe", "EINVAL"), ("other-type", "EINVAL")],
)
def test_a_bad_descriptor_is_reported_to_everybody(name: str, expected: str) -> None:
    """Who may not install an eBPF filter learns what is wrong with the descriptor, not EACCES."""
    # Loaded and opened while still privileged; the child inherits the descriptors.
    other = prog_load([mov32(R0, 0), exit_()], uapi.BPF_PROG_TYPE_SOCKET_FILTER)
    with descriptor("pipe") as pipe:
        fd = {"closed": CLOSED, "minus-one": -1, "pipe": pipe, "other-type": other.fd}[name]
        assert privileges.as_user(lambda: errname_of(lambda: seccomp.install(fd))) == expected


@BOTH
@pytest.mark.parametrize("name", POINTERS)
def test_a_bad_pointer_is_reported_to_everybody(name: str) -> None:
    """A descriptor that cannot be read is EFAULT, not EACCES."""
    assert privileges.as_user(lambda: errname_of(lambda: install_at(POINTERS[name]()))) == "EFAULT"


@contextmanager
def installer(kind: str) -> Iterator[Callable[[], int]]:
    """Something that installs a good filter of this kind, without asking for no_new_privs."""
    if kind == "cbpf":
        yield lambda: seccomp.install_classic(classic_ret(SECCOMP_RET_ALLOW))
        return
    prog = prog_load(DENY)
    yield lambda: seccomp.install(prog)
    prog.close()


KINDS = ["ebpf", "cbpf"]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_a_good_filter_without_privilege(kind: str) -> None:
    """Without no_new_privs and CAP_SYS_ADMIN a good filter of either kind is EACCES."""
    with installer(kind) as install:
        result = privileges.as_user(lambda: (errname_of(install), seccomp.status("Seccomp")))
    assert result == ("EACCES", "0")


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_being_root_is_not_what_counts(kind: str) -> None:
    """Root without CAP_SYS_ADMIN gets EACCES, even with the capabilities that loading needs."""
    with installer(kind) as install:
        caps = (uapi.CAP_BPF, uapi.CAP_PERFMON, uapi.CAP_SYS_PTRACE)
        assert privileges.as_root_with(lambda: errname_of(install), *caps) == "EACCES"


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_no_new_privs_suffices(kind: str) -> None:
    """An ordinary user with no_new_privs installs filters of either kind."""

    def case(install: Callable[[], int]) -> tuple[str, str]:
        no_new_privs()
        return errname_of(install), seccomp.status("Seccomp")

    with installer(kind) as install:
        assert privileges.as_user(lambda: case(install)) == ("0", "2")


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_cap_sys_admin_suffices(kind: str) -> None:
    """CAP_SYS_ADMIN alone installs filters of either kind, and does not set no_new_privs."""

    def case(install: Callable[[], int]) -> tuple[str, str]:
        return errname_of(install), seccomp.status("NoNewPrivs")

    with installer(kind) as install:
        result = privileges.as_user(lambda: case(install), uapi.CAP_SYS_ADMIN)
    assert result == ("0", "0")


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_cap_sys_admin_in_a_user_namespace_suffices(kind: str) -> None:
    """An ordinary user's own user namespace is enough, as long as CAP_SYS_ADMIN is kept in it."""

    def inside(install: Callable[[], int], *dropped_to: int) -> str:
        privileges.set_caps(*dropped_to)
        return errname_of(install)

    def case(install: Callable[[], int]) -> tuple[str, str]:
        return (
            privileges.in_user_namespace(lambda: inside(install, uapi.CAP_BPF)),
            privileges.in_user_namespace(lambda: inside(install, uapi.CAP_SYS_ADMIN)),
        )

    with installer(kind) as install:
        assert privileges.as_user(lambda: case(install)) == ("EACCES", "0")
