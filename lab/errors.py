# SPDX-License-Identifier: MIT
"""What can go wrong, and the exit code each kind ends with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every ``lab`` command.

    An infrastructure fault is never reported as a failed test, nor the reverse.
    """

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INFRA = 3
    KERNEL = 4
    INTERRUPTED = 130


SEVERITY = (
    ExitCode.PASSED,
    ExitCode.FAILED,
    ExitCode.USAGE,
    ExitCode.INFRA,
    ExitCode.KERNEL,
    ExitCode.INTERRUPTED,
)
"""From the best to the worst."""


class LabError(Exception):
    """Something outside the kernel under test went wrong: fetch, build, boot, a missing tool.

    ``message`` says what and where in one paragraph, ``hint`` says the next step.
    """

    exit_code = ExitCode.INFRA

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LabError):
    """The caller's input is wrong: options, a patch that does not apply, a tree that is none."""

    exit_code = ExitCode.USAGE


class Unavailable(LabError):
    """A source does not have what was asked for (as opposed to: it has something wrong)."""
