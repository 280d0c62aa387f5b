# SPDX-License-Identifier: MIT
"""The tree's own selftests on two kernels, compared test by test.

Whatever is worse on the series is run again on both kernels before it counts: a result that the
kernel can give is taken for what it gives if nothing disturbs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs import engine
from lab.jobs.engine import Again
from lab.jobs.kselftest.build import build_suites
from lab.jobs.kselftest.compare import RANK, Difference, compare, is_bad, table
from lab.jobs.kselftest.guest import run_programs
from lab.jobs.kselftest.suites import Program, Suite
from lab.kernel import pipeline
from lab.kernel.pipeline import Kernel, held
from lab.kernel.plan import BASE, SERIES, Plan
from lab.kernel.userspace import GuestRequest
from lab.runs import journal, rundir
from lab.runs.journal import Test
from lab.runs.kinds import KSELFTEST
from lab.runs.verdict import Stopped, Verdict, outranking
from lab.runs.writing import OpenRun

ATTEMPTS = 2
"""How often a program is run again, on both kernels, before a result that is worse counts."""


@dataclass(frozen=True)
class Side:
    """One kernel's results by id; ``place`` has the guest's streams."""

    kernel: str
    place: str
    tests: dict[str, Test]


def run_kselftest(session: Session, plan: Plan, suites: Sequence[Suite], again: Again) -> int:
    """Both kernels, the suites of the patched tree; FAILED if the series is worse anywhere.

    Raises LabError if a stage fails, or if a suite gives no result: nothing can be said then.
    """

    def job(run: OpenRun) -> Verdict:
        return _Comparing(run, suites).run()

    return engine.run(session, KSELFTEST, plan, again, job)


class _Comparing:
    """One run."""

    def __init__(self, run: OpenRun, suites: Sequence[Suite]) -> None:
        self._run = run
        self._suites = suites
        self._runs: list[tuple[Side, Side]] = []
        self._booted = 0

    def run(self) -> Verdict:
        session, plan = self._run.session, self._run.plan
        kernel = pipeline.bring_kernel(session, plan, self._run.stage)
        programs = self._programs(kernel)
        control = replace(plan, control=True)
        base = pipeline.bring_kernel(session, control)
        chosen: Sequence[Program] = programs
        while chosen and len(self._runs) <= ATTEMPTS:
            if self._runs:
                names = ", ".join(program.id for program in chosen)
                self._run.ui.say(f"again, since something differs: {names}")
            sides = (self._side(control, base, chosen), self._side(plan, kernel, chosen))
            self._runs.append(sides)
            _require_results(self._suites if len(self._runs) == 1 else (), sides)
            chosen = _differing(programs, self._runs)
        return self._conclude(programs)

    def _programs(self, kernel: Kernel) -> Sequence[Program]:
        """Built, and seeded: a guest that is lost leaves a list of what did not run."""
        run, configured = self._run, kernel.configured
        request = GuestRequest(
            configured.source.tree,
            run.plan.arch,
            configured.build_dir,
            configured.toolchain,
            run.session.cache,
        )
        with held(run.session, run.plan, configured.source):
            programs = build_suites(kernel, request, self._suites, run.ui)
        for program in programs:
            if program.path is None:
                run.ui.warn(f"not built: {program.id}: {program.problem}")
        run.seed([{"id": program.id, "patches": [], "doc": ""} for program in programs])
        return programs

    def _side(self, plan: Plan, kernel: Kernel, programs: Sequence[Program]) -> Side:
        """One guest. Raises Stopped if it was lost or its kernel complains."""
        self._booted += 1
        place = f"{rundir.GUESTS}/{self._booted}-{plan.kernel}"
        outcome, tests = run_programs(self._run, plan, kernel, programs, place)
        states = {name: [test.state, test.message] for name, test in tests.items()}
        self._run.event("side", kernel=plan.kernel, place=place, tests=states)
        where = (f"On the {plan.kernel} kernel; its streams are in {place}.",)
        above = outranking(outcome.splats, outcome.lost, outcome.scan_error, more=where)
        if above:
            raise Stopped(above)
        return Side(plan.kernel, place, tests)

    def _conclude(self, programs: Sequence[Program]) -> Verdict:
        base, series = best(self._runs, 0), best(self._runs, 1)
        differences = compare(base, series)
        lines = table(base, series, differences)
        lines += unstable(self._runs)
        lines += [f"not run: {p.id}: {p.problem}" for p in programs if p.problem]
        lines += [
            f"not run: {suite.name}/{name}: {why}"
            for suite in self._suites
            for name, why in suite.leave_out
        ]
        self._run.table(lines)
        for identity, outcome, message in judged(base, series, differences):
            self._run.result(identity, outcome, message)
        bad = [row for row in differences if is_bad(row)]
        if bad:
            headline = f"failed: worse than the base in {len(bad)} of {len(series)} results"
            return Verdict(ExitCode.FAILED, headline, tuple(map(str, bad)))
        headline = f"passed: {len(series)} results, the same as the base or better"
        return Verdict(ExitCode.PASSED, headline)


def judged(
    base: dict[str, Test], series: dict[str, Test], differences: Sequence[Difference]
) -> Iterator[tuple[str, str, str]]:
    """Id, outcome and message of every result: FAILED is what is worse than on the base. What
    fails there as well says nothing about the series: it counts as skipped, as KTAP's XFAIL does.
    """
    bad = {row.id: str(row) for row in differences if is_bad(row)}
    for name in dict.fromkeys((*series, *base)):
        test = series.get(name)
        if name in bad:
            said = f"\n{test.message}" if test and test.message else ""
            yield name, journal.FAILED, bad[name] + said
        elif test is not None and test.state == journal.FAILED:
            yield name, journal.SKIPPED, f"fails on the base as well: {test.message}"
        elif test is not None:
            yield name, test.state, test.message


def _require_results(suites: Sequence[Suite], sides: tuple[Side, Side]) -> None:
    for suite in suites:
        for side in sides:
            states = [t.state for n, t in side.tests.items() if n.startswith(f"{suite.name}/")]
            if not set(states) & {journal.PASSED, journal.FAILED}:
                raise LabError(
                    f"{suite.name} gives no result on the {side.kernel} kernel.",
                    hint=f"See {side.place} and the warnings about what was not built.",
                )


def _differing(programs: Sequence[Program], runs: Sequence[tuple[Side, Side]]) -> list[Program]:
    base, series = best(runs, 0), best(runs, 1)
    names = [row.id for row in compare(base, series) if is_bad(row)]
    return [program for program in programs if any(_is_of(program, name) for name in names)]


def best(runs: Sequence[tuple[Side, Side]], side: int) -> dict[str, Test]:
    """Each test's best result over the runs of a kernel: what it can do if nothing disturbs it."""
    found: dict[str, Test] = {}
    for run in runs:
        for name, test in run[side].tests.items():
            known = found.get(name)
            if known is None or RANK.get(test.state, 0) > RANK.get(known.state, 0):
                found[name] = test
    return found


def unstable(runs: Sequence[tuple[Side, Side]]) -> list[str]:
    """Tests whose results on one kernel are not always the same, with all of them."""
    lines = []
    for side, kind in enumerate((BASE, SERIES)):
        names = dict.fromkeys(name for run in runs for name in run[side].tests)
        for name in names:
            states = [r[side].tests[name].state for r in runs if name in r[side].tests]
            if len(set(states)) > 1:
                lines.append(f"differs from run to run on the {kind}: {name}: {', '.join(states)}")
    return lines


def _is_of(program: Program, name: str) -> bool:
    return name == program.id or name.startswith(f"{program.id}/")
