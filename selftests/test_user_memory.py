# SPDX-License-Identifier: MIT
"""User memory: what a filter gets when it reads, and that it gets nothing else when it cannot."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
from collections.abc import Callable

import pytest

from selftests.harness import child, memory, privileges, seccomp
from selftests.harness.asm import (
    R1,
    R2,
    R3,
    R6,
    R8,
    R10,
    Source,
    alu,
    call,
    load,
    map_value,
    mov,
    mov_reg,
    on_syscall,
    ret,
    store,
    store_imm,
)
from selftests.harness.bpf import Map, map_create, prog_load
from selftests.harness.lacks import EMPTY_STRINGS, Lacks
from selftests.harness.memory import (
    PAGE,
    SIZE,
    STALE,
    ZEROES,
    Filtered,
    Reading,
    filtered_by,
    load_reader,
    refused,
    report_map,
)
from selftests.harness.patches import proves
from selftests.harness.sys import address, buffer, no_new_privs, syscall
from selftests.harness.uapi import (
    CAP_BPF,
    CAP_SYS_PTRACE,
    NR,
    SECCOMP_RET_ALLOW,
    BPF_FUNC_probe_read_user,
    BPF_FUNC_probe_read_user_str,
    data_arg,
)

pytestmark = [proves("user-memory"), pytest.mark.usefixtures("state_allowed")]

BYTES, STRING = BPF_FUNC_probe_read_user, BPF_FUNC_probe_read_user_str
both_helpers = pytest.mark.parametrize("helper", [BYTES, STRING], ids=["bytes", "string"])
both_loaders = pytest.mark.parametrize(
    "caps", [(CAP_BPF,), (CAP_BPF, CAP_SYS_PTRACE)], ids=["checked", "CAP_SYS_PTRACE"]
)
"""A loader whose filter is checked for dumpability each time, and one whose filter is not."""

TEXT = b"twenty-three bytes here"
assert len(TEXT) == SIZE - 1


def reading_process(helper: int, caps: tuple[int, ...]) -> Filtered:
    """Make the calling process an ordinary, dumpable user's, under a filter that reads."""
    report = report_map()
    privileges.become_user(privileges.NOBODY, *caps)
    return filtered_by(load_reader(report, helper), report)


@both_loaders
def test_bytes_are_read_as_they_are(caps: tuple[int, ...]) -> None:
    """probe_read_user gives 0 and the bytes, NULs included."""
    data = bytes(range(200, 200 + SIZE - 2)) + b"\0\1"

    def case() -> Reading:
        there = buffer(data)
        return reading_process(BYTES, caps).read(address(there))

    assert child.run(case) == Reading(0, data)


@both_loaders
@pytest.mark.parametrize(
    ("text", "length", "copied"),
    [(b"short", 6, b"short\0"), (TEXT, SIZE, TEXT + b"\0"), (b"", 1, b"\0")],
    ids=["short", "just_fits", "empty"],
)
def test_a_string_is_read_to_its_end(
    caps: tuple[int, ...], text: bytes, length: int, copied: bytes
) -> None:
    """probe_read_user_str gives the length with the NUL, the string, and zeroes behind it."""

    def case() -> Reading:
        there = buffer(text + b"\0")
        return reading_process(STRING, caps).read(address(there))

    seen = child.run(case)
    if not text and seen.result == 0:
        raise Lacks(EMPTY_STRINGS, "strncpy_from_user_nofault() gives 0 for an empty string")
    assert seen == Reading(length, copied.ljust(SIZE, b"\0"))


BIG = 256


def _leaves_traces() -> list[Source]:
    """A filter that leaves something on the stack where the next one has its own."""
    return [
        *(store_imm(8, R10, off, 0x77777777) for off in range(-BIG, 0, 8)),
        *ret(SECCOMP_RET_ALLOW),
    ]


def _copies_uninitialised_stack(report: Map) -> list[Source]:
    """Read a string into 256 bytes that nobody has written, and report all of them."""
    return on_syscall(
        NR.getppid,
        load(8, R3, R6, data_arg(0)),
        mov_reg(R1, R10),
        alu("add", R1, -BIG),
        mov(R2, BIG),
        call(STRING),
        map_value(R8, report.fd),
        *(
            insn
            for off in range(0, BIG, 8)
            for insn in (load(8, R1, R10, off - BIG), store(8, R8, off, R1))
        ),
        *ret(SECCOMP_RET_ALLOW),
    )


def test_a_short_string_uncovers_nothing_of_the_kernels_stack() -> None:
    """Attack: with CAP_BPF only, have the verifier take 256 bytes for written, and write two."""

    def case() -> bytes:
        report = map_create(value_size=BIG)
        there = buffer(b"x\0")
        privileges.become_user(privileges.NOBODY, CAP_BPF)
        no_new_privs()
        # The filter that is installed last runs first.
        for program in (_copies_uninitialised_stack(report), _leaves_traces()):
            seccomp.install(prog_load(program))
        syscall(NR.getppid, address(there))
        return report.lookup()

    assert child.run(case) == b"x".ljust(BIG, b"\0")


@both_loaders
def test_a_string_that_is_too_long_is_cut_and_terminated(caps: tuple[int, ...]) -> None:
    """A string longer than the destination fills it, and ends in a NUL."""

    def case() -> Reading:
        there = buffer(TEXT * 2 + b"\0")
        return reading_process(STRING, caps).read(address(there))

    assert child.run(case) == Reading(SIZE, TEXT + b"\0")


def _null() -> int:
    return 0


def _first_page() -> int:
    return 64


def _unmapped() -> int:
    place = memory.map_pages(1)
    memory.unmap_page(place)
    return place


def _forbidden() -> int:
    place = memory.map_pages(1)
    memory.write(place, TEXT)
    memory.protect_page(place)
    return place


def _kernel() -> int:
    return 0xFFFF_FFFF_8100_0000  # the kernel's text on x86_64, in the upper half everywhere


def _direct_map() -> int:
    return 0xFFFF_8880_0000_0000  # Documentation/arch/x86/x86_64/mm.rst


def _between() -> int:
    return 1 << 63  # not canonical on x86_64, kernel's or tagged elsewhere


def _last_bytes() -> int:
    return 2**64 - 8


def _not_resident() -> int:
    return memory.map_pages(1)


def _file_not_resident() -> int:
    fd = os.open("/usr/bin/env", os.O_RDONLY)
    with contextlib.closing(os.fdopen(fd)):
        view = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        place = ctypes.addressof(ctypes.c_char.from_buffer(view))
        KEPT.append(view)
        return place


KEPT: list[mmap.mmap] = []


def _runs_into_unmapped() -> int:
    place = memory.map_pages(2)
    memory.write(place, b"\x77" * PAGE)
    memory.unmap_page(place + PAGE)
    return place + PAGE - 8


def _runs_into_not_resident() -> int:
    place = memory.map_pages(2)
    memory.write(place, b"\x77" * PAGE)
    return place + PAGE - 8


def _thrown_out() -> int:
    view = mmap.mmap(-1, PAGE, mmap.MAP_PRIVATE)
    view[:] = b"\x77" * PAGE
    view.madvise(mmap.MADV_DONTNEED)
    place = ctypes.addressof(ctypes.c_char.from_buffer(view))
    KEPT.append(view)
    return place


PLACES: dict[str, Callable[[], int]] = {
    "null": _null,
    "first_page": _first_page,
    "unmapped": _unmapped,
    "PROT_NONE": _forbidden,
    "kernel": _kernel,
    "direct_map": _direct_map,
    "between_the_halves": _between,
    "end_of_the_address_space": _last_bytes,
    "never_touched": _not_resident,
    "file_never_touched": _file_not_resident,
    "thrown_out": _thrown_out,
    "runs_into_unmapped": _runs_into_unmapped,
    "runs_into_never_touched": _runs_into_not_resident,
}


@both_helpers
@both_loaders
def test_what_cannot_be_read_is_efault_and_zeroes(helper: int, caps: tuple[int, ...]) -> None:
    """At every bad or absent place: EFAULT and a destination of zeroes, none of it stale."""

    def case() -> dict[str, Reading]:
        process = reading_process(helper, caps)
        return {name: process.read(place()) for name, place in PLACES.items()}

    seen = child.run(case)
    assert seen == dict.fromkeys(PLACES, refused(errno.EFAULT))
    assert bytes([STALE] * SIZE) != ZEROES


@both_helpers
@both_loaders
def test_memory_that_is_not_resident_is_not_fetched(helper: int, caps: tuple[int, ...]) -> None:
    """A filter does not wait for a page: it is as absent afterwards, and readable once touched."""

    def case() -> tuple[bool, Reading, bool, Reading]:
        process = reading_process(helper, caps)
        place = memory.map_pages(1)
        before = memory.is_resident(place)
        absent = process.read(place)
        after = memory.is_resident(place)
        memory.write(place, TEXT)
        return before, absent, after, process.read(place)

    before, absent, after, touched = child.run(case)
    assert (before, absent, after) == (False, refused(errno.EFAULT), False)
    assert touched.data == TEXT + b"\0"


def test_a_string_may_end_before_memory_does() -> None:
    """A string that ends in the last bytes of a mapping is read, though more would not be there."""

    def case() -> Reading:
        process = reading_process(STRING, (CAP_BPF,))
        place = memory.map_pages(2)
        memory.unmap_page(place + PAGE)
        memory.write(place + PAGE - 4, b"end\0")
        return process.read(place + PAGE - 4)

    assert child.run(case) == Reading(4, b"end".ljust(SIZE, b"\0"))


def test_a_thread_reads_its_process() -> None:
    """A filter installed by a thread reads the memory that the thread shares with the others."""

    def case() -> Reading:
        there = buffer(TEXT)
        return child.in_thread(lambda: reading_process(BYTES, (CAP_BPF,)).read(address(there)))

    assert child.run(case) == Reading(0, TEXT + b"\0")
