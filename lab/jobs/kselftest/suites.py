# SPDX-License-Identifier: MIT
"""Which of tools/testing/selftests/ are run: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError


@dataclass(frozen=True)
class ProgFile:
    """A file of selftests/bpf/prog_tests/, without ``.c``, and which of its tests; () is all."""

    name: str
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A directory below tools/testing/selftests/. ``leave_out``: programs that are not run, and
    why. ``limit``: seconds for each program, emulated on a busy machine. ``files``: built as one
    runner, ``test_progs``, of which each test is a program here.
    """

    name: str
    leave_out: tuple[tuple[str, str], ...] = ()
    limit: int = 900
    files: tuple[ProgFile, ...] = ()


@dataclass(frozen=True)
class Program:
    """A program of a suite. ``path`` is None if it could not be built; ``problem`` says why.
    ``directory`` is where it has to run, None for an empty one.
    """

    suite: Suite
    name: str
    path: Path | None
    problem: str = ""
    arguments: tuple[str, ...] = ()
    directory: Path | None = None

    @property
    def id(self) -> str:
        """How results are named: suite/program."""
        return f"{self.suite.name}/{self.name}"


BPF_FILES: tuple[ProgFile, ...] = (
    # What patch 4 adds to libbpf.
    ProgFile("libbpf_str"),
    ProgFile("libbpf_probes"),
    ProgFile("section_names"),
    # Who may load.
    ProgFile("token"),
    ProgFile("unpriv_bpf_disabled"),
    # The verifier where patches 2, 7, 8 and 11 touch it: maps, helpers, kernel pointers. (Not
    # verifier_ctx: each of its programs is loaded together with one that wants bpf_testmod.)
    ProgFile(
        "verifier",
        (
            "verifier_array_access",
            "verifier_helper_restricted",
            "verifier_leak_ptr",
            "verifier_map_in_map",
            "verifier_map_ptr",
            "verifier_map_ptr_mixing",
            "verifier_map_ret_val",
            "verifier_prevent_map_lookup",
            "verifier_seccomp",
            "verifier_unpriv",
            "verifier_unpriv_perf",
            "verifier_value_or_null",
        ),
    ),
    ProgFile("verifier_kfunc_prog_types"),
    ProgFile("test_global_funcs"),
    # The hooks of patch 6 are beside those that these attach to.
    ProgFile("test_lsm"),
    # Patches 11 and 12 change who may pass what to task_storage_get().
    ProgFile("test_local_storage"),
    ProgFile("task_local_storage"),
    ProgFile("cgrp_local_storage"),
    ProgFile("tailcalls"),
)

SUITES: tuple[Suite, ...] = (
    Suite("seccomp", leave_out=(("seccomp_benchmark", "measures time, and judges it"),)),
    Suite("ptrace"),
    Suite("lsm"),
    Suite("syscall_user_dispatch", leave_out=(("sud_benchmark", "measures time, for ever"),)),
    Suite("bpf", files=BPF_FILES),
)


def find_suites(names: tuple[str, ...]) -> tuple[Suite, ...]:
    """The rows of that name, all without names. Raises UsageError for one that is not there."""
    known = {suite.name: suite for suite in SUITES}
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no suite {name!r}.", hint=f"The lab knows: {', '.join(known)}."
            )
    return tuple(known[name] for name in names) or SUITES
