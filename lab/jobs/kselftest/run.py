# SPDX-License-Identifier: MIT
"""Runs built suites in a guest, one program after another, and compares two kernels."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.guest import splats
from lab.guest.boot import CONSOLE_LOG, EXITED, STDOUT_LOG, Listeners, run_guest
from lab.guest.script import GuestCommand
from lab.jobs.kselftest import ktap, test_progs
from lab.jobs.kselftest.build import build_suites
from lab.jobs.kselftest.compare import RANK, compare, is_bad, table
from lab.jobs.kselftest.suites import Program, Suite
from lab.kernel.pipeline import (
    Kernel,
    Plan,
    bring_kernel,
    choose_accelerator,
    early_manifest,
    guest_limits,
    guest_request,
    held,
)
from lab.kernel.userspace import GuestRequest
from lab.report.files import write_all
from lab.runs import journal, manifest, rundir
from lab.runs.journal import Journal, Test
from lab.runs.run import Run
from lab.runs.verdict import Verdict, write_verdict

KIND = "kselftest"
TABLE = "kselftest.txt"
BEGIN, END = "# lab: begin ", "# lab: end "
SKIP_STATUS, TIMEOUT_STATUS = 4, 124
"""KSFT_SKIP (tools/testing/selftests/kselftest.h), and what timeout(1) makes of a hang."""

PREPARATION = "mount -t bpf bpf /sys/fs/bpf"
"""What an init system would have done. libbpf's default for pins, which selftests/bpf relies on
(prog_tests/unpriv_bpf_disabled.c, tailcall_poke in tailcalls.c); virtme-ng's init leaves it out.
"""

ATTEMPTS = 2
"""How often a program is run again, on both kernels, before a result that is worse counts."""


@dataclass(frozen=True)
class Side:
    """One kernel's results: its run directory, results by id, and the run's exit code."""

    plan: Plan
    run: Path
    tests: dict[str, Test]
    code: int


def run_kselftest(session: Session, plan: Plan, suites: Sequence[Suite], command: list[str]) -> int:
    """Both kernels, the suites of the patched tree; FAILED if the series is worse anywhere.

    Raises LabError if a stage fails, or if a suite gives no result: nothing can be said then.
    """
    kernel = bring_kernel(session, plan)
    request = GuestRequest(
        kernel.configured.source.tree,
        plan.arch,
        kernel.configured.build_dir,
        kernel.configured.toolchain,
        session.cache,
    )
    with held(session, plan, kernel.configured.source):
        programs = build_suites(kernel, request, suites, session.ui)
    for program in programs:
        if program.path is None:
            session.ui.warn(f"not built: {program.id}: {program.problem}")
    control = replace(plan, control=True)
    kernels = ((control, bring_kernel(session, control)), (plan, kernel))
    runs: list[tuple[Side, Side]] = []
    chosen: Sequence[Program] = programs
    while chosen and len(runs) <= ATTEMPTS:
        if runs:
            session.ui.say(f"again, since something differs: {', '.join(p.id for p in chosen)}")
        sides = [run_side(session, *one, chosen, command) for one in kernels]
        for side in sides:
            if side.code not in (ExitCode.PASSED, ExitCode.FAILED):
                session.ui.out(f"{side.plan.kind}: exit code {side.code}, see {side.run}")
                return side.code
        runs.append((sides[0], sides[1]))
        _require_results(suites if len(runs) == 1 else (), runs[0])
        chosen = _differing(programs, runs)
    return _conclude(session, runs, suites, programs)


def _require_results(suites: Sequence[Suite], sides: tuple[Side, Side]) -> None:
    for suite in suites:
        for side in sides:
            states = [t.state for n, t in side.tests.items() if n.startswith(f"{suite.name}/")]
            if not set(states) & {journal.PASSED, journal.FAILED}:
                raise LabError(
                    f"{suite.name} gives no result on the {side.plan.kind} kernel.",
                    hint=f"See {side.run} and the warnings about what was not built.",
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
    for side, kind in enumerate(("base", "series")):
        names = dict.fromkeys(name for run in runs for name in run[side].tests)
        for name in names:
            states = [r[side].tests[name].state for r in runs if name in r[side].tests]
            if len(set(states)) > 1:
                lines.append(f"differs from run to run on the {kind}: {name}: {', '.join(states)}")
    return lines


def _conclude(
    session: Session,
    runs: Sequence[tuple[Side, Side]],
    suites: Sequence[Suite],
    programs: Sequence[Program],
) -> int:
    base, series = best(runs, 0), best(runs, 1)
    differences = compare(base, series)
    lines = table(base, series, differences)
    lines += unstable(runs)
    lines += [f"not run: {p.id}: {p.problem}" for p in programs if p.problem]
    lines += [
        f"not run: {suite.name}/{name}: {why}" for suite in suites for name, why in suite.leave_out
    ]
    bad = [row for row in differences if is_bad(row)]
    run = runs[0][1].run
    atomic_write(run / TABLE, "\n".join(lines) + "\n")
    for line in lines:
        session.ui.out(line)
    word = f"worse than the base in {len(bad)}" if bad else "the same as the base or better"
    session.ui.out(f"{run.name}: {len(series)} results, {word}")
    session.ui.out(f"  directory: {run}")
    return ExitCode.FAILED if bad else ExitCode.PASSED


def _is_of(program: Program, name: str) -> bool:
    return name == program.id or name.startswith(f"{program.id}/")


def script(programs: Sequence[Program]) -> str:
    """A shell script that runs them, each between marks, in a directory of its own."""
    lines = ["cd $(mktemp -d) || exit 1"]
    for program in programs:
        if program.path is None:
            continue
        name = shlex.quote(program.id)
        lines += [
            f"echo seccomp-lab: start {name} > /dev/kmsg",
            f"echo '{BEGIN}'{name}",
            f"({_command(program)}) 2>&1",
            f"status=$?; echo; echo '{END}'{name} $status",
        ]
    return "\n".join(lines)


def _command(program: Program) -> str:
    """The shell command of one program, which ends in time."""
    limit = ("timeout", "-k", "5", str(program.suite.limit))
    command = shlex.join([*limit, str(program.path), *program.arguments])
    if program.directory is None:
        return command
    return f"cd {shlex.quote(str(program.directory))} && {command}"


def run_side(
    session: Session,
    plan: Plan,
    kernel: Kernel,
    programs: Sequence[Program],
    command: list[str],
) -> Side:
    """One guest; its run directory has the results as tests."""
    run = rundir.create(session.cache, f"{KIND}-{plan.kind}")
    record = Journal(run.path)
    view = journal.View()

    def write(event: str, **fields: object) -> None:
        view.add(record.write(event, **fields))

    try:
        with session.cache.lock_entry(run.path, "testing", session.ui.say):
            accelerator = choose_accelerator(session, plan.arch)
            limits = guest_limits(plan, accelerator, {})
            manifest.write(
                run.path,
                **early_manifest(session, plan, run.id, command),
                **kernel.configured.source.describe(),
                accelerator=asdict(accelerator),
                limits=limits.as_dict(),
            )
            write("run", id=run.id, kind=plan.kind, command=command)
            session.ui.say(f"{plan.kind}: {len(programs)} programs")
            with session.ui.progress(f"{KIND} {plan.kind}", None, "results") as progress:
                seen = _Counter(lambda: progress.advance())
                guest = guest_request(plan, kernel, accelerator, run.path, limits)
                end = run_guest(
                    guest,
                    GuestCommand(("sh", "-c", f"{PREPARATION}\n{script(programs)}"), Path("/"), {}),
                    Listeners(stdout=seen.feed),
                )
            write("guest", **asdict(end))
            text = (run.path / STDOUT_LOG).read_text(encoding="utf-8", errors="backslashreplace")
            for name, outcome, message in results(programs, text):
                write("result", id=name, outcome=outcome, message=message, seconds=0.0)
            verdict = _verdict(run.path, view, write)
            view.add(write_verdict(record, verdict))
    finally:
        record.close()
    write_all(Run.load(run.path))
    return Side(plan, run.path, view.tests, int(verdict.code))


class _Counter:
    """Counts results as they come."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take in a piece of output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.lstrip().startswith((b"ok ", b"not ok ")) or test_progs.is_result(line):
                self._advance()


def results(programs: Sequence[Program], text: str) -> Iterator[tuple[str, str, str]]:
    """Id, outcome and message of everything that was run, and of what was lost on the way."""
    for program in programs:
        if program.path is None:
            yield program.id, journal.SKIPPED, f"not built: {program.problem}"
            continue
        _, begun, rest = text.partition(f"{BEGIN}{program.id}\n")
        output, ended, tail = rest.partition(f"{END}{program.id} ")
        if not begun:
            yield program.id, journal.FAILED, "it was not started"
            continue
        status = int(tail.split("\n", 1)[0] or -1) if ended else None
        parse = test_progs.parse if program.suite.files else ktap.parse
        found = parse(output.splitlines())
        for result in found.results:
            yield f"{program.id}/{result.name}", result.outcome, result.message
        yield program.id, *_whole(found, status)


def _whole(found: ktap.Report, status: int | None) -> tuple[str, str]:
    """The program's own result: for one that speaks no KTAP, all there is."""
    if status is None:
        return journal.FAILED, f"it did not end; in flight: {found.running or 'unknown'}"
    if status == TIMEOUT_STATUS:
        return journal.FAILED, f"it took too long; in flight: {found.running or 'unknown'}"
    if status not in (0, 1, SKIP_STATUS):
        # Neither what the harness ends with after failures nor a skip: a signal, mostly.
        return journal.FAILED, f"exit status {status}"
    if found.bailed is not None:
        return journal.FAILED, f"it bailed out: {found.bailed}"
    if found.missing:
        return journal.FAILED, f"{found.missing} of {found.planned} results are missing"
    if found.own is not None and (status == 0 or found.own.outcome == journal.FAILED):
        return found.own.outcome, found.own.message
    if found.own is not None:
        return journal.FAILED, f"exit status {status} after a result of {found.own.outcome!r}"
    if found.results:
        # The single results say more than the status, which is theirs summed up.
        return journal.PASSED, ""
    outcome = {0: journal.PASSED, SKIP_STATUS: journal.SKIPPED}.get(status, journal.FAILED)
    return outcome, "" if outcome == journal.PASSED else f"exit status {status}"


def _verdict(directory: Path, view: journal.View, write: Callable[..., None]) -> Verdict:
    try:
        found = splats.scan_file(directory / CONSOLE_LOG, splats.load_allowlist())
    except LabError as error:
        return Verdict(ExitCode.INFRA, "infrastructure: no scan of the console", (error.message,))
    for splat in found:
        write("splat", **asdict(splat))
    spoken = [splat for splat in found if splat.allowed is None]
    if spoken:
        reasons = tuple(f"{splat.kind}: {splat.headline} ({splat.test})" for splat in spoken)
        return Verdict(ExitCode.KERNEL, f"the kernel spoke: {spoken[0].headline}", reasons)
    if view.guest.get("outcome") != EXITED:
        detail = str(view.guest.get("detail"))
        return Verdict(ExitCode.INFRA, "infrastructure: the guest was lost", (detail,))
    if not view.ran():
        return Verdict(ExitCode.FAILED, "failed: no test ran")
    counts = ", ".join(f"{count} {state}" for state, count in view.counts().items())
    if view.of_state(journal.FAILED):
        return Verdict(ExitCode.FAILED, f"failed: {counts}")
    return Verdict(ExitCode.PASSED, f"passed: {counts}")
