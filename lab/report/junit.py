# SPDX-License-Identifier: MIT
"""A run as JUnit XML."""

from __future__ import annotations

import re
from typing import Any

from lab.report.parts import parts
from lab.report.text import facts
from lab.runs.journal import Test
from lab.runs.kinds import BAD, OPEN, SKIP
from lab.runs.run import Run

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(run: Run) -> str:
    """JUnit XML: one suite, or those of the runs that the run is made of."""
    from junitparser import JUnitXml

    document: Any = JUnitXml()
    if run.kind.parts:
        for name, part in parts(run).items():
            document.add_testsuite(_suite(part, f"{name}: {part.kind.suite}"))
    else:
        document.add_testsuite(_suite(run, run.kind.suite))
    text: bytes = document.tostring()
    return text.decode()


def _suite(run: Run, name: str) -> Any:
    """A run's tests; what is not a test's fault is the suite's error."""
    from junitparser import Error, TestCase, TestSuite

    suite = TestSuite(name)
    for test in run.view.tests.values():
        suite.add_testcase(_case(test, run.judge(test)))
    if run.code != 0:
        case = TestCase("verdict", "lab", 0)
        error = Error(NOT_XML.sub("?", run.headline))
        error.text = NOT_XML.sub("?", "\n".join(run.reasons))
        case.result = [error]
        suite.add_testcase(case)
    suite.add_property("run", run.id)
    for fact, value in facts(run):
        suite.add_property(fact, NOT_XML.sub("?", value))
    return suite


def _case(test: Test, worth: str) -> Any:
    from junitparser import Error, Failure, Skipped, TestCase

    module, _, name = test.id.partition("::")
    case = TestCase(name or test.id, module, test.seconds)
    message = NOT_XML.sub("?", test.message)
    first = message.strip().splitlines()[-1:] or [test.state]
    if worth == BAD:
        failure = Failure(f"{test.state}: {first[0]}")
        failure.text = message
        case.result = [failure]
    elif worth == SKIP:
        case.result = [Skipped(first[0])]
    elif worth == OPEN:
        case.result = [Error(test.state)]
    return case
