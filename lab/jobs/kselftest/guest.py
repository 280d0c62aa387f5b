# SPDX-License-Identifier: MIT
"""Runs built programs in a guest, one after another, and reads their results."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab.guest.boot import Listeners
from lab.guest.launch import STDOUT_LOG
from lab.guest.script import GuestCommand
from lab.guest.session import Outcome
from lab.jobs.kselftest import ktap, test_progs
from lab.jobs.kselftest.suites import Program
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.runs import journal
from lab.runs.journal import Test
from lab.runs.writing import OpenRun

BEGIN, END = "# lab: begin ", "# lab: end "
SKIP_STATUS, TIMEOUT_STATUS = 4, 124
"""KSFT_SKIP (tools/testing/selftests/kselftest.h), and what timeout(1) makes of a hang."""

PREPARATION = "mount -t bpf bpf /sys/fs/bpf"
"""What an init system would have done. libbpf's default for pins, which selftests/bpf relies on
(prog_tests/unpriv_bpf_disabled.c, tailcall_poke in tailcalls.c); virtme-ng's init leaves it out.
"""


def run_programs(
    run: OpenRun, plan: Plan, kernel: Kernel, programs: Sequence[Program], place: str
) -> tuple[Outcome, dict[str, Test]]:
    """One guest, whose streams go to ``place``: how it ended, and results by id."""
    ready = run.prepare(kernel, plan=plan, place=place)
    run.ui.say(f"{plan.kernel}: {len(programs)} programs")
    with run.ui.progress(f"{run.kind.name} {plan.kernel}", None, "results") as progress:
        seen = _Counter(progress.advance)
        command = GuestCommand(("sh", "-c", f"{PREPARATION}\n{script(programs)}"), Path("/"), {})
        outcome = run.boot(ready, command, Listeners(stdout=seen.feed))
    output = ready.request.run_dir / STDOUT_LOG
    text = output.read_text(encoding="utf-8", errors="backslashreplace")
    found = {
        name: Test(name, number, state=state, message=message)
        for number, (name, state, message) in enumerate(results(programs, text), 1)
    }
    return outcome, found


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
