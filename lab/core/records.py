# SPDX-License-Identifier: MIT
"""Dataclasses to and from what JSON has: one converter for all files of the lab.

Readers pass over fields that they do not know and take the default of those that are missing, so
that files of an older and of a newer lab stay readable.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")


@cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter()
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda value, _: Path(value))
    return converter


def read(kind: type[T], data: Any) -> T:
    """The object of a dataclass. Raises ValueError if ``data`` is no such thing."""
    try:
        return _converter().structure(data, kind)
    except Exception as error:
        # cattrs raises a group of whatever int() or a missing field raise.
        raise ValueError(f"no {kind.__name__}: {_first(error)}") from error


def plain(value: Any) -> Any:
    """What json.dumps() takes."""
    return _converter().unstructure(value)


def _first(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return repr(error)
