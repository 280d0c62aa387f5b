# SPDX-License-Identifier: MIT
"""What the parameters of the gallery's filters are made of: texts as a person types them, read.

Each kind has the word that stands for it in a list of parameters, what may be written, and a
function that reads it. Of a text that is none such, the function raises ValueError with a sentence
about it. Names of system calls are libseccomp's, which is asked when one is read: OSError if it is
not there.
"""

from __future__ import annotations

import difflib
import errno
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socket import AddressFamily
from typing import Any

from selftests.gallery import calls, container_profile
from selftests.harness.uapi import NR

ALL = "all"
ERRNO_MAX = 4095
U32_MAX = 2**32 - 1
FAMILIES_MAX = 64
"""notify_sockets.bpf.c: a bit for each family."""

INTERVAL_MAX = 1e9
"""Seconds: 32 years, and its ns fit into 64 bits."""


@dataclass(frozen=True)
class Kind:
    """``word`` stands for a value of it, ``syntax`` says what it is. ``read`` raises ValueError."""

    word: str
    syntax: str
    read: Callable[[str], Any]


def _like(name: str, known: Iterable[str]) -> str:
    """A question to who has misspelt something; "" if nothing is like it."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


@functools.cache
def every_call() -> frozenset[str]:
    """The names of all system calls of this architecture. Raises OSError without libseccomp."""
    names = (calls.name(number, NR.audit) for number in range(calls.CALLS_MAX))
    return frozenset(name for name in names if not name.isdigit())


def read_call(text: str) -> str:
    """A system call's name."""
    try:
        calls.number(text)
    except KeyError:
        raise ValueError(f"there is no system call {text!r}{_like(text, every_call())}") from None
    return text


def read_calls(text: str) -> frozenset[str]:
    """A set of system calls, put together from left to right."""
    found: frozenset[str] = frozenset()
    for item in text.split(","):
        if item == ALL:
            found |= every_call()
        elif item.startswith("-"):
            found -= {read_call(item[1:])}
        else:
            found |= {read_call(item)}
    return found


def read_logged(text: str) -> frozenset[str] | None:
    """Likewise, with None for all: those of other architectures too."""
    return None if text == ALL else read_calls(text)


def read_errno(text: str) -> int:
    """An errno by name or number."""
    known = {name: code for code, name in errno.errorcode.items()}
    if text in known:
        return known[text]
    if text.isdecimal() and 1 <= int(text) <= ERRNO_MAX:
        return int(text)
    raise ValueError(
        f"{text!r} is no errno, such as EPERM, and no number from 1 to {ERRNO_MAX}"
        f"{_like(text.upper(), known)}"
    )


def read_answer(text: str) -> int:
    """What a supervisor says: 0 for yes, else an errno."""
    if text == "allow":
        return 0
    try:
        return read_errno(text)
    except ValueError as error:
        raise ValueError(f'{error}, and not "allow"') from None


def read_families(text: str) -> frozenset[AddressFamily]:
    """A set of socket families, with or without AF_."""
    return frozenset(map(_family, filter(None, text.split(","))))


def _family(text: str) -> AddressFamily:
    name = f"AF_{text.upper().removeprefix('AF_')}"
    known = {family.name: family for family in AddressFamily if family < FAMILIES_MAX}
    if name not in known:
        raise ValueError(f"there is no socket family {text!r}{_like(name, known)}")
    return known[name]


def read_count(text: str) -> int:
    """A number of 32 bits."""
    if text.isdecimal() and int(text) <= U32_MAX:
        return int(text)
    raise ValueError(f"{text!r} is no number from 0 to {U32_MAX}")


def _between(text: str, least: float, most: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # NaN is not between anything.
    if not least <= value <= most:
        raise ValueError(f"{text!r} is no {what}")
    return value


def read_seconds(text: str) -> float:
    """Seconds, more than none."""
    return _between(text, 1e-9, INTERVAL_MAX, "number of seconds above 0")


def read_probability(text: str) -> float:
    """From 0 to 1."""
    return _between(text, 0, 1, "probability from 0 to 1")


def read_container(text: str) -> str:
    """A container of those that the lab has translated the profile for."""
    if text not in container_profile.VARIANTS:
        raise ValueError(f"{text!r} is none of {', '.join(container_profile.VARIANTS)}")
    return text


CALL = Kind("CALL", "the name of a system call", read_call)
CALLS = Kind("CALLS", 'names with commas between; "all" adds all, -NAME takes one away', read_calls)
LOGGED = Kind("CALLS", CALLS.syntax, read_logged)
ERRNO = Kind("ERRNO", "an errno by name or number", read_errno)
ANSWER = Kind("ANSWER", '"allow", or an errno to refuse with', read_answer)
FAMILIES = Kind("FAMILIES", "socket families with commas between: unix,inet,inet6", read_families)
COUNT = Kind("N", "a number, 0 or more", read_count)
SECONDS = Kind("SECONDS", "a number above 0, such as 0.5", read_seconds)
PROBABILITY = Kind("P", "from 0 to 1", read_probability)
CONTAINER = Kind(
    "CONTAINER", f"by its capabilities: {', '.join(container_profile.VARIANTS)}", read_container
)
PATH = Kind("PATH", "as the command spells it", str)
