# SPDX-License-Identifier: MIT
"""scripts/checkpatch.pl --strict on a patch, and the table of what is accepted of its findings.

An exception (``checkpatch.toml``) is for one patch and carries a reason. One that accepts nothing
any more is a finding itself.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core import proc
from lab.errors import LabError
from lab.jobs.hygiene.result import CheckResult, Finding
from lab.jobs.hygiene.subject import Subject, environment, shown

EXCEPTIONS = Path(__file__).with_name("checkpatch.toml")

HEAD = re.compile(r"(?P<level>ERROR|WARNING|CHECK):(?P<type>[A-Z0-9_]+): (?P<text>.*)")
PLACE = re.compile(r"#(?P<mail>\d+): (?:FILE: (?P<file>[^\s:]+):(?P<line>\d+):)?")


@dataclass(frozen=True)
class Report:
    """A finding of checkpatch: its type, what it says, where, and the lines that it quotes."""

    level: str
    type: str
    text: str
    file: str
    line: int
    quoted: str

    def finding(self) -> Finding:
        """As something to mend."""
        return Finding(self.file, self.line, f"{self.level}:{self.type}: {self.text}")


@dataclass(frozen=True)
class Accepted:
    """An exception. ``patch`` is a title, ``pattern`` is searched for in the file's name and in the
    lines that checkpatch quotes.
    """

    patch: str
    type: str
    pattern: re.Pattern[str]
    reason: str

    def covers(self, report: Report) -> bool:
        """Whether it accepts a finding in its patch."""
        return self.type == report.type and bool(
            self.pattern.search(report.file) or self.pattern.search(report.quoted)
        )

    def stale(self, why: str) -> Finding:
        """The exception itself as something to mend."""
        name = shown(EXCEPTIONS)
        lines = EXCEPTIONS.read_text(encoding="utf-8").splitlines()
        pattern = self.pattern.pattern
        place = next((n for n, line in enumerate(lines, 1) if pattern in line), 1)
        text = f"the exception for {self.type} and {pattern} in {self.patch!r} {why}"
        return Finding(name, place, text)


def load_exceptions(path: Path = EXCEPTIONS) -> tuple[Accepted, ...]:
    """The table. Raises LabError naming the entry if it lacks a field or cannot be understood."""
    try:
        with path.open("rb") as file:
            rows = tomllib.load(file).get("exception", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}.") from error
    return tuple(_accepted(row, f"{path}, exception {n}") for n, row in enumerate(rows, 1))


def _accepted(row: dict[str, str], where: str) -> Accepted:
    fields = {"patch", "type", "pattern", "reason"}
    if set(row) != fields or not all(isinstance(row[name], str) and row[name] for name in row):
        raise LabError(f"{where}: it has to have {', '.join(sorted(fields))}, and nothing else.")
    try:
        return Accepted(**{**row, "pattern": re.compile(row["pattern"])})  # type: ignore[arg-type]
    except re.error as error:
        raise LabError(f"{where}: {row['pattern']!r} is no regular expression: {error}.") from error


def run(subject: Subject, number: int, scratch: Path) -> CheckResult:
    """Raises LabError if checkpatch fails to run as it should."""
    title = subject.patch(number).title
    accepted = [row for row in load_exceptions() if row.patch == title]
    return judge(reports(subject, number, scratch), accepted)


def reports(subject: Subject, number: int, scratch: Path) -> tuple[Report, ...]:
    """What checkpatch finds. Raises LabError if it fails to run."""
    command = ["perl", "scripts/checkpatch.pl", "--strict", "--show-types", "--no-summary"]
    command += ["--color=never", str(subject.patch(number).path.resolve())]
    env = environment(scratch)
    done = proc.run(command, cwd=subject.scripts, env=env, check=False)
    found = tuple(parse(done.stdout, subject.shown(number)))
    # It says so only there, and goes on, when a script or a module that it needs is missing.
    if done.stderr.strip() or bool(found) != (done.returncode != 0):
        raise LabError(
            f"checkpatch.pl did not run as it should (status {done.returncode}): "
            f"{done.stderr.strip() or done.stdout.strip()}",
            hint=f"In {subject.scripts}: {shlex.join(command)}. A missing Python module comes with "
            "`tox run --notest -e kernel-selftest`.",
        )
    return found


def parse(output: str, mail: str) -> Iterator[Report]:
    """checkpatch's output about the file ``mail``, paragraph by paragraph; what it says about
    itself is skipped.
    """
    for paragraph in output.split("\n\n"):
        head, *rest = paragraph.strip("\n").splitlines() or [""]
        if not (match := HEAD.match(head)):
            continue
        file, line = mail, 1
        if rest and (place := PLACE.match(rest[0])):
            del rest[0]
            file, line = place["file"] or file, int(place["line"] or place["mail"])
        yield Report(match["level"], match["type"], match["text"], file, line, "\n".join(rest))


def judge(found: Iterable[Report], accepted: Sequence[Accepted]) -> CheckResult:
    """Findings that no exception accepts, and exceptions that accept nothing."""
    findings, notes = [], []
    idle = list(accepted)
    for report in found:
        row = next((row for row in accepted if row.covers(report)), None)
        if row is None:
            findings.append(report.finding())
            continue
        if row in idle:
            idle.remove(row)
        notes.append(f"accepted: {report.finding()} ({row.reason})")
    findings += [row.stale("matches nothing") for row in idle]
    return CheckResult.of(findings, notes)


def strangers(subject: Subject) -> list[Finding]:
    """Exceptions for patches that the series does not have."""
    titles = {patch.title for patch in subject.series.patches}
    rows = [row for row in load_exceptions() if row.patch not in titles]
    return [row.stale("is for a patch that is not in the series") for row in rows]
