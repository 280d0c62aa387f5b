# SPDX-License-Identifier: MIT
"""The HTML pages of the lab: self-contained, from the templates in ``templates/``."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.runs.bench_figures import short

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    return environment


def render(template: str, **values: Any) -> str:
    """A page. Every value that the template names has to be there."""
    return _environment().get_template(template).render(**values)


def when(seconds: float) -> str:
    """A moment in words, "" for none."""
    if not seconds:
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
