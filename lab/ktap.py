"""Reads KTAP (Documentation/dev-tools/ktap.rst), and the TAP 13 that kselftests still print.

A pure parser: text in, results out. Nested subtests are indented, or written after ``# `` as
tools/testing/selftests/kselftest/runner.sh does; their names are joined with "/".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

RESULT = re.compile(
    r"(?P<indent> *)(?P<bad>not )?ok\b(?: +(?P<number>\d+))?(?: +-)?(?: +(?P<name>[^#]*?))?"
    r"(?: *# *(?P<directive>SKIP|TODO|XFAIL|XPASS|TIMEOUT|ERROR)\b:? *(?P<reason>.*))?$",
    re.IGNORECASE,
)
PLAN = re.compile(r" *1\.\.(\d+)")
STARTED = re.compile(r"# +RUN +(?P<name>\S.*?)(?: \.\.\.)?$")
INDENT = 4


@dataclass(frozen=True)
class Result:
    """A test's result; ``outcome`` is one of the three above. ``message`` is the directive's reason
    and the diagnostic lines since the result before.
    """

    name: str
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Report:
    """What a program printed. ``planned`` is the outermost plan's number, None without one.
    ``running`` is a test that was begun and has no result.
    """

    results: tuple[Result, ...]
    planned: int | None
    running: str | None

    @property
    def missing(self) -> int:
        """Results that were planned and did not come."""
        if self.planned is None:
            return 0
        return max(0, self.planned - sum(1 for result in self.results if "/" not in result.name))


def parse(lines: Iterable[str]) -> Report:
    """The results in a program's output, in order. Never raises: what is no KTAP is passed over."""
    results: list[tuple[int, Result]] = []
    planned: int | None = None
    running: str | None = None
    said: list[str] = []
    for raw in lines:
        line = raw.rstrip()
        plan = PLAN.fullmatch(line.split(" #")[0].rstrip())
        if plan:
            if not line.startswith(" "):
                planned = int(plan[1])
            continue
        started = STARTED.match(line)
        if started:
            running, said = started["name"], []
            continue
        match = RESULT.match(line)
        if not match:
            if line.lstrip().startswith("#"):
                said.append(line.lstrip("# "))
            continue
        results.append((len(match["indent"]) // INDENT, _result(match, said)))
        running, said = None, []
    return Report(tuple(_joined(results)), planned, running)


def _result(match: re.Match[str], said: list[str]) -> Result:
    directive = (match["directive"] or "").upper()
    outcome = FAILED if match["bad"] else PASSED
    if directive == "SKIP":
        outcome = SKIPPED
    elif directive in ("TODO", "XFAIL"):
        # A failure that is expected; a success that is not is told by its reason.
        outcome = PASSED
    elif directive in ("TIMEOUT", "ERROR", "XPASS"):
        outcome = FAILED
    reason = match["reason"] or ""
    message = "\n".join(filter(None, [f"{directive} {reason}".strip(), *said]))
    return Result((match["name"] or "").strip() or f"test {match['number']}", outcome, message)


def _joined(results: list[tuple[int, Result]]) -> Iterator[Result]:
    """Subtests precede their parent: name each after the next result that is less indented."""
    for place, (depth, result) in enumerate(results):
        names = [result.name]
        level = depth
        for other_depth, other in results[place + 1 :]:
            if other_depth < level:
                names.insert(0, other.name)
                level = other_depth
        yield Result("/".join(names), result.outcome, result.message)
