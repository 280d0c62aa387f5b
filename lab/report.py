"""Reports of a run, all derived from its journal and manifest: summary, KTAP, JUnit XML, HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import journal, manifest
from lab.cache import atomic_write
from lab.journal import Test, View
from lab.matrix_table import Row, table

KTAP, JUNIT, HTML = "ktap.txt", "junit.xml", "report.html"

WITHOUT_TESTS = ("matrix", "walk", "bench", "size")
"""Kinds of runs that can be without tests: then there is nothing for KTAP and JUnit."""

GOOD, BAD, SKIP, OPEN = "good", "bad", "skip", "open"
JUDGEMENT: dict[bool, dict[str, str]] = {
    False: {
        journal.PASSED: GOOD,
        journal.FAILED: BAD,
        journal.ABSENT: BAD,
        journal.SKIPPED: SKIP,
    },
    # On the unpatched base the feature has to be missing.
    True: {
        journal.PASSED: BAD,
        journal.FAILED: BAD,
        journal.ABSENT: GOOD,
        journal.SKIPPED: BAD,
    },
}
"""Control run or not, and a test's state, to what it is worth. Other states are open."""

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Run:
    """A run as reports see it."""

    path: Path
    manifest: dict[str, Any]
    view: View

    @classmethod
    def load(cls, path: Path) -> Run:
        """Read a run directory. Raises UsageError if it is none."""
        return cls(path, manifest.load(path), journal.load(path))

    @property
    def id(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def kind(self) -> str:
        """What kind of run it is: "series", "control", "off", "matrix", "bench", ..."""
        return str(self.manifest.get("kind") or "")

    @property
    def control(self) -> bool:
        """Whether it ran on the unpatched base."""
        return self.kind == "control"

    @property
    def headline(self) -> str:
        """The verdict in a line, also of a run that did not live to have one."""
        if self.view.verdict:
            return str(self.view.verdict["headline"])
        return "no verdict: the run was cut short"

    @property
    def code(self) -> int | None:
        """Exit code; None without a verdict."""
        return self.view.verdict.get("code")

    @property
    def reasons(self) -> list[str]:
        """Why."""
        if self.view.verdict:
            return [str(reason) for reason in self.view.verdict.get("reasons", ())]
        return [f"In flight: {self.view.in_flight}."] if self.view.in_flight else []

    def judge(self, test: Test) -> str:
        """What a test's state is worth in this run."""
        return JUDGEMENT[self.control].get(test.state, OPEN)


def write_all(run: Run) -> None:
    """Write every derived file, each atomically."""
    if run.view.tests or run.kind not in WITHOUT_TESTS:
        atomic_write(run.path / KTAP, ktap(run))
        atomic_write(run.path / JUNIT, junit(run))
    write_html(run)


def write_html(run: Run) -> None:
    """Write the page alone."""
    # What makes pages is imported by who makes one.
    from lab.reports.html import html

    atomic_write(run.path / HTML, html(run))


# --- console summary ------------------------------------------------------------------------


def summary(run: Run, messages: bool = True) -> list[str]:
    """The run in some lines of text, with or without what its failed tests said."""
    lines = [f"{run.id}: {run.headline}"]
    lines += [f"  {reason}" for reason in run.reasons]
    for test in run.view.tests.values():
        if run.judge(test) == BAD:
            lines.append(f"  {test.state}: {test.id}")
            if messages:
                lines += [f"    | {line}" for line in test.message.strip().splitlines()[-8:]]
    rows = profile_rows(run)
    lines += [f"  {line}" for line in table(rows)] if rows else []
    lines += [f"  {name}: {value}" for name, value in facts(run)]
    return lines


def profile_rows(run: Run) -> list[Row]:
    """The profiles of a matrix, as far as it came."""
    return [row for event in run.view.profiles if (row := Row.from_event(event))]


def facts(run: Run) -> list[tuple[str, str]]:
    """What was run, by name, as far as the run came."""
    data = run.manifest
    base, build, accelerator = (data.get(key) or {} for key in ("base", "build", "accelerator"))
    guest = run.view.guest
    rows = [
        ("base", " ".join(str(base.get(key, "")) for key in ("name", "version")).strip()),
        ("base digest", base.get("digest")),
        ("patches", _patches(data)),
        ("local changes", ", ".join((data.get("tree") or {}).get("local") or ())),
        ("kernel", build.get("release")),
        ("profile", _profile(data)),
        ("configuration", _configuration(data.get("config") or {})),
        ("config digest", (data.get("config") or {}).get("digest")),
        ("accelerator", _with_reason(accelerator)),
        ("emulation", _emulation(data.get("guest") or {})),
        ("limits", _limits(data.get("limits"))),
        ("boot", _seconds(guest.get("boot_seconds"))),
        ("whole guest", _seconds(guest.get("seconds"))),
        ("reproduce", data.get("reproduce")),
        ("directory", str(run.path)),
    ]
    return [(name, str(value)) for name, value in rows if value]


def _patches(data: dict[str, Any]) -> str:
    patches = data.get("patches") or []
    applied = [patch for patch in patches if patch.get("applied")]
    if not patches:
        return ""
    return f"{len(applied)} applied" if applied else "none applied (control)"


def _profile(data: dict[str, Any]) -> str:
    profile = data.get("profile") or {}
    if data.get("profiles"):
        return ", ".join(map(str, data["profiles"]))
    return ": ".join(str(profile[key]) for key in ("name", "what") if profile.get(key))


def _configuration(config: dict[str, Any]) -> str:
    fragments = [str(name).removesuffix(".config") for name in config.get("fragments") or ()]
    if not fragments:
        return ""
    return f"{config.get('requested', 0)} requested lines, from {', '.join(fragments)}"


def _with_reason(accelerator: dict[str, Any]) -> str:
    name, reason = accelerator.get("name"), accelerator.get("reason")
    return f"{name} ({reason})" if name and reason else str(name or "")


def _emulation(guest: dict[str, Any]) -> str:
    return f"{guest.get('cpus')} processors take turns" if guest.get("one_thread") else ""


def _limits(limits: dict[str, float] | None) -> str:
    return ", ".join(f"{name} {seconds:g} s" for name, seconds in (limits or {}).items())


def _seconds(value: object) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else ""


# --- KTAP -----------------------------------------------------------------------------------


def ktap(run: Run) -> str:
    """KTAP version 1 (Documentation/dev-tools/ktap.rst)."""
    tests = list(run.view.tests.values())
    lines = ["KTAP version 1", f"# {run.headline}", f"1..{len(tests)}"]
    for number, test in enumerate(tests, 1):
        worth = run.judge(test)
        result = "ok" if worth in (GOOD, SKIP) else "not ok"
        lines.append(f"{result} {number} {test.id.replace('#', '%23')}{_directive(test, worth)}")
        if worth in (BAD, OPEN):
            lines += [f"# {line}" for line in test.message.splitlines()]
    lines += [f"# {reason}" for reason in run.reasons]
    return "\n".join(lines) + "\n"


def _directive(test: Test, worth: str) -> str:
    if worth == SKIP:
        return " # SKIP " + " ".join(test.message.split())
    if worth == OPEN:
        return f" # ERROR {test.state}"
    return ""


# --- JUnit XML ------------------------------------------------------------------------------


def junit(run: Run) -> str:
    """JUnit XML: one suite; what is not a test's fault is the suite's error."""
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite(f"selftests ({'control' if run.control else 'series'})")
    for test in run.view.tests.values():
        module, _, name = test.id.partition("::")
        case = TestCase(name or test.id, module, test.seconds)
        message = NOT_XML.sub("?", test.message)
        first = message.strip().splitlines()[-1:] or [test.state]
        worth = run.judge(test)
        if worth == BAD:
            failure = Failure(f"{test.state}: {first[0]}")
            failure.text = message
            case.result = [failure]
        elif worth == SKIP:
            case.result = [Skipped(first[0])]
        elif worth == OPEN:
            case.result = [Error(test.state)]
        suite.add_testcase(case)
    if run.code != 0:
        case = TestCase("verdict", "lab", 0)
        error = Error(NOT_XML.sub("?", run.headline))
        error.text = NOT_XML.sub("?", "\n".join(run.reasons))
        case.result = [error]
        suite.add_testcase(case)
    suite.add_property("run", run.id)
    for name, value in facts(run):
        suite.add_property(name, NOT_XML.sub("?", value))
    document: Any = JUnitXml()
    document.add_testsuite(suite)
    text: bytes = document.tostring()
    return text.decode()
