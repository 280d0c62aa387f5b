# SPDX-License-Identifier: MIT
"""Reads KTAP (Documentation/dev-tools/ktap.rst), and the TAP 13 that kselftests still print.

A pure parser: text in, results out. The names of nested subtests, which are indented and precede
their parent's result, are joined with "/". Of two results of one name the second is called "(2)".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

RESULT = re.compile(
    r"(?P<indent> *)(?P<bad>not )?ok\b(?: +(?P<number>\d+))?(?: +-)?(?: +(?P<name>[^#]*))?"
    r"(?:#(?P<rest>.*))?$"
)
DIRECTIVE = re.compile(r" *(?P<word>SKIP|TODO|XFAIL|XPASS|TIMEOUT|ERROR)\b:? *(?P<reason>.*)", re.I)
BAIL_OUT = re.compile(r" *Bail out!\s*(?P<reason>.*)", re.I)
PLAN = re.compile(r" *1\.\.(\d+)")
STARTED = re.compile(r"# +RUN +(?P<name>\S.*?)(?: \.\.\.)?$")


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
    ``running`` is a test that was begun and has no result; ``bailed`` is the reason of a bail-out;
    ``own`` is the program's own result, of one that prints it.
    """

    results: tuple[Result, ...]
    planned: int | None
    running: str | None
    bailed: str | None = None
    own: Result | None = None

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
    bailed: str | None = None
    said: list[str] = []
    for raw in lines:
        line = raw.rstrip()
        bail = BAIL_OUT.match(line)
        if bail:
            bailed = bail["reason"] or "no reason given"
            continue
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
        results.append((len(match["indent"]), _result(match, said)))
        running, said = None, []
    return Report(tuple(told_apart(_joined(results))), planned, running, bailed)


def _result(match: re.Match[str], said: list[str]) -> Result:
    outcome = FAILED if match["bad"] else PASSED
    rest = match["rest"] or ""
    directive = DIRECTIVE.match(rest)
    word, reason = (directive["word"].upper(), directive["reason"]) if directive else ("", rest)
    if word == "SKIP":
        outcome = SKIPPED
    elif word in ("TODO", "XFAIL"):
        # A failure that is expected; a success that is not is told by its reason.
        outcome = PASSED
    elif word in ("TIMEOUT", "ERROR"):
        outcome = FAILED
    # tools/testing/selftests/kselftest.h puts the name behind the directive.
    name = (match["name"] or "").strip() or reason.strip() or f"test {match['number']}"
    message = "\n".join(filter(None, [f"{word} {reason}".strip(), *said]))
    return Result(name, outcome, message)


def told_apart(results: Iterable[Result]) -> Iterator[Result]:
    """The same results, of which no two have one name."""
    seen: dict[str, int] = {}
    for result in results:
        seen[result.name] = count = seen.get(result.name, 0) + 1
        yield replace(result, name=f"{result.name} ({count})") if count > 1 else result


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
