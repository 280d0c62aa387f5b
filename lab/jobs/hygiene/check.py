# SPDX-License-Identifier: MIT
"""Every check of every patch, as a table and as a list of what to mend."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core.columns import aligned
from lab.core.session import Session
from lab.errors import ExitCode
from lab.jobs.hygiene import checkpatch, kerneldoc, mail, warnings
from lab.jobs.hygiene.result import FINDINGS, NOT_RUN, CheckResult, Finding
from lab.jobs.hygiene.subject import Subject, shown
from lab.kernel.plan import Plan
from lab.source.series import COVER_LETTER, ORDER_FILE, PORTS

MAINTAINERS = "maintainers"

READERS: dict[str, Callable[[Subject, int, Path], CheckResult]] = {
    "checkpatch": checkpatch.run,
    "sign-off": mail.sign_off,
    "kernel-doc": kerneldoc.run,
    MAINTAINERS: mail.maintainers,
}
"""Checks that only read, by the column they have: patches and sources, and a scratch directory."""

WIDTH = 75
"""Documentation/process/submitting-patches.rst, of the body of a message."""

COMPILED = (warnings.W1, warnings.SPARSE)


def check_patch(subject: Subject, number: int, compiled: bool = True) -> dict[str, CheckResult]:
    """All checks of one patch: those of READERS and, if ``compiled``, those of COMPILED.

    The latter move the worktree for parts of a series to this patch and build there, in a directory
    of their own; the caller holds neither. Raises LabError if a check cannot be made at all.
    """
    cache, ui = subject.session.cache, subject.session.ui
    with (
        cache.share_entry(subject.scripts, "checking patches", ui.say),
        tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch,
    ):
        home = Path(scratch)
        results = {name: reader(subject, number, home) for name, reader in READERS.items()}
    return results | (warnings.run(subject, number) if compiled else {})


@dataclass(frozen=True)
class Row:
    """A patch and its results by column."""

    number: int
    title: str
    results: dict[str, CheckResult]


@dataclass(frozen=True)
class CheckOptions:
    """``first`` to ``last`` are patch numbers, None the series' end."""

    first: int = 1
    last: int | None = None
    compiled: bool = True
    maintainers: bool = False


def run_check(session: Session, plan: Plan, options: CheckOptions) -> ExitCode:
    """Check patches and their directory, and say what was found.

    FAILED if anything was, INFRA if a check could not be made. Raises what check_patch raises.
    """
    subject = Subject.open(session, plan)
    numbers = subject.numbers(options.first, options.last)
    rows = []
    with session.ui.progress("check", len(numbers), "patches") as progress:
        for number in numbers:
            results = check_patch(subject, number, options.compiled)
            rows.append(Row(number, subject.patch(number).title, results))
            progress.advance()
    around = directory(subject)
    for line in report(rows, around, options.maintainers):
        session.ui.out(line)
    return judge(rows, around)


def directory(subject: Subject) -> list[Finding]:
    """What is wrong beyond single patches. That ``series`` and the patches agree is known, since
    the series could be read.
    """
    home = subject.series.directory
    known = {ORDER_FILE, PORTS, *(patch.path.name for patch in subject.series.patches)}
    known |= {path.name for path in home.glob(COVER_LETTER)}
    strays = sorted(path.name for path in home.iterdir() if path.name not in known)
    place = shown(home / ORDER_FILE)
    found = [Finding(place, 1, f"{name} lies beside the patches and is none") for name in strays]
    letters = [item for path in sorted(home.glob(COVER_LETTER)) for item in _wide(path)]
    return found + letters + checkpatch.strangers(subject)


def _wide(letter: Path) -> Iterator[Finding]:
    """Lines of the cover letter beyond what checkpatch.pl lets a message have, which it is not
    shown. Headers and addresses cannot be wrapped.
    """
    headers, _, body = letter.read_text(encoding="utf-8").partition("\n\n")
    for number, line in enumerate(body.splitlines(), headers.count("\n") + 3):
        if len(line) > WIDTH and "://" not in line:
            text = f"{len(line)} characters; a message has {WIDTH} a line"
            yield Finding(shown(letter), number, text)


def report(rows: Sequence[Row], around: Iterable[Finding], maintainers: bool) -> Iterator[str]:
    """What is to be known about each patch, then a table, then what is to be mended."""
    for row in rows:
        yield from remarks(row, maintainers)
    columns = list(rows[0].results)
    cells = [("patch", *columns)]
    for row in rows:
        cells.append((f"{row.number} {row.title}", *(str(row.results[name]) for name in columns)))
    yield from aligned(cells)
    for row in rows:
        for name, result in row.results.items():
            yield from (f"{item} [patch {row.number}, {name}]" for item in result.findings)
    yield from (f"{item} [directory]" for item in around)


def remarks(row: Row, maintainers: bool) -> Iterator[str]:
    """Notes of a patch; its addressees only if asked for."""
    for name, result in row.results.items():
        if name != MAINTAINERS or maintainers:
            yield from (f"patch {row.number}, {name}: {note}" for note in result.notes)


def judge(rows: Iterable[Row], around: Sequence[Finding]) -> ExitCode:
    """FAILED, INFRA or PASSED, in this order."""
    states = {result.state for row in rows for result in row.results.values()}
    if around or FINDINGS in states:
        return ExitCode.FAILED
    return ExitCode.INFRA if NOT_RUN in states else ExitCode.PASSED
