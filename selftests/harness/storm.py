# SPDX-License-Identifier: MIT
"""Filters that say which of many they are, for native/filter_storm.c to install in the middle."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from selftests.harness import child, uapi
from selftests.harness.asm import (
    R1,
    R2,
    R6,
    atomic_add,
    jump_if,
    load,
    map_value,
    mov,
    on_syscall,
    ret,
)
from selftests.harness.bpf import Map, Prog, map_create, prog_load
from selftests.harness.objects import guest_file
from selftests.harness.sys import no_new_privs
from selftests.harness.uapi import NR

BASE = 200
"""In native/filter_storm.c as well."""


def numbered(number: int, looks: Map) -> Prog:
    """Answers getppid(number) with the errno BASE + number; counts all calls of getppid()."""
    return prog_load(
        on_syscall(
            NR.getppid,
            map_value(R1, looks.fd),
            mov(R2, 1),
            atomic_add(R1, 0, R2),
            load(8, R1, R6, uapi.data_arg(0)),
            jump_if("ne", R1, number, "otherwise"),
            *ret(uapi.SECCOMP_RET_ERRNO | BASE + number),
        ),
        log_level=0,
    )


class Filters:
    """As many of them as ``tsync`` has letters: each with TSYNC ("+") or without ("-")."""

    def __init__(self, tsync: str) -> None:
        self.looks = [map_create() for _ in tsync]
        self._progs = [numbered(number, looks) for number, looks in enumerate(self.looks)]
        self._tsync = tsync

    def run(self, *arguments: str, keep: Sequence[int] = ()) -> list[int]:
        """The numbers that filter_storm prints. Raises CalledProcessError, TimeoutExpired."""
        no_new_privs()
        fds = [prog.fd for prog in self._progs]
        filters = [f"{'+' * (how == '+')}{fd}" for how, fd in zip(self._tsync, fds, strict=True)]
        done = subprocess.run(
            [guest_file("filter_storm"), *arguments, *filters],
            pass_fds=[*fds, *keep],
            stdout=subprocess.PIPE,
            timeout=child.TIMEOUT,
            check=True,
        )
        return [int(number) for number in done.stdout.split()]


@dataclass(frozen=True)
class Executed:
    """What a program found that was executed during TSYNC: how many filters answer, and what /proc
    says; and how many had returned, or had begun, in the process that was.
    """

    effective: int
    threads: int
    no_new_privs: int
    mode: int
    filters: int
    returned: int
    begun: int


def execute_during_tsync(filters: Filters, who: str, when: int) -> Executed:
    """``who`` ("leader", "thread") executes as soon as installation number ``when`` begins."""
    progress = os.memfd_create("progress")
    os.ftruncate(progress, mmap.PAGESIZE)
    found = filters.run("exec", who, str(when), str(progress), keep=[progress])
    effective, threads, no_new_privs_, mode, count = found
    returned, begun = struct.unpack("=ii", os.pread(progress, 8, 0))
    os.close(progress)
    return Executed(effective, threads, no_new_privs_, mode, count, returned, begun)
