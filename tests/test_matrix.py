# SPDX-License-Identifier: MIT
"""Several profiles: one table, one verdict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs import matrix
from lab.jobs.engine import Again
from lab.jobs.tests import Hooks, TestOptions
from lab.kernel.arches import ARCHES
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profiles
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import manifest, rundir
from lab.runs.journal import Journal
from lab.runs.kinds import MATRIX, SUITE
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT
from tests.support import Recorder
from tests.worlds import again, with_tools

OPTIONS = TestOptions(None, (), {})


def plans(names: str) -> list[Plan]:
    """A plan for each profile."""
    return [
        Plan("linux-7.3", False, Path("/p"), profile.control, profile, ARCHES[0])
        for profile in find_profiles(names)
    ]


class Suite:
    """Stands for run_tests(): leaves a run directory, and ends as it was told to."""

    def __init__(self, cache: Cache, ends: dict[str, int | LabError | KeyboardInterrupt]) -> None:
        self.cache = cache
        self.ends = ends
        self.ran: list[str] = []

    def __call__(self, _: Session, plan: Plan, __: TestOptions, ___: Again, hooks: Hooks) -> int:
        name = plan.profile.name
        self.ran.append(name)
        run = rundir.create(self.cache, SUITE[plan.kernel].name)
        hooks.begun(run)
        manifest.write(run, id=run.name, kind=SUITE[plan.kernel].name)
        journal = Journal(run)
        end = self.ends.get(name, 0)
        tests = [{"id": "selftests/test_a.py::test_b", "patches": [2], "doc": ""}]
        journal.write("collected", tests=tests)
        fields: dict[str, Any] = {"id": tests[0]["id"], "seconds": 0.1}
        outcome = ("passed", "") if plan.profile.name != "no-lsm" else ("skipped", "lacks yama")
        journal.write("result", outcome=outcome[0], message=outcome[1], **fields)
        if isinstance(end, BaseException):
            journal.close()
            raise end
        journal.write("verdict", code=end, headline=f"code {end}", reasons=[])
        journal.close()
        write_all(Run.load(run))
        return end


def run(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, names: str, **ends: Any
) -> tuple[int, Suite, str]:
    """Run the matrix; its code, what ran, and what it printed."""
    suite = Suite(cache, {name.replace("_", "-"): end for name, end in ends.items()})
    with_tools(monkeypatch)
    monkeypatch.setattr(matrix, "run_tests", suite)
    recorder = Recorder()
    code = matrix.run_matrix(Session(cache, recorder.ui), plans(names), OPTIONS, again, again)
    return code, suite, recorder.results.getvalue()


def test_all_passed_is_passed(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    code, suite, out = run(cache, monkeypatch, "default,no-lsm")
    assert (code, suite.ran) == (0, ["default", "no-lsm"])
    assert "passed: 2 profiles" in out
    assert "no-lsm: skipped 1: lacks yama" in out


def test_the_worst_counts_and_nothing_is_lost(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, suite, out = run(
        cache, monkeypatch, "default,no-lsm,yama,bpf-lsm", default=1, no_lsm=4,
        yama=LabError("it does not compile"),
    )  # fmt: skip
    assert code == ExitCode.KERNEL
    assert suite.ran == ["default", "no-lsm", "yama", "bpf-lsm"]
    assert "3 of 4 profiles did not pass" in out
    loaded = Run.load(rundir.find(cache, "matrix"))
    assert loaded.code == ExitCode.KERNEL
    assert any("yama" in reason for reason in loaded.reasons)
    assert loaded.manifest.reproduce == "scripts/lab something default"


def test_profiles_of_one_kernel_follow_each_other(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, suite, _ = run(cache, monkeypatch, "control,no-security,default,yama")
    assert suite.ran == ["default", "yama", "no-security", "control"]


def test_an_interrupted_matrix_can_be_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(cache, monkeypatch, "default,yama", yama=KeyboardInterrupt())
    loaded = Run.load(rundir.find(cache, "matrix"))
    assert loaded.headline == "infrastructure: interrupted"
    assert loaded.reasons == ["1 of 2 profiles had ended."]
    assert "default" in (loaded.path / MATRIX.table).read_text()


def test_junit_has_a_suite_for_each_profile(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    run(cache, monkeypatch, "default,no-lsm")
    text = (rundir.find(cache, "matrix") / JUNIT).read_text()
    assert 'name="default: selftests (series)"' in text
    assert 'name="no-lsm: selftests (series)"' in text


def test_the_page_of_a_matrix_has_a_line_for_each_profile(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(cache, monkeypatch, "default,no-lsm,yama", no_lsm=4, yama=KeyboardInterrupt())
    directory = rundir.find(cache, "matrix")
    text = (directory / HTML).read_text()
    links = re.findall(r'<a href="(\.\./[^"]*)"', text)
    assert len(links) == 2
    assert all((directory / link).is_file() for link in links)
    assert "1: lacks yama" in text
    assert "exit code 4" in text
    assert text.count("not run</td>") == 1


def test_a_matrix_that_is_told_again_keeps_its_files(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(cache, monkeypatch, "default,no-lsm")
    loaded = Run.load(rundir.find(cache, "matrix"))
    before = (loaded.path / JUNIT).read_text()
    write_all(loaded)
    assert (loaded.path / JUNIT).read_text() == before
    assert any("no-lsm: skipped 1: lacks yama" in line for line in summary(loaded))
