# SPDX-License-Identifier: MIT
"""The ``lab`` command: a table of subcommands, imported only when one is called.

Subcommands raise :class:`lab.errors.LabError`; :func:`main` turns it into a message on stderr and
the exit code of its class. Ctrl-C and SIGTERM unwind through ``finally`` and end with 128 + signal.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from lab.cli.options import CONTEXT_SETTINGS
from lab.errors import ExitCode, LabError

COMMANDS: dict[str, str] = {
    "doctor": "lab.cli.host:doctor",
    "base": "lab.cli.source:base",
    "tree": "lab.cli.source:tree",
    "series": "lab.cli.series:series",
    "config": "lab.cli.guest:config",
    "build": "lab.cli.guest:build",
    "boot": "lab.cli.guest:boot",
    "run": "lab.cli.gallery:run",
    "trace": "lab.cli.gallery:trace",
    "test": "lab.cli.guest:test",
    "kselftest": "lab.cli.kselftest:kselftest",
    "splat-gate": "lab.cli.guest:splat_gate",
    "fuzz": "lab.cli.fuzz:fuzz",
    "bench": "lab.cli.bench:bench",
    "report": "lab.cli.runs:report_command",
    "runs": "lab.cli.runs:runs",
    "compare": "lab.cli.compare:compare_command",
    "size": "lab.cli.size:size",
    "review-check": "lab.cli.runs:review_check_command",
    "prune": "lab.cli.host:prune",
}
"""Subcommand name to ``module:attribute``, in the order that ``lab --help`` shows."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP arrived."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class LazyGroup(click.Group):
    """Imports the module of a subcommand when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings=CONTEXT_SETTINGS)
def cli() -> None:
    """Apply the series to a base kernel, build it, boot it, test it.

    Each stage brings the earlier ones up to date. Exit codes: 0 passed, 1 a test failed, 2 usage or
    bad input, 3 infrastructure, 4 kernel splat.
    """


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise Terminated(number)


def run_cli(args: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors are printed, not raised."""
    try:
        result = cli.main(args=args, prog_name="lab", standalone_mode=False)
        return result if isinstance(result, int) else ExitCode.PASSED
    except LabError as error:
        complain(error.message, error.hint)
        return error.exit_code
    except click.ClickException as error:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "lab"  # type: ignore[attr-defined]
        complain(error.format_message(), f"`{command} -h` shows the usage.")
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort) as stopped:
        # click turns a KeyboardInterrupt inside of a command into an Abort.
        reason = stopped.__cause__ if isinstance(stopped, click.Abort) else stopped
        if isinstance(reason, Terminated):
            complain("terminated")
            return 128 + reason.number
        complain("interrupted")
        return ExitCode.INTERRUPTED


def complain(message: str, hint: str = "") -> None:
    """An error as the caller sees it: one paragraph, and the next step."""
    sys.stdout.flush()
    print(f"lab: error: {message}", file=sys.stderr)
    if hint:
        print(f"lab: hint: {hint}", file=sys.stderr)


def main() -> NoReturn:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGHUP, _terminate)
    try:
        code = run_cli()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    sys.exit(code)
