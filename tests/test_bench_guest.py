# SPDX-License-Identifier: MIT
"""`lab bench` in the guest: how a plan is gone through, and what is no sample."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.jobs.bench.result import Collected
from lab.jobs.bench.tables import (
    Row,
)
from lab.kernel.userspace import NATIVE
from selftests.bench import __main__ as guest_main
from selftests.bench import filters, measure

# --- the guest's side of a plan ---------------------------------------------------------------


def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int) -> list[dict[str, Any]]:
    """Events of a table with one row of each kind."""

    values: dict[str, list[float]] = {"a": [9.0, 1.5, 1.5], "b": [9.0, 1.5, 1.5]}

    def sample(row: dict[str, Any], shelf: object) -> float:  # noqa: ARG001
        if row["id"] == "bad":
            raise measure.Unmeasured("it is bad")
        if row["id"] == "gone":
            raise measure.NotThere("not there: tool")
        return values[row["id"]].pop(0)

    monkeypatch.setattr(guest_main, "sample", sample)
    monkeypatch.setattr(guest_main, "KMSG", tmp_path / "kmsg")
    told = guest_main.Told(str(tmp_path / "events"))
    rows = [{"id": name} for name in ("a", "bad", "gone", "b")]
    guest_main.run_table({"name": "t", "rows": rows}, rounds, filters.Shelf(), told)
    assert (tmp_path / "kmsg").read_text() == "seccomp-lab: start bench::t\n"
    return [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]


def test_rows_take_turns_and_a_bad_one_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = played(tmp_path, monkeypatch, 2)
    assert [(event["event"], event.get("row")) for event in events] == [
        *(("table", None), ("warm", "a"), ("unmeasured", "bad"), ("not there", "gone")),
        *(("warm", "b"), ("sample", "a"), ("sample", "b"), ("sample", "a"), ("sample", "b")),
    ]
    collected = Collected()
    for event in events:
        collected.take(event)
    assert collected.of("a") == {0: 1.5, 1: 1.5}
    assert collected.failed == {"bad": "it is bad"}
    assert collected.absent == {"gone": "not there: tool"}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with bench.c for this machine: without a filter it needs no kernel of its own."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    directory = tmp_path_factory.mktemp("native")
    command = [compiler, "-O1", "-Wall", "-Werror", str(NATIVE / "bench.c"), "-pthread"]
    subprocess.run([*command, "-o", str(directory / "bench")], check=True)
    return directory


@pytest.fixture
def shelf(native: Path, monkeypatch: pytest.MonkeyPatch) -> filters.Shelf:
    monkeypatch.setenv("SECCOMP_LAB_GUEST", str(native))
    return filters.Shelf()


def unfiltered(**fields: Any) -> dict[str, Any]:
    row = Row("no filter", "none", copies=0, refused=0)
    return {**row.plan("id", 1000), **fields}


@pytest.mark.parametrize("fields", [{}, {"threads": 2}, {"workload": "open"}])
def test_a_sample_is_time_by_calls(shelf: filters.Shelf, fields: dict[str, Any]) -> None:
    assert measure.sample(unfiltered(**fields), shelf) > 0


def test_a_filter_that_refuses_too_little_is_no_sample(shelf: filters.Shelf) -> None:
    with pytest.raises(measure.Unmeasured, match="0 of 1000 calls were refused instead of 500"):
        measure.sample(unfiltered(refused=500), shelf)


def test_what_the_kernel_refuses_is_the_reason(shelf: filters.Shelf) -> None:
    row = {"mode": "load", "length": 16}
    with pytest.raises(measure.Unmeasured, match=r"bench ended with 1: BPF_PROG_LOAD: "):
        measure.sample(row, shelf)


def test_the_native_program_does_not_guess(native: Path) -> None:
    for arguments in ([], ["calls", "mixed"], ["calls", "nonsense", "1", "1", "0"], ["x"]):
        done = subprocess.run([native / "bench", *arguments], capture_output=True, check=False)
        assert done.returncode == 2


def test_a_program_that_was_not_built_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECCOMP_LAB_GUEST", str(tmp_path))
    with pytest.raises(measure.Unmeasured, match="was not built"):
        measure.sample(unfiltered(), filters.Shelf())


def test_a_tool_that_is_not_there_is_nobodys_fault(
    shelf: filters.Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(measure.NotThere, match="not there: strace"):
        measure.sample(unfiltered(mode="strace"), shelf)


def test_a_tool_that_logs_too_little_is_no_sample(
    shelf: filters.Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    tool = tmp_path / "strace"
    tool.write_text(f"#!/bin/sh\necho /dev/null > {log}\nwhile [ $1 != {log} ]; do shift; done\n"
                    'shift\nexec "$@"\n')  # fmt: skip
    tool.chmod(0o755)
    monkeypatch.setattr(measure, "LOG", str(log))
    monkeypatch.setattr(shutil, "which", lambda _: str(tool))
    row = unfiltered(mode="strace", workload="open", calls=2)
    with pytest.raises(measure.Unmeasured, match="strace told 1 opens of 2"):
        measure.sample(row, shelf)
    assert measure.sample({**row, "calls": 1}, shelf) > 0


@pytest.mark.parametrize("grown", [0, -4096])
def test_filters_that_take_no_memory_are_no_sample(
    grown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"mode": "memory", "filter": "classic-list:16", "copies": 8}
    monkeypatch.setattr(measure, "run", lambda *_: {"bytes": grown})
    with pytest.raises(measure.Unmeasured, match=f"8 filters took {grown} bytes"):
        measure.sample(row, filters.Shelf())
    monkeypatch.setattr(measure, "run", lambda *_: {"bytes": 4096})
    assert measure.sample(row, filters.Shelf()) == 512


SETTLING = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int kilobytes, step;

static FILE *meminfo(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "Slab: %d kB\\n", kilobytes += step);
	return fmemopen(text, strlen(text), "r");
}

#define fopen(path, mode) meminfo()
#define usleep(microseconds) ((void)(microseconds))
#define main bench_main
#include "bench.c"
#undef main

int main(int argc, char **argv)
{
	step = argc > 1;
	kilobytes = 7;
	printf("%d\\n", (int)settled());
	return 0;
}
"""


def test_memory_is_read_once_it_stays_the_same(tmp_path: Path) -> None:
    """bench.c with a /proc/meminfo of its own: one that stays, and one that never does."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "main.c").write_text(SETTLING)
    command = [compiler, "-Wall", "-Werror", f"-I{NATIVE}", str(tmp_path / "main.c"), "-pthread"]
    subprocess.run([*command, "-o", str(tmp_path / "main")], check=True)

    def settled(*argument: str) -> subprocess.CompletedProcess[str]:
        argv = [str(tmp_path / "main"), *argument]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    still, restless = settled(), settled("grows")
    assert (still.returncode, still.stdout) == (0, f"{7 * 1024}\n")
    assert (restless.returncode, restless.stdout) == (1, "")
    assert "does not stay the same" in restless.stderr


def test_numbers_are_words_with_a_name() -> None:
    assert measure.numbers("ns=12 refused=0\nrecords=-3 x=y noise =4") == {
        "ns": 12, "refused": 0, "records": -3,
    }  # fmt: skip
