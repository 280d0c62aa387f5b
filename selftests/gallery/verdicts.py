# SPDX-License-Identifier: MIT
"""What a filter says about system calls, without making them: native/verdicts.c asks the kernel.

Four verdicts are weaker than an errno, and are one here: ALLOW, LOG, TRACE and USER_NOTIF.
"""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selftests.gallery.container_profile_json import Profile, Rule
from selftests.gallery.container_profile_rules import EVERY_NUMBER, X86, Table, around, tables
from selftests.harness.bpf import Prog
from selftests.harness.child import LONG
from selftests.harness.objects import guest_file
from selftests.harness.uapi import NR

X32_BIT = 0x40000000

EDGES = (X32_BIT - 1, 2 * X32_BIT - 1, 2 * X32_BIT, 2**32 - 1)
"""Numbers where a comparison of numbers may err."""

NO_ARGUMENTS = (0,) * 6


@dataclass(frozen=True)
class Question:
    """A call: ``compat`` as 32-bit programs make it, registers of 64 bits."""

    nr: int
    args: tuple[int, ...] = NO_ARGUMENTS
    compat: bool = False

    def __str__(self) -> str:
        how = "32-bit call" if self.compat else "call"
        return f"{how} {self.nr:#x}({', '.join(map(hex, self.args))})"


def of_classic(program: bytes, questions: Sequence[Question]) -> tuple[int, ...]:
    """The verdicts (SECCOMP_RET_* with data) of an array of ``struct sock_filter``."""
    fd = os.memfd_create("classic")
    try:
        os.write(fd, program)
        return _ask("classic", fd, questions)
    finally:
        os.close(fd)


def of_extended(prog: Prog, questions: Sequence[Question]) -> tuple[int, ...]:
    """The verdicts of a loaded program."""
    return _ask("extended", prog.fd, questions)


def _ask(kind: str, fd: int, questions: Sequence[Question]) -> tuple[int, ...]:
    """Raises AssertionError if the answers are not those of a filter."""
    done = subprocess.run(
        [guest_file("verdicts"), kind, str(fd)],
        input=b"".join(struct.pack("=II6Q", one.compat, one.nr, *one.args) for one in questions),
        capture_output=True, pass_fds=[fd], check=False, timeout=LONG,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return struct.unpack(f"={len(questions)}I", done.stdout)


def questions(profile: Profile) -> list[Question]:
    """Every number of every way to make a call, and around the conditions of those that have some
    each combination of arguments that the profile tells apart.
    """
    asked = [Question(number) for number in (*EVERY_NUMBER, *EDGES)]
    asked += [Question(number, (2**64 - 1,) * 6) for number in EVERY_NUMBER]
    if NR.audit == 0xC000003E:
        foreign = {"SCMP_ARCH_X32", X86} - set(profile.arches)
        # A killed process for each, where the profile has nothing for them.
        few = EVERY_NUMBER[:: 1 if not foreign else 64]
        asked += [Question(X32_BIT + number) for number in few]
        asked += [Question(number, compat=True) for number in (*few, *EDGES)]
    for table in tables(profile):
        for number, rules in table.rules.items():
            asked += _around(table, number, rules)
    # The kernel does not ask filters about these.
    return [one for one in dict.fromkeys(asked)
            if one.compat or one.nr not in NR.always_allowed]  # fmt: skip


def _around(table: Table, number: int, rules: Sequence[Rule]) -> Iterator[Question]:
    conditions = [one for rule in rules for one in rule.conditions]
    indices = sorted({one.index for one in conditions})
    values = [around(one for one in conditions if one.index == index) for index in indices]
    for chosen in itertools.product(*values) if indices else ():
        arguments = dict(zip(indices, chosen, strict=True))
        yield Question(number, tuple(arguments.get(i, 0) for i in range(6)), table.arch == X86)
