# SPDX-License-Identifier: MIT
"""``lab run``, ``lab trace``: a command in the guest under a filter of the gallery.

What is done in the guest is ``selftests.gallery.run`` and ``trace``, which need no lab. Here their
options are checked before anything is built, and a guest is put around them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lab.cli.again import this_command
from lab.cli.options import CONTEXT_SETTINGS
from lab.cli.plans import limit_option, parse_limits, plan_options
from lab.core.session import Session
from lab.errors import ExitCode, LabError, UsageError
from lab.jobs.gallery import ToolRequest, run_tool
from lab.jobs.onecommand import patient
from lab.kernel.plan import Plan
from selftests.gallery import catalogue
from selftests.gallery import trace as trace_tool
from selftests.gallery.catalogue import BadSetting
from selftests.gallery.records import FORMATS

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def output_option(function: F) -> F:
    """Add ``--output``."""
    return click.option(
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the filter's output to FILE instead of standard error.",
    )(function)


def command_argument(function: F) -> F:
    """Add COMMAND."""
    return click.argument("command", nargs=-1, type=click.UNPROCESSED)(function)


def checked(choose: Callable[[], T]) -> T:
    """What the gallery makes of a caller's words. Raises UsageError if it makes nothing of them."""
    try:
        return choose()
    except BadSetting as error:
        raise UsageError(error.message, error.hint) from None
    except OSError as error:
        raise LabError(
            f"The names of system calls are libseccomp's: {error}.",
            hint="`lab doctor --install` installs it with QEMU.",
        ) from None


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option("--list", "listed", is_flag=True, help="Show the filters and their parameters.")
@click.option("--filter", "name", metavar="NAME", help="The filter; --list shows them.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of the filter; can be repeated.",
)
@output_option
@command_argument
@limit_option
@plan_options
def run(
    session: Session,
    plan: Plan,
    listed: bool,
    name: str | None,
    settings: tuple[str, ...],
    output: Path | None,
    command: tuple[str, ...],
    limits: tuple[str, ...],
) -> int:
    """Run COMMAND (after --) in the guest under a filter of the gallery.

    The exit status is COMMAND's, or 125 if the filter could not be installed. The filter's log, its
    decisions and its counters go to standard error.
    """
    if listed:
        for line in catalogue.listing():
            session.ui.out(line)
        return ExitCode.PASSED
    if name is None:
        raise UsageError("No filter is given: --filter NAME.", hint="`lab run --list` shows them.")
    filter_ = name
    checked(lambda: catalogue.choose(filter_, settings))
    options = ["--filter", filter_, *(word for one in settings for word in ("--set", one))]
    return _in_guest(session, plan, "run", options, output, command, parse_limits(limits))


@click.command(context_settings=CONTEXT_SETTINGS)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="plain",
    show_default=True,
    help="Output format: lines like strace's, JSON lines, or columns.",
)
@click.option("--calls", metavar="NAME[,NAME]", help='Log these system calls as well, or "all".')
@output_option
@command_argument
@limit_option
@plan_options
def trace(
    session: Session,
    plan: Plan,
    form: str,
    calls: str | None,
    output: Path | None,
    command: tuple[str, ...],
    limits: tuple[str, ...],
) -> int:
    """Show the files that COMMAND (after --) opens in the guest, as it opens them.

    The trace goes to standard error; its last line says how many records were lost. The exit status
    is COMMAND's.
    """
    checked(lambda: trace_tool.choose(calls))
    options = ["--format", form, *(() if calls is None else ("--calls", calls))]
    return _in_guest(session, plan, "trace", options, output, command, parse_limits(limits))


def _in_guest(
    session: Session,
    plan: Plan,
    tool: str,
    options: list[str],
    output: Path | None,
    command: tuple[str, ...],
    limits: dict[str, float],
) -> int:
    if not command:
        raise UsageError("No command is given.", hint=f"lab {tool} [OPTION]... -- COMMAND.")
    request = ToolRequest(tool, tuple(options), output, command, patient(limits))
    return run_tool(session, plan, request, this_command())
