# SPDX-License-Identifier: MIT
"""`lab bench`: the command, and the guests that it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode
from lab.jobs.bench.request import BenchOptions, boots_of
from lab.jobs.bench.tables import (
    CALLS,
    TABLES,
)
from lab.jobs.engine import Again
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile

# --- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "nonsense"],
        ["--only", "base-series"],
        ["--rounds", "0"],
        ["--calls", "-1"],
        ["--calls", "many"],
        ["--ab", "--only", "getpid"],
        ["--control"],
        ["--applied", "3"],
        ["--profile", "no-extended"],
        ["--profile", "nonsense"],
        ["--limit", "silence"],
    ],
)
def test_wrong_input_is_2(
    cache: Cache, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "bring_kernel", lambda *_, **__: pytest.fail("a stage started"))
    assert run_cli(["bench", *arguments, "--cache", str(cache.root)]) == ExitCode.USAGE


def asked(monkeypatch: pytest.MonkeyPatch, cache: Cache, *arguments: str) -> BenchOptions:
    """What the command makes of its options."""
    from lab.cli import bench

    given: list[BenchOptions] = []

    def run(session: Session, plan: Plan, options: BenchOptions, again: Again) -> int:  # noqa: ARG001
        given.append(options)
        return 0

    monkeypatch.setattr(bench, "run_bench", run)
    assert run_cli(["bench", *arguments, "--cache", str(cache.root)]) == ExitCode.PASSED
    return given[0]


def test_options_have_defaults_and_quick_ones(
    monkeypatch: pytest.MonkeyPatch, cache: Cache
) -> None:
    whole = asked(monkeypatch, cache)
    assert (whole.tables, whole.rounds, whole.calls) == (TABLES, 7, CALLS)
    quick = asked(monkeypatch, cache, "--quick", "--only", "stacked", "--only", "getpid")
    assert (quick.tables, quick.rounds, quick.calls) == (("getpid", "stacked"), 2, 10_000)
    mixed = asked(monkeypatch, cache, "--quick", "--rounds", "3")
    assert (mixed.rounds, mixed.calls) == (3, 10_000)


def test_guests_of_a_comparison_have_places_of_their_own() -> None:
    plan = Plan("linux-7.3", False, Path("/p"), False, find_profile("default"), ARCHES[0])
    options = BenchOptions(TABLES, 3, 500, True, {})
    made = boots_of(plan, options, Path("/run"))
    assert [one.plan.control for one in made] == [True, False, True, False]
    assert len({one.directory for one in made}) == 4
    identities = [table.identity(row) for one in made for table in one.tables for row in table.rows]
    assert len(set(identities)) == len(identities)
