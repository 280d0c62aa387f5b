# SPDX-License-Identifier: MIT
"""Configuration fragments: read, compared with each other, merged, and held against a .config."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError

SET = re.compile(r"CONFIG_([A-Za-z0-9_]+)=(.*)")
UNSET = re.compile(r"# CONFIG_([A-Za-z0-9_]+) is not set")


@dataclass(frozen=True)
class Requested:
    """A line of a fragment. ``option`` is without ``CONFIG_``; ``value`` as in .config, or "n"."""

    option: str
    value: str
    fragment: Path
    line: int

    @property
    def text(self) -> str:
        """The line as .config has it."""
        return config_line(self.option, self.value)


def config_line(option: str, value: str) -> str:
    """``CONFIG_X=value``, or the comment that stands for n."""
    return f"# CONFIG_{option} is not set" if value == "n" else f"CONFIG_{option}={value}"


def read_fragment(path: Path) -> list[Requested]:
    """The requests of one fragment. Raises UsageError naming file and line if one is malformed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"The fragment {path} cannot be read: {error.strerror}.") from error
    requests = []
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if match := UNSET.fullmatch(line):
            requests.append(Requested(match[1], "n", path, number))
        elif not line or line.startswith("#"):
            continue
        elif match := SET.fullmatch(line):
            requests.append(Requested(match[1], match[2].strip(), path, number))
        else:
            raise UsageError(
                f"{path}, line {number}: {line!r} is no configuration line.",
                hint='Write CONFIG_X=y, CONFIG_X=n, CONFIG_X="text", or a # comment.',
            )
    return requests


def read_fragments(paths: Iterable[Path]) -> dict[str, Requested]:
    """All requests by option. Raises UsageError naming both lines if two fragments disagree."""
    merged: dict[str, Requested] = {}
    for path in paths:
        for request in read_fragment(path):
            other = merged.setdefault(request.option, request)
            if other.value != request.value:
                raise UsageError(
                    f"Two fragments disagree about CONFIG_{request.option}: "
                    f"{other.fragment.name}, line {other.line} wants {other.value}, "
                    f"{request.fragment.name}, line {request.line} wants {request.value}.",
                    hint="Leave the option to one of them.",
                )
    return merged


def merged_text(requests: Mapping[str, Requested]) -> str:
    """One file for ``KCONFIG_ALLCONFIG``."""
    return "".join(f"{request.text}\n" for request in requests.values())


def read_config(text: str) -> dict[str, str]:
    """The options of a .config that are not n."""
    matches = (SET.fullmatch(line) for line in text.splitlines())
    return {match[1]: match[2] for match in matches if match}


def dropped(requests: Mapping[str, Requested], config: Mapping[str, str]) -> list[Requested]:
    """The requests that a configuration does not honour."""
    return [
        request for request in requests.values() if config.get(request.option, "n") != request.value
    ]
