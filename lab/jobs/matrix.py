# SPDX-License-Identifier: MIT
"""Several profiles, one after another: one run each, and one table of all.

The matrix is a run of its own: its journal has an event ``profile`` for each profile that ended,
naming its run directory, and a verdict, the worst of theirs. A profile that could not be built or
booted is a row like the others and keeps none of them from running.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.errors import SEVERITY, ExitCode, LabError
from lab.jobs.tests import Hooks, TestOptions, run_tests
from lab.kernel.pipeline import Plan, early_manifest
from lab.kernel.profiles import CONFIGURATIONS
from lab.report.files import write_html
from lab.runs import journal, manifest, rundir
from lab.runs.journal import Journal
from lab.runs.matrix_table import KIND, Row, table
from lab.runs.run import Run
from lab.runs.rundir import HTML, JUNIT
from lab.runs.verdict import Verdict, verdict_of, write_verdict

TABLE = "matrix.txt"


def run_matrix(session: Session, plans: Sequence[Plan], options: TestOptions) -> int:
    """Run the suite for every plan, those of one kernel together; the worst exit code."""
    directory = rundir.create(session.cache, KIND).path
    command = options.lab(plans[0])
    command[command.index("--profile") + 1] = ",".join(plan.profile.name for plan in plans)
    record = Journal(directory)
    rows: list[Row] = []
    try:
        manifest.write(
            directory,
            **{**early_manifest(session, plans[0], directory.name, command), "kind": KIND},
            profiles=[plan.profile.name for plan in plans],
        )
        record.write("run", id=directory.name, kind=KIND, command=command)
        for plan in _by_kernel(plans):
            session.ui.say(f"== profile {plan.profile.name}: {plan.profile.what}")
            row = _run_one(session, plan, options)
            record.write("profile", **asdict(row))
            rows.append(row)
            atomic_write(directory / TABLE, "\n".join(table(rows)) + "\n")
            write_html(Run.load(directory))
        verdict = judge(rows)
    except BaseException as error:
        ran = f"{len(rows)} of {len(plans)} profiles had ended."
        write_verdict(record, verdict_of(error, (ran,)))
        raise
    else:
        write_verdict(record, verdict)
    finally:
        record.close()
        write_junit(directory, rows)
        write_html(Run.load(directory))
    for line in (*table(rows), "", f"{directory.name}: {verdict.headline}"):
        session.ui.out(line)
    session.ui.out(f"  report: {directory / HTML}")
    session.ui.out(f"  directory: {directory}")
    return int(verdict.code)


def _by_kernel(plans: Sequence[Plan]) -> list[Plan]:
    """Profiles of one configuration follow each other: what is just built is in the page cache."""
    order = {row.name: number for number, row in enumerate(CONFIGURATIONS)}
    return sorted(plans, key=lambda plan: (plan.control, order[plan.profile.configuration.name]))


def _run_one(session: Session, plan: Plan, options: TestOptions) -> Row:
    begun: list[Path] = []
    try:
        code = run_tests(session, plan, options, Hooks(begun=begun.append))
    except LabError as error:
        session.ui.warn(f"profile {plan.profile.name}: {error.message}")
        code = error.exit_code
    return read_row(plan, begun[0], int(code))


def read_row(plan: Plan, directory: Path, code: int) -> Row:
    """A profile's row, from its run directory."""
    run = Run.load(directory)
    skipped: dict[str, int] = {}
    for test in run.view.of_state(journal.SKIPPED):
        skipped[test.message] = skipped.get(test.message, 0) + 1
    return Row(
        plan.profile.name,
        plan.profile.what,
        code,
        run.headline,
        str(directory),
        run.view.counts(),
        skipped,
        sum(1 for splat in run.view.splats if not splat.get("allowed")),
        round(run.view.last - run.view.first, 1),
    )


def judge(rows: Sequence[Row]) -> Verdict:
    """The worst of the rows' exit codes, and which rows have it to answer for."""
    worst = max((ExitCode(row.code) for row in rows), key=SEVERITY.index)
    if worst == ExitCode.PASSED:
        return Verdict(worst, f"passed: {len(rows)} profiles")
    bad = [row for row in rows if row.code != ExitCode.PASSED]
    return Verdict(
        worst,
        f"{len(bad)} of {len(rows)} profiles did not pass",
        tuple(f"{row.profile}: {row.headline}" for row in bad),
    )


def write_junit(directory: Path, rows: Sequence[Row]) -> None:
    """One JUnit file with a suite for each profile."""
    from junitparser import JUnitXml

    document: Any = JUnitXml()
    for row in rows:
        path = Path(row.run, JUNIT)
        if path.is_file():
            for suite in JUnitXml.fromfile(str(path)):
                suite.name = f"{row.profile}: {suite.name}"
                document.add_testsuite(suite)
    atomic_write(directory / JUNIT, document.tostring().decode())
