# SPDX-License-Identifier: MIT
"""The guest's fuzz program: what it generates."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.jobs.fuzz.case import Case
from lab.kernel.userspace import NATIVE

# --- the guest's program --------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fuzz.c for this machine: what it generates needs no kernel."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("native") / "fuzz"
    command = [compiler, "-O0", str(NATIVE / "fuzz.c"), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


def shown(program: Path, seed: int, first: int, count: int) -> list[dict[str, Any]]:
    command = [str(program), "show", str(seed), str(first), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_program_is_a_function_of_seed_and_index(program: Path) -> None:
    whole = shown(program, 11, 0, 400)
    assert [row["index"] for row in whole] == list(range(400))
    assert shown(program, 11, 250, 50) == whole[250:300]
    assert shown(program, 12, 0, 400) != whole


def test_all_kinds_and_loaders_are_generated(program: Path) -> None:
    cases = [Case.parse(row["case"]) for row in shown(program, 5, 0, 2000)]
    assert {one.fields["kind"] for one in cases} == {"differential", "open", "mutated", "raw"}
    loaders = {"user", "bpf", "perfmon", "ptrace", "root", "userns"}
    loaders |= {"token", "token-bare", "token-other"}
    assert {one.fields["loader"] for one in cases} == loaders
    assert {one.fields["scope"] for one in cases} == {1, 2, 9}
    assert {one.fields["unprivileged_bpf_disabled"] for one in cases} == {0, 2}
    assert {one.fields["drops_capabilities"] for one in cases} == {0, 1}
    assert all(one.fields["insn"] and one.fields["call"] for one in cases)
    assert len({tuple(one.fields["insn"]) for one in cases}) > 1900
    for one in cases:
        assert bool(one.fields["classic"]) == one.differential


SIZE_OF_DATA = 64
CLASSIC = {
    *(0x20, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x07, 0x87, 0x06, 0x16, 0x05, 0x84),
    # add, sub, mul, div, or, and, lsh, rsh, xor; with a constant, with X
    *(op | 0x04 | source for op in range(0x00, 0x80, 0x10) for source in (0x00, 0x08)),
    *(0xA4, 0xAC),
    # jeq, jgt, jge, jset
    *(op | 0x05 | source for op in range(0x10, 0x50, 0x10) for source in (0x00, 0x08)),
}
"""What seccomp_check_filter() in kernel/seccomp.c lets pass, as 0x20 what it makes of a load."""

ACTIONS = {0x80000000, 0, 0x30000, 0x50000, 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000}


def test_all_that_classic_filters_have_is_compared(program: Path) -> None:
    cases = [Case.parse(row["case"]) for row in shown(program, 6, 0, 3000)]
    compared = [one for one in cases if one.differential]
    rows = [line.split() for one in compared for line in one.fields["classic"]]
    insns = [(int(code, 16), int(k, 16)) for code, _, _, k in rows]
    assert {code for code, _ in insns} == CLASSIC
    assert {k for code, k in insns if code == 0x20} == set(range(0, SIZE_OF_DATA, 4))
    assert {k & 0xFFFF0000 for code, k in insns if code == 0x06} >= ACTIONS
    # Nothing that only one of the two languages has.
    assert {one.fields["fd_array_cnt"] for one in compared} == {0}
    assert {one.fields["prog_flags"] for one in compared} == {0, 1, 4, 5, 8}


@pytest.mark.parametrize(
    "arguments", [[], ["run", "x", "0", "1", "1"], ["show", "1", "2"], ["--workers", "0"]]
)
def test_the_program_does_not_guess(program: Path, arguments: list[str]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"fuzz: show" in done.stderr
