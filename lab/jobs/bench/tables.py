# SPDX-License-Identifier: MIT
"""What is measured: tables of rows, and the ratios that are taken between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.runs.bench_figures import Goal

PREFIX = "bench::"

CALLS = 1_000_000
"""System calls in a sample of the 2021 RFC's benchmark."""

LEAST_CALLS = 100

NONE, CLASSIC, EXTENDED, SUPERVISOR, TOOL = "none", "cBPF", "eBPF", "supervisor", "tool"
"""Groups of rows."""


@dataclass(frozen=True)
class Row:
    """A configuration. ``mode`` and ``filter`` are names that selftests/bench knows.

    ``x`` is its place on the table's axis. A row of calls makes ``share`` of the calls that the
    caller asks for, divided among ``threads``, under ``copies`` of the filter; ``refused`` is the
    share of them that has to fail. ``fixed``: it makes no calls, or does so many of something else.
    """

    label: str
    group: str
    mode: str = "calls"
    filter: str = ""
    x: int | None = None
    share: float = 1.0
    fixed: int = 0
    copies: int = 1
    threads: int = 1
    workload: str = "mixed"
    refused: float = 0.5
    length: int = 0

    @property
    def key(self) -> str:
        """What tells it from the other rows of its table."""
        return self.label if self.x is None else f"{self.label}, {self.x}"

    def calls(self, asked: int) -> int:
        """How many calls a sample of it makes; they come in pairs, one from each thread."""
        if self.fixed:
            return self.fixed
        pair = 2 * self.threads
        return max(LEAST_CALLS, round(asked * self.share)) // pair * pair

    def plan(self, identity: str, asked: int) -> dict[str, Any]:
        """For the guest: see selftests/bench/measure.py."""
        calls = self.calls(asked)
        return {
            "id": identity,
            "mode": self.mode,
            "filter": self.filter,
            "workload": self.workload,
            "calls": calls,
            "threads": self.threads,
            "copies": self.copies,
            "refused": round(calls * self.refused),
            "length": self.length,
        }


@dataclass(frozen=True)
class Ratio:
    """``over`` and ``under`` are keys of rows. ``above``: key of a row that is taken off both
    first, so that what the system call itself costs does not count. ``rfc``: what the RFC of 2021
    has for it, in QEMU.
    """

    label: str
    over: str
    under: str
    above: str = ""
    goal: Goal | None = None
    rfc: float | None = None


@dataclass(frozen=True)
class Table:
    """``reference`` is the key of the row that the others are put beside in the text; ``x`` names
    the axis, None if there is none.
    """

    name: str
    title: str
    unit: str
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...] = ()
    x: str | None = None
    reference: str = ""
    notes: tuple[str, ...] = ()

    def identity(self, row: Row) -> str:
        """The row in journal, plan and reports."""
        return f"{PREFIX}{self.name}::{row.key}"


NO_FILTER, BITMAP, ARGUMENT, PURE = "no filter", "cBPF", "cBPF without bitmap", "eBPF"
NOTIFIER, NOTIFIER_SYNC, PTRACE = "notifier", "notifier, SYNC_WAKE_UP", "ptrace"

FEW = 0.01
"""A call that another process answers takes a hundred times as long."""

_NO_FILTER = Row(NO_FILTER, NONE, copies=0, refused=0)
_BITMAP = Row(BITMAP, CLASSIC, filter="classic-bitmap")
_ARGUMENT = Row(ARGUMENT, CLASSIC, filter="classic-argument")
_PURE = Row(PURE, EXTENDED, filter="pure")
_NOTIFIER = Row(NOTIFIER, SUPERVISOR, "notify", "classic-notify", share=FEW)

MAPS = (
    Row("eBPF, array map", EXTENDED, filter="array"),
    Row("eBPF, hash map", EXTENDED, filter="hash"),
    Row("eBPF, task storage", EXTENDED, filter="storage"),
    Row("eBPF, string of the caller", EXTENDED, filter="user-string"),
)


def getpid() -> Table:
    """The RFC's table."""
    return Table(
        "getpid",
        "getpid() passed, getppid() EPERM, by turns",
        "ns per call",
        (
            _NO_FILTER,
            _BITMAP,
            _ARGUMENT,
            _PURE,
            *MAPS,
            _NOTIFIER,
            Row(NOTIFIER_SYNC, SUPERVISOR, "notify-sync", "classic-notify", share=FEW),
            Row(PTRACE, SUPERVISOR, "trace", "classic-trace", share=FEW),
        ),
        (
            Ratio("notifier / eBPF", NOTIFIER, PURE, goal=Goal(">=", 80.0), rfc=84.6),
            Ratio("notifier, SYNC_WAKE_UP / eBPF", NOTIFIER_SYNC, PURE, goal=Goal(">=", 40.0)),
            Ratio("ptrace / eBPF", PTRACE, PURE),
            Ratio("eBPF / cBPF without bitmap", PURE, ARGUMENT, goal=Goal("<=", 1.05)),
            Ratio("eBPF / cBPF without bitmap, filter alone", PURE, ARGUMENT, NO_FILTER),
            Ratio("eBPF / cBPF", PURE, BITMAP),
            Ratio("eBPF / no filter", PURE, NO_FILTER),
            Ratio("cBPF without bitmap / no filter", ARGUMENT, NO_FILTER),
            Ratio("cBPF / no filter", BITMAP, NO_FILTER),
            *(Ratio(f"{row.label} / eBPF", row.label, PURE) for row in MAPS),
            *(Ratio(f"{row.label} / eBPF, filter alone", row.label, PURE, NO_FILTER)
              for row in MAPS),
        ),
        reference=NO_FILTER,
        notes=(
            "getpid: the RFC has 84.6 for notifier / eBPF in QEMU and 42.4 on bare metal.",
            "getpid: each configuration answers alike, and is not counted if it refuses another"
            " number of calls than half of them.",
        ),
    )  # fmt: skip


STACKED = (1, 2, 4, 8, 16, 32)


def stacked() -> Table:
    """Several filters on one task."""
    pairs = ((ARGUMENT, CLASSIC, "classic-argument"), (PURE, EXTENDED, "pure"))
    return Table(
        "stacked",
        "the same with several filters",
        "ns per call",
        tuple(
            Row(label, group, filter=name, x=count, copies=count, share=0.1)
            for label, group, name in pairs
            for count in STACKED
        ),
        tuple(
            Ratio(f"{PURE} / {ARGUMENT}, {count}", f"{PURE}, {count}", f"{ARGUMENT}, {count}")
            for count in STACKED
        ),
        x="filters stacked",
    )


def threads(cpus: int) -> Table:
    """Threads that call at the same time."""
    rows = (_NO_FILTER, _ARGUMENT, _PURE, MAPS[1])
    labels = [row.label for row in rows[1:]]
    return Table(
        "threads",
        "the same from several threads at once, time divided by all calls",
        "ns per call",
        tuple(
            Row(row.label, row.group, filter=row.filter, x=count, threads=count, share=0.3,
                copies=row.copies, refused=row.refused)
            for row in rows
            for count in range(1, cpus + 1)
        ),
        tuple(
            Ratio(f"{label}: 1 thread / {cpus} threads", f"{label}, 1", f"{label}, {cpus}")
            for label in (NO_FILTER, *labels)
            if cpus > 1
        ),
        x="threads",
    )  # fmt: skip


LENGTHS = (16, 64, 256, 1024, 4096)
LONGER = (16384, 32768)
LOADED_ONLY = (65536,)
"""A path of filters may have 32768 instructions in all (MAX_INSNS_PER_PATH, kernel/seccomp.c)."""


def length() -> Table:
    """Programs of many instructions: what loading and attaching takes."""
    return Table(
        "length",
        "load and attach by program length",
        "ns",
        (
            *(Row("cBPF, attach", CLASSIC, "attach", f"classic-list:{n}", x=n, fixed=1)
              for n in LENGTHS),
            *(Row("eBPF, load", EXTENDED, "load", length=n, x=n, fixed=1)
              for n in (*LENGTHS, *LONGER, *LOADED_ONLY)),
            *(Row("eBPF, attach", EXTENDED, "attach", f"ebpf-list:{n}", x=n, fixed=1)
              for n in (*LENGTHS, *LONGER)),
        ),
        (
            *(Ratio(f"eBPF, load / cBPF, attach, {n}", f"eBPF, load, {n}", f"cBPF, attach, {n}")
              for n in (LENGTHS[0], LENGTHS[-1])),
            *(Ratio(f"eBPF, attach / cBPF, attach, {n}", f"eBPF, attach, {n}",
                    f"cBPF, attach, {n}")
              for n in (LENGTHS[0], LENGTHS[-1])),
        ),
        x="instructions",
        notes=(
            "length: cBPF is checked, translated and compiled by seccomp() itself; eBPF is verified"
            " and compiled by bpf(), once for any number of attachments.",
        ),
    )  # fmt: skip


MANY, SOME = 1000, 240
"""Filters attached, of 16 and of 256 instructions: a process's may have 32768 in all."""


def memory() -> Table:
    """What an attached filter takes."""
    short, long = "16 instructions", "256 instructions"
    return Table(
        "memory",
        "kernel memory of an attached filter",
        "bytes per filter",
        (
            *(Row(f"{kind}, {what}", group, "memory", f"{name}:{size}", copies=count, fixed=count)
              for size, what, count in ((16, short, MANY), (256, long, SOME))
              for kind, group, name in ((CLASSIC, CLASSIC, "classic-list"),
                                        (EXTENDED, EXTENDED, "ebpf-list"))),
            Row("eBPF, one program for all", EXTENDED, "memory", "pure", copies=4 * MANY,
                fixed=4 * MANY),
        ),
        (
            Ratio(f"eBPF / cBPF, {short}", f"eBPF, {short}", f"cBPF, {short}"),
            Ratio(f"eBPF / cBPF, {long}", f"eBPF, {long}", f"cBPF, {long}"),
        ),
        notes=(
            "memory: growth of Slab, VmallocUsed and Percpu in /proc/meminfo while four processes"
            " attach so many filters, divided by them. Machine code is in areas of 2 MiB that all"
            " programs share, so it counts only where a new one is begun.",
        ),
    )  # fmt: skip


LOGGED, STRACE, STRACE_BPF = "eBPF, opened_files", "strace", "strace --seccomp-bpf"


def openat() -> Table:
    """Who opens what: the gallery's filter against the tools."""
    no_log = "no log"
    rows = (
        Row(no_log, NONE, workload="open", share=0.02, copies=0, refused=0),
        Row(LOGGED, EXTENDED, "logged", share=0.02, refused=0),
        Row(STRACE, TOOL, "strace", share=0.001, refused=0),
        Row(STRACE_BPF, TOOL, "strace-bpf", share=0.001, refused=0),
    )
    return Table(
        "openat",
        "a log of opened files: /dev/null opened and closed",
        "ns per open and close",
        rows,
        (
            *(Ratio(f"{row.label} / {no_log}", row.label, no_log) for row in rows[1:]),
            Ratio(f"{STRACE} / {LOGGED}", STRACE, LOGGED),
            Ratio(f"{STRACE_BPF} / {LOGGED}", STRACE_BPF, LOGGED),
        ),
        reference=no_log,
    )


INJECTED = "eBPF, inject_fault"


def inject() -> Table:
    """A call that fails: how long it takes to do so."""
    return Table(
        "inject",
        "getppid() fails with EIO",
        "ns per call",
        (
            Row(NO_FILTER, NONE, workload="fault", share=0.3, copies=0, refused=0),
            Row("cBPF, RET_ERRNO", CLASSIC, filter="classic-fault", workload="fault", share=0.3,
                refused=1),
            Row(INJECTED, EXTENDED, filter="inject-fault", workload="fault", share=0.3, refused=1),
            Row(NOTIFIER, SUPERVISOR, "notify", "classic-fault-notify", workload="fault",
                share=FEW, refused=1),
            Row(NOTIFIER_SYNC, SUPERVISOR, "notify-sync", "classic-fault-notify",
                workload="fault", share=FEW, refused=1),
        ),
        (
            Ratio(f"notifier / {INJECTED}", NOTIFIER, INJECTED),
            Ratio(f"{NOTIFIER_SYNC} / {INJECTED}", NOTIFIER_SYNC, INJECTED),
            Ratio(f"{INJECTED} / cBPF, RET_ERRNO", INJECTED, "cBPF, RET_ERRNO"),
        ),
        reference=NO_FILTER,
    )  # fmt: skip


def make_tables(cpus: int) -> dict[str, Table]:
    """All of them by name, for a guest of so many processors."""
    made = (getpid(), stacked(), threads(cpus), length(), memory(), openat(), inject())
    return {table.name: table for table in made}


TABLES = tuple(make_tables(1))
"""Their names."""

BASE_SERIES = "base-series"

BOTH_KERNELS = (_NO_FILTER, _BITMAP, _ARGUMENT, _NOTIFIER)
"""What can be measured without the series as well."""
