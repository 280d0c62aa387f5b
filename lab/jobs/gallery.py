# SPDX-License-Identifier: MIT
"""A tool of the gallery in a guest, with a command under its filter."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lab import PROJECT_ROOT
from lab.core.session import Session
from lab.errors import UsageError
from lab.guest import environment
from lab.guest.script import GuestCommand
from lab.jobs.engine import Again
from lab.jobs.onecommand import run_command
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import SERIES, Plan


@dataclass(frozen=True)
class ToolRequest:
    """``tool`` is a module of selftests/gallery, ``options`` are its own. ``output``: the file that
    gets what the filter tells, None for standard error. ``limits`` replace those of the guest.
    """

    tool: str
    options: tuple[str, ...]
    output: Path | None
    command: tuple[str, ...]
    limits: Mapping[str, float]


def run_tool(session: Session, plan: Plan, request: ToolRequest, again: Again) -> int:
    """Run the command under the tool; its exit status, or the code of what kept it from ending.

    Raises UsageError if there is no filter on this kernel or the file cannot be written, LabError
    if a stage failed.
    """
    if plan.kernel != SERIES:
        raise UsageError(
            "The gallery's filters need the series.",
            hint="Leave out --control, and take a profile of the patched kernel.",
        )
    with _written(request.output) as stream:

        def event(line: str) -> None:
            if stream is not None:
                print(line, file=stream, flush=True)

        def command(kernel: Kernel) -> GuestCommand:
            return guest_command(kernel, plan, request)

        return run_command(session, request.tool, plan, again, command, request.limits, event)


def guest_command(kernel: Kernel, plan: Plan, request: ToolRequest) -> GuestCommand:
    """The tool in the guest. Only PATH and where the filters are come to the command from the lab:
    the tool's modules are found because it begins in the checkout.
    """
    where = ["--directory", str(Path.cwd())]
    where += ["--output", environment.GUEST_EVENTS] if request.output else []
    # -B: the guest keeps nothing.
    tool = (sys.executable, "-B", "-m", f"selftests.gallery.{request.tool}")
    argv = (*tool, *request.options, *where, "--", *request.command)
    return GuestCommand(
        argv, PROJECT_ROOT, environment.program(kernel), sysctls=plan.profile.sysctls
    )


@contextlib.contextmanager
def _written(path: Path | None) -> Iterator[TextIO | None]:
    """The file for what comes from the guest. Raises UsageError if it cannot be written."""
    if path is None:
        yield None
        return
    try:
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {path}: {error.strerror}.") from None
    with stream:
        yield stream
