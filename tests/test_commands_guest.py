# SPDX-License-Identifier: MIT
"""The commands around the stages: options in, exit codes and lines out."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, UsageError
from lab.kernel import pipeline
from lab.kernel.arches import find_arch
from lab.kernel.profiles import find_profile
from lab.runs import manifest, rundir
from lab.runs.journal import Journal


@pytest.fixture(autouse=True)
def no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here gets as far as fetching a base."""

    def reached(*_: object) -> None:
        pytest.fail("a stage was started")

    monkeypatch.setattr(pipeline, "ensure_base", reached)


def finished(cache: Cache, kind: str, headline: str, code: int) -> Path:
    run = rundir.create(cache, kind)
    manifest.write(run, kind=kind, reproduce="scripts/lab test")
    record = Journal(run)
    record.write("seed", tests=[{"id": "a.py::t", "patches": [1]}])
    record.write("verdict", code=code, headline=headline, reasons=["Because."])
    record.close()
    return run


def test_runs_are_listed_and_one_is_told(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    finished(cache, "series", "passed: 1 passed", 0)
    last = finished(cache, "control", "control failed: 1 passed", 1)
    boot_only = rundir.create(cache, "boot")
    assert run_cli(["runs", "--cache", str(cache.root)]) == ExitCode.PASSED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "passed: 1 passed",
        "control failed: 1 passed",
    ]
    assert run_cli(["report", "--cache", str(cache.root)]) == ExitCode.PASSED
    told = capsys.readouterr().out
    assert told.startswith(f"{last.name}: control failed")
    assert (last / "report.html").is_file()
    assert run_cli(["report", str(boot_only), "--cache", str(cache.root)]) == ExitCode.USAGE


def test_runs_made_at_once_keep_their_order(cache: Cache) -> None:
    made = [rundir.create(cache, kind) for kind in "zyxwvutsrq"]
    assert sorted(cache.runs.iterdir()) == made


def test_a_run_that_has_only_begun_does_not_spoil_the_list(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(cache, "series", "passed: 1 passed", 0)
    Journal(rundir.create(cache, "series")).close()
    assert run_cli(["runs", "--cache", str(cache.root)]) == ExitCode.PASSED
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["test", "--profile", "nonsense"],
        ["test", "--arch", "pdp11"],
        ["test", "--limit", "silence"],
        ["test", "--limit", "silence=long"],
        ["test", "--limit", "noise=3"],
        ["boot", "--limit", "boot=0", "--", "true"],
        ["build", "--patches", "/nowhere/patches"],
        ["report", "nonsense"],
        ["report"],
    ],
)
def test_wrong_input_is_2(cache: Cache, arguments: list[str]) -> None:
    assert run_cli([*arguments, "--cache", str(cache.root)]) == ExitCode.USAGE


def test_a_shell_needs_a_terminal(cache: Cache) -> None:
    assert run_cli(["boot", "--cache", str(cache.root)]) == ExitCode.USAGE


def test_a_patched_tree_asks_for_the_series_option_and_the_base_does_not() -> None:
    profile, arch = find_profile("default"), find_arch("x86_64")
    series = [path.name for path in profile.configuration.fragment_files(arch, series=True)]
    base = [path.name for path in profile.configuration.fragment_files(arch, series=False)]
    assert set(series) - set(base) == {"series.config"}
    assert "x86_64.config" in base


def test_an_unknown_profile_names_the_known() -> None:
    with pytest.raises(UsageError) as caught:
        find_profile("nonsense")
    assert "default" in caught.value.hint
