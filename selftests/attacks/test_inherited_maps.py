# SPDX-License-Identifier: MIT
"""Attack: change a filter's state from inside the filtered task.

State belongs to whoever holds it (docs/security-model.md): a descriptor or a writable mapping that
the task has inherited opens the filter; not having them, or a frozen map, is what closes it.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from selftests.harness import child, privileges, seccomp, uapi
from selftests.harness.asm import R1, Source, jump_if, load, map_value, on_syscall, ret
from selftests.harness.bpf import Map, bpf, map_create, prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, error_of, no_new_privs
from selftests.harness.uapi import NR

pytestmark = [proves("program-type"), pytest.mark.usefixtures("state_allowed")]

CLOSED, OPEN = errno.EDOM, 0


def gate(state: Map) -> list[Source]:
    """getppid() is denied while the map's first value is 1."""
    return on_syscall(
        NR.getppid,
        map_value(R1, state.fd),
        load(4, R1, R1, 0),
        jump_if("ne", R1, 1, "otherwise"),
        *ret(uapi.SECCOMP_RET_ERRNO | errno.EDOM),
    )


@dataclass(frozen=True)
class Found:
    """What the task comes to: the answer at first, the errno of its attempt, the answer then."""

    before: int
    attempt: int
    after: int


def attacked(
    attempt: Callable[[Map], object],
    prepare: Callable[[Map], object] = lambda state: None,  # noqa: ARG005 - nothing to prepare
    **fields: int,
) -> Found:
    """An ordinary user under the filter, who tries something with the map he has inherited."""
    state = map_create(value_size=4, **fields)
    state.update(1)
    prog = prog_load(gate(state))
    prepare(state)

    def case() -> Found:
        no_new_privs()
        privileges.become_user()
        seccomp.install(prog)
        before = errno_of(NR.getppid)
        return Found(before, error_of(lambda: attempt(state)), errno_of(NR.getppid))

    return child.run(case)


def write(state: Map) -> None:
    """BPF_MAP_UPDATE_ELEM."""
    state.update(0)


def map_memory(state: Map) -> None:
    """mmap() and store."""
    with mmap.mmap(state.fd, mmap.PAGESIZE) as view:
        view[:4] = struct.pack("=I", 0)


def test_an_inherited_descriptor_opens_the_filter() -> None:
    """The weakness, as documented: bpf() lets whoever holds a descriptor write."""
    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 0):
        assert attacked(write) == Found(CLOSED, 0, OPEN)


def test_the_sysctl_is_no_protection() -> None:
    """Operations on a map that one holds are allowed to users whatever the sysctl says."""
    with privileges.sysctl(privileges.UNPRIVILEGED_BPF, 2):
        assert attacked(write) == Found(CLOSED, 0, OPEN)


def test_a_writable_mapping_opens_the_filter() -> None:
    """The weakness of a map that can be mapped, such as a writable .bss."""
    found = attacked(map_memory, map_flags=uapi.BPF_F_MMAPABLE)
    assert found == Found(CLOSED, 0, OPEN)


def test_a_frozen_map_cannot_be_written() -> None:
    """BPF_MAP_FREEZE before the program is handed out: EPERM, and the filter stays closed."""
    assert attacked(write, Map.freeze) == Found(CLOSED, errno.EPERM, CLOSED)


def test_a_frozen_map_cannot_be_mapped_for_writing() -> None:
    """The same for a mapping."""
    found = attacked(map_memory, Map.freeze, map_flags=uapi.BPF_F_MMAPABLE)
    assert found == Found(CLOSED, errno.EPERM, CLOSED)


def test_a_map_that_is_read_only_to_user_space_cannot_be_written() -> None:
    """A descriptor opened with BPF_F_RDONLY, which is all that the task gets."""

    def reopened(state: Map) -> None:
        fields = struct.pack("=III", state.id, 0, uapi.BPF_F_RDONLY)
        readable = bpf(uapi.BPF_MAP_GET_FD_BY_ID, fields)
        os.dup2(readable, state.fd)
        os.close(readable)

    assert attacked(write, reopened) == Found(CLOSED, errno.EPERM, CLOSED)


def test_a_map_that_is_not_inherited_cannot_be_found() -> None:
    """By id it is found with CAP_BPF or CAP_SYS_ADMIN only; a user is refused."""

    def by_id(number: int) -> Callable[[Map], None]:
        def attempt(state: Map) -> None:
            state.close()
            fd = bpf(uapi.BPF_MAP_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
            Map(fd, 4, 4).update(0)

        return attempt

    state = map_create(value_size=4)
    state.update(1)
    prog = prog_load(gate(state))
    attempt = by_id(state.id)

    def case(*caps: int) -> Found:
        no_new_privs()
        privileges.become_user(privileges.NOBODY, *caps)
        seccomp.install(prog)
        before = errno_of(NR.getppid)
        return Found(before, error_of(lambda: attempt(state)), errno_of(NR.getppid))

    assert child.run(case) == Found(CLOSED, errno.EPERM, CLOSED)
    assert child.run(lambda: case(uapi.CAP_SYS_ADMIN)) == Found(CLOSED, 0, OPEN)
