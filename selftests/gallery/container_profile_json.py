# SPDX-License-Identifier: MIT
"""A container runtime's seccomp profile: its JSON, and what of it counts for one container.

The format is that of the OCI runtime specification (config-linux.md, "Seccomp"), with what Docker
and Podman add to it: ``archMap``, ``defaultErrno``, ``errno``, ``includes``, ``excludes``.
"""

from __future__ import annotations

import errno
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
"""By their names in seccomp_init(3): what a filter returns, which is what libseccomp takes too."""

WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
"""Actions whose data ``errnoRet`` is; EPERM if the profile has none."""

MAX_ERRNO = 4095

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
"""enum scmp_compare. MASKED_EQ: ``(argument & value) == valueTwo``; others have no valueTwo."""

COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "SCMP_CMP_NE": operator.ne,
    "SCMP_CMP_LT": operator.lt,
    "SCMP_CMP_LE": operator.le,
    "SCMP_CMP_EQ": operator.eq,
    "SCMP_CMP_GE": operator.ge,
    "SCMP_CMP_GT": operator.gt,
    "SCMP_CMP_MASKED_EQ": operator.eq,
}

GO_ARCHES = {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_AARCH64": "arm64",
             "SCMP_ARCH_RISCV64": "riscv64"}  # fmt: skip
"""What ``includes`` and ``excludes`` call a container's architecture: by Go's names."""


class ProfileError(ValueError):
    """The profile is not one; the message names the entry."""


@dataclass(frozen=True)
class Condition:
    """One comparison of argument ``index``; ``mask`` is all ones but for MASKED_EQ."""

    index: int
    operator: str
    value: int
    mask: int = 2**64 - 1

    def holds(self, argument: int, bits: int) -> bool:
        """For an argument of that many bits: libseccomp compares the lower halves only where
        registers are 32 bits wide.
        """
        width = 2**bits - 1
        return COMPARE[self.operator](argument & self.mask & width, self.value & width)


@dataclass(frozen=True)
class Rule:
    """A call's verdict (``SECCOMP_RET_*`` with data) if all conditions hold; ``entry`` says where
    it stands.
    """

    entry: str
    name: str
    action: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Container:
    """Whom a profile is for: ``arch`` as in the profile, its capabilities (the bounding set, by
    their names), the kernel's version as far as ``minKernel`` goes.
    """

    arch: str
    capabilities: frozenset[str]
    kernel: tuple[int, int]


@dataclass(frozen=True)
class Profile:
    """What counts for a container. ``arches``: the first is its own, others are what programs in
    it may use as well.
    """

    default: int
    arches: tuple[str, ...]
    rules: tuple[Rule, ...]


def read(path: Path, container: Container) -> Profile:
    """A profile from a file, for one container. Raises ProfileError, or OSError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ProfileError(f"{path} is not JSON: {error}") from None
    try:
        return select(document, container)
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


def select(document: Any, container: Container) -> Profile:
    """What a profile says about one container. Raises ProfileError.

    What says the same as the default is left out, as runtimes do: libseccomp takes no such rule.
    """
    profile = _checked(document, dict, "the profile")
    default = _action(profile, "defaultAction", "defaultErrno", "the profile")
    rules: list[Rule] = []
    for number, row in enumerate(_list(profile, "syscalls", "the profile")):
        where = f"syscalls[{number}]"
        entry = _checked(row, dict, where)
        names = _names(entry, where)
        where += f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        action = _action(entry, "action", "errno", where)
        alternatives = _alternatives(entry, where)
        if _counts(entry, container, where) and action != default:
            rules += [Rule(where, name, action, alternative)
                      for name in names for alternative in alternatives]  # fmt: skip
    return Profile(default, _arches(profile, container), tuple(rules))


def _checked(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = " or ".join(
            {dict: "an object", list: "a list", str: "a string", int: "a number"}[one]
            for one in (kind if isinstance(kind, tuple) else (kind,))
        )
        raise ProfileError(f"{where} is {json.dumps(value)[:60]}, not {wanted}")
    return value


def _list(entry: dict[str, Any], key: str, where: str) -> list[Any]:
    """A list that may be missing or null."""
    value = entry.get(key)
    found: list[Any] = [] if value is None else _checked(value, list, f"{key} of {where}")
    return found


def _strings(entry: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    return tuple(_checked(one, str, f"{key} of {where}") for one in _list(entry, key, where))


def _number(entry: dict[str, Any], key: str, where: str, most: int) -> int:
    found: int = _checked(entry.get(key, 0), int, f"{key} of {where}")
    if not 0 <= found <= most:
        raise ProfileError(f"{key} of {where} is {found}, not from 0 to {most}")
    return found


def _names(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    """``names``, or ``name`` of older profiles."""
    names = _strings(entry, "names", where)
    if "name" in entry:
        names += (_checked(entry["name"], str, f"name of {where}"),)
    if not names:
        raise ProfileError(f"{where} has no names")
    return names


def _action(entry: dict[str, Any], key: str, by_name: str, where: str) -> int:
    name = entry.get(key)
    if not isinstance(name, str) or name not in ACTIONS:
        raise ProfileError(f"{key} of {where} is {json.dumps(name)}; known: {', '.join(ACTIONS)}")
    if name not in WITH_ERRNO:
        return ACTIONS[name]
    code = errno.EPERM
    if entry.get(f"{by_name}Ret") is not None:
        code = _number(entry, f"{by_name}Ret", where, MAX_ERRNO)
    # By name it is the same on all architectures, and comes first.
    if entry.get(by_name):
        named = getattr(errno, str(entry[by_name]), None)
        if not isinstance(named, int):
            raise ProfileError(f"{by_name} of {where} is {json.dumps(entry[by_name])}")
        code = named
    return ACTIONS[name] | code


def _alternatives(entry: dict[str, Any], where: str) -> list[tuple[Condition, ...]]:
    """Sets of conditions, one of which has to hold as a whole."""
    conditions = tuple(_conditions(entry, where))
    # Two of one argument cannot be in one rule of libseccomp: runtimes make each a rule.
    if len({one.index for one in conditions}) < len(conditions):
        return [(one,) for one in conditions]
    return [conditions]


def _conditions(entry: dict[str, Any], where: str) -> Iterator[Condition]:
    for number, row in enumerate(_list(entry, "args", where)):
        place = f"args[{number}] of {where}"
        argument = _checked(row, dict, place)
        compare = argument.get("op")
        if not isinstance(compare, str) or compare not in OPERATORS:
            raise ProfileError(
                f"op of {place} is {json.dumps(compare)}; known: {', '.join(OPERATORS)}"
            )
        index = _number(argument, "index", place, 5)
        value = _number(argument, "value", place, 2**64 - 1)
        second = _number(argument, "valueTwo", place, 2**64 - 1)
        if compare == "SCMP_CMP_MASKED_EQ":
            yield Condition(index, compare, second, mask=value)
        else:
            yield Condition(index, compare, value)


def _counts(entry: dict[str, Any], container: Container, where: str) -> bool:
    """Whether an entry is for this container. All of ``includes`` have to be met, and none of
    ``excludes``.
    """
    includes, excludes = (
        _checked(entry.get(key) or {}, dict, f"{key} of {where}")
        for key in ("includes", "excludes")
    )
    go_arch = GO_ARCHES.get(container.arch)
    arches = _strings(includes, "arches", where)
    caps = set(_strings(includes, "caps", where))
    return (
        (not arches or go_arch in arches)
        and caps <= container.capabilities
        and container.kernel >= _kernel(includes, where, (0, 0))
        and go_arch not in _strings(excludes, "arches", where)
        and not container.capabilities & set(_strings(excludes, "caps", where))
        and container.kernel < _kernel(excludes, where, (1 << 30, 0))
    )


def _kernel(limits: dict[str, Any], where: str, missing: tuple[int, int]) -> tuple[int, int]:
    text = limits.get("minKernel")
    if not text:
        return missing
    match = re.fullmatch(r"(\d+)\.(\d+)", str(text))
    if match is None:
        raise ProfileError(f"minKernel of {where} is {json.dumps(text)}, not like 4.8")
    return int(match[1]), int(match[2])


def _arches(profile: dict[str, Any], container: Container) -> tuple[str, ...]:
    """``architectures``, or what ``archMap`` has for the container's own; its own comes first."""
    arches: tuple[str, ...] = _strings(profile, "architectures", "the profile")
    rows = _list(profile, "archMap", "the profile")
    if arches and rows:
        raise ProfileError("the profile has architectures and archMap; it is one or the other")
    for number, row in enumerate(rows):
        where = f"archMap[{number}]"
        mapped = _checked(row, dict, where)
        if mapped.get("architecture") == container.arch:
            arches = _strings(mapped, "subArchitectures", where)
    return tuple(dict.fromkeys((container.arch, *arches)))
