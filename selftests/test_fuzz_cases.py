# SPDX-License-Identifier: MIT
"""Cases that `lab fuzz` has kept: what it has found, and what it would find first if it broke.

A file of fuzz_cases/ is a program, its loader, what is installed beside it, the system calls made
under it, and what has to come of it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from selftests.harness import privileges
from selftests.harness.objects import guest_file
from selftests.harness.patches import proves

CASES = sorted(Path(__file__).with_name("fuzz_cases").glob("*.json"))
SECONDS = 80.0

CASE_SETTINGS = {
    "unprivileged_bpf_disabled": privileges.UNPRIVILEGED_BPF,
    "scope": privileges.PTRACE_SCOPE,
}
"""What a case calls the sysctls that it sets; 0 where it does not say."""

SETTINGS = (*CASE_SETTINGS.values(), "debug/exception-trace")
"""Sysctls that the fuzz program sets as it needs them."""


@pytest.fixture(autouse=True)
def _settings_are_put_back() -> Iterator[None]:
    with ExitStack() as stack:
        for name in SETTINGS:
            if Path("/proc/sys", name).exists():
                stack.enter_context(privileges.sysctl(name, privileges.get_sysctl(name)))
        yield


def text(case: dict[str, Any]) -> str:
    """The lines that the fuzz program reads (native/fuzz/case.h)."""
    lines = []
    for name, value in case.items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{name} {entry}" for entry in values]
    return "\n".join([*lines, "end", ""])


def fuzz(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and events. A status of 0 is no finding, 1 a finding; others raise."""
    done = subprocess.run(
        [guest_file("fuzz"), *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def replay(case: dict[str, Any], path: Path, *options: str) -> dict[str, Any]:
    """Run one case; what came of it."""
    path.write_text(text(case))
    _, events = fuzz("case", str(path), *options)
    (told,) = (event for event in events if event["event"] == "case")
    return told


@proves("program-type", "map-restriction", "tier-1", "yama", "user-memory", "task-storage")
@pytest.mark.parametrize("saved", CASES, ids=lambda path: path.stem)
def test_a_saved_case_shows_nothing(saved: Path, tmp_path: Path) -> None:
    """Each saved case comes to what is expected of it, and breaks no rule."""
    content = json.loads(saved.read_text())
    told = replay(content["case"], tmp_path / "case.txt")
    assert told["finding"] == "", told["what"]
    expected = content["expected"]
    seen = {name: told[name] for name in expected}
    if seen != expected:
        # Unless the guest is one in which that cannot be set.
        for name, setting in CASE_SETTINGS.items():
            # A scope that flips (9, native/fuzz/case.h) is 2 every other moment.
            with privileges.sysctl(setting, min(content["case"].get(name, 0), 2)):
                pass
        if expected.get("load") == "accepted" != told["load"]:
            # The interpreter has less stack, and no tail calls beside functions.
            privileges.need_jit()
    assert seen == expected, told


@proves("program-type")
def test_a_wrong_translation_is_found(tmp_path: Path) -> None:
    """The comparison of the two languages has teeth: a wrong comparison shows as a mismatch."""
    content = json.loads(Path(CASES[0].parent, "greater-is-not-equal.json").read_text())
    told = replay({**content["case"], "insn": []}, tmp_path / "case.txt", "--sabotage")
    assert told["finding"] == "mismatch"


@proves("program-type", "map-restriction", "tier-1", "yama", "user-memory", "task-storage")
def test_a_block_of_random_filters_shows_nothing() -> None:
    """128 random programs, by loaders of every tier, show nothing, and not all are refused."""
    status, events = fuzz("run", "4", "0", "128", "60")
    (outcomes,) = [event for event in events if event["event"] == "outcomes"][-1:]
    findings = [event["what"] for event in events if event["event"] == "finding"]
    assert (status, findings) == (0, [])
    counts = {text: count for text, count, _ in outcomes["counts"]}
    assert sum(counts.values()) == 128
    assert counts["accepted"] >= 32
    assert len(counts) >= 12
