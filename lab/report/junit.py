# SPDX-License-Identifier: MIT
"""A run as JUnit XML."""

from __future__ import annotations

import re
from typing import Any

from lab.report.text import facts
from lab.runs.run import BAD, OPEN, SKIP, Run

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
