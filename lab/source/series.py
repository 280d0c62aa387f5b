# SPDX-License-Identifier: MIT
"""The series as it lies in ``patches/``: mails made by git format-patch, and their order.

``series`` names one patch a line, ``#`` starts a comment. The cover letter ``0000-*`` is a mail
without a patch and is not named there.

A port is what another base than the series' own needs otherwise: ``ports/BASE/NAME`` is used there
in place of the patch called NAME. Everything else about the series stays the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from email import message_from_bytes, policy
from pathlib import Path

from lab.errors import UsageError

ORDER_FILE = "series"
COVER_LETTER = "0000-*"
PORTS = "ports"


@dataclass(frozen=True)
class Hunk:
    """One hunk: the file it changes, its number there from 1, its line in the old file."""

    file: str
    number: int
    line: int


@dataclass(frozen=True)
class Patch:
    """One mail of the series. ``number`` counts from 1 in the order of the series.

    ``original`` is the series' own patch if this one stands in for it on another base.
    """

    number: int
    title: str
    path: Path
    content: bytes
    original: Patch | None = None

    @property
    def file(self) -> str:
        """File name in ``patches/``, with the directory of a port before it."""
        if self.original is None:
            return self.path.name
        return f"{PORTS}/{self.path.parent.name}/{self.path.name}"

    def hunks(self) -> tuple[Hunk, ...]:
        """All hunks, in order. Raises UsageError if one does not say where it belongs."""
        found: list[Hunk] = []
        file, number = "", 0
        for line in self.content.decode("utf-8", "replace").splitlines():
            if match := re.match(r"diff --git a/.* b/(.*)$", line):
                file, number = match[1], 0
            elif file and line.startswith("@@ "):
                number += 1
                match = re.match(r"@@ -(\d+)", line)
                if match is None:
                    raise UsageError(
                        f"{self.file} is damaged: hunk #{number} of {file} has no line numbers.",
                        hint="`lab series edit` changes a patch as a commit, and `lab series port "
                        "--edit` a port.",
                    )
                found.append(Hunk(file, number, int(match[1])))
        return tuple(found)


@dataclass(frozen=True)
class Series:
    """Patches in their order."""

    directory: Path
    patches: tuple[Patch, ...]

    @property
    def digest(self) -> str:
        """Hex SHA-256 over names, order and contents."""
        digest = hashlib.sha256()
        for patch in self.patches:
            digest.update(f"{patch.file}\0{len(patch.content)}\0".encode())
            digest.update(patch.content)
            if patch.original is not None:
                # A port that has become stale has to be noticed.
                digest.update(patch.original.content)
        return digest.hexdigest()

    @property
    def ported(self) -> tuple[Patch, ...]:
        """The patches that stand in for others."""
        return tuple(patch for patch in self.patches if patch.original is not None)

    @property
    def originals(self) -> Series:
        """The series without ports."""
        return replace(self, patches=tuple(patch.original or patch for patch in self.patches))

    def first(self, number: int) -> Series:
        """The first ``number`` patches. Raises UsageError if there are not so many."""
        if not 0 <= number <= len(self.patches):
            raise UsageError(
                f"The series in {self.directory} has the patches 1 to {len(self.patches)}; "
                f"{number} is none of them."
            )
        return replace(self, patches=self.patches[:number])

    @classmethod
    def read(cls, directory: Path, base: str = "") -> Series:
        """Read and check a patches directory, with what is ported to the base called ``base``.

        Raises UsageError if there is none, if ``series`` and the directory disagree, if a file is
        not a mail with a patch, or if a port belongs to no patch.
        """
        order = directory / ORDER_FILE
        if not order.is_file():
            raise UsageError(
                f"There is no {order}.",
                hint="It names the patches in their order, one file name a line; --patches DIR "
                "names another directory.",
            )
        names = _names(order)
        _check_agreement(directory, names)
        ports = _ports(directory, base, names)
        return cls(
            directory,
            tuple(
                _port(ports / name, _read(directory / name, number))
                for number, name in enumerate(names, 1)
            ),
        )


def _names(order: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in order.read_text().splitlines())
    names = [line for line in lines if line]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"{order} names {', '.join(repeated)} more than once.")
    if not names:
        raise UsageError(f"{order} names no patch.")
    outside = [name for name in names if "/" in name]
    if outside:
        raise UsageError(f"{order} names {outside[0]}, which is not in {order.parent}.")
    return names


def _check_agreement(directory: Path, names: list[str]) -> None:
    """What ``series`` names must be there, and what is there must be named."""
    there = {path.name for pattern in ("*.patch", "*.diff") for path in directory.glob(pattern)}
    there -= {path.name for path in directory.glob(COVER_LETTER)}
    missing = [name for name in names if not (directory / name).is_file()]
    extra = sorted(there - set(names))
    if missing:
        raise UsageError(
            f"{directory / ORDER_FILE} names {', '.join(missing)}, not found in {directory}.",
            hint="Add the file or take the line out.",
        )
    if extra:
        raise UsageError(
            f"{directory} holds {', '.join(extra)}, which {ORDER_FILE} does not name.",
            hint=f"Add a line to {directory / ORDER_FILE} or remove the file.",
        )


def _ports(directory: Path, base: str, names: list[str]) -> Path:
    """Where the ports to a base are. Each has to be called like a patch of the series."""
    ports = directory / PORTS / (base or "-")
    stray = sorted(path.name for path in ports.glob("*") if path.name not in names)
    if stray:
        raise UsageError(
            f"{ports} holds {', '.join(stray)}, and {directory / ORDER_FILE} names no such patch.",
            hint="A port is called like the patch that it stands in for: rename it as the patch "
            "was, or remove it.",
        )
    return ports


def _port(path: Path, original: Patch) -> Patch:
    """The port of a patch, or the patch itself if there is none."""
    if not path.is_file():
        return original
    port = replace(_read(path, original.number), original=original)
    if port.title != original.title:
        raise UsageError(
            f"{path} is called {port.title!r}, and the patch that it stands in for "
            f"{original.title!r}.",
            hint="Give both the same subject.",
        )
    return port


def _read(path: Path, number: int) -> Patch:
    content = path.read_bytes()
    mail = message_from_bytes(content, policy=policy.default)
    missing = [name for name in ("From", "Date", "Subject") if not mail[name]]
    if missing:
        raise UsageError(
            f"{path} is not a mail with a patch: there is no {', '.join(missing)} header.",
            hint="Make it with `git format-patch`.",
        )
    if not re.search(rb"^diff --git a/", content, re.MULTILINE):
        raise UsageError(f"{path} holds no patch: there is no `diff --git` line in it.")
    subject = " ".join(str(mail["Subject"]).split())
    return Patch(number, re.sub(r"^(\[[^\]]*\]\s*)+", "", subject), path, content)


def parse_range(text: str, option: str, lowest: int = 0) -> tuple[int, int | None]:
    """``3..7``, ``3..``, ``..7`` or ``3`` as first and last patch number; None is the series' end.

    Raises UsageError naming ``option`` if it is none of them, or begins below ``lowest``.
    """
    first, dots, last = text.partition("..")
    if not dots:
        last = first
    try:
        numbers = int(first or lowest), int(last) if last else None
    except ValueError:
        numbers = (lowest, lowest - 1)
    end = numbers[0] if numbers[1] is None else numbers[1]
    if not lowest <= numbers[0] <= end:
        raise UsageError(f"{option} {text}: not FIRST..LAST.", hint=f"For example {option} 3..7.")
    return numbers
