# SPDX-License-Identifier: MIT
"""The command that does a run again, made from click's own parameters.

What click has parsed is written back, so an option that a command gets tomorrow is in its reproduce
lines without a word about it here. tests/test_again.py parses them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lab.jobs.engine import Again
from lab.kernel.plan import Plan

PROGRAM = "scripts/lab"

WHERE_ONLY = frozenset({"cache_dir", "quiet"})
"""Parameters that say where and how loudly, and not what."""

ALWAYS = ("base", "profile")
"""Written first, and also where they have their default: a reader looks for these."""


def this_command(**resolved: Any) -> Again:
    """The command that is running. ``resolved`` replace parameters, such as a seed that was drawn;
    those of a plan are the plan's.
    """
    context = click.get_current_context()
    words = context.command_path.split()[1:]
    return _for(context.command, words, {**context.params, **resolved})


def as_given() -> Again:
    """The command that is running, for a run of several plans."""
    context = click.get_current_context()
    line = command_line(context.command, context.command_path.split()[1:], context.params)
    return lambda _: line


def other_command(command: click.Command, *words: str, **values: Any) -> Again:
    """Another command, called by ``words``: what was run for a plan, alone."""
    return _for(command, words, values)


def _for(command: click.Command, words: Sequence[str], values: Mapping[str, Any]) -> Again:
    return lambda plan: command_line(command, words, {**values, **plan_values(plan)})


def plan_values(plan: Plan) -> dict[str, Any]:
    """The parameters that make this plan; see lab/cli/plans.py."""
    return {
        "base": plan.base,
        "newer": plan.newer,
        "patches": plan.patches,
        "control": plan.control and not plan.profile.control and plan.applied != 0,
        "applied": plan.applied,
        "profile": plan.profile.name,
        "arch": plan.arch.name,
    }


def command_line(
    command: click.Command, words: Sequence[str], values: Mapping[str, Any]
) -> list[str]:
    """The words that click parses to these values, by parameter; what the command does not take is
    passed over.
    """
    context = click.Context(command)
    known = {param.name: param for param in command.params if param.name not in WHERE_ONLY}
    ordered = dict.fromkeys((*(name for name in ALWAYS if name in known), *known))
    line = [PROGRAM, *words]
    arguments: list[str] = []
    for name in ordered:
        param, value = known[name], values.get(str(name))
        if value is None or value == ():
            continue
        if isinstance(param, click.Argument):
            arguments += map(str, value if isinstance(value, tuple) else (value,))
        elif name in ALWAYS or not _same(value, param.get_default(context)):
            line += _option(param, value)
    return [*line, *(("--", *arguments) if arguments else ())]


def _same(value: Any, default: Any) -> bool:
    if isinstance(value, Path) and isinstance(default, Path):
        return value.resolve() == default.resolve()
    return bool(value == default)


def _option(param: click.Parameter, value: Any) -> Iterator[str]:
    name = max(param.opts, key=len)
    if isinstance(param, click.Option) and param.is_flag:
        if value:
            yield name
        return
    for one in value if isinstance(value, tuple) else (value,):
        text = f"{one:g}" if isinstance(one, float) else str(one)
        if text.startswith("-") and name.startswith("--"):
            yield f"{name}={text}"
        else:
            yield from (name, text)
