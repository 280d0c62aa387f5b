# SPDX-License-Identifier: MIT
"""Measures two kernels against each other.

What is measured is copied out of a build directory while that is held (:func:`keep`), so that the
next build needs no waiting.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core import proc
from lab.jobs.size.elf import Frame, frames, sections, totals
from lab.jobs.size.symbols import growth
from lab.runs.size_figures import FrameChange, Growth, ObjectChange, Pair, SectionChange, Totals

VMLINUX, CONFIG, CONFIG_DATA = "vmlinux", ".config", "kernel/config_data.gz"
"""Files of a build directory; the last is put into .rodata (kernel/configs.c)."""

ARCHIVE = "vmlinux.a"
"""What the kernel is linked from (scripts/Makefile.vmlinux_o)."""

NOISE = {
    ".notes": "the build id",
    ".BTF": "types, of which the headers declare more",
}
"""Sections that differ without a byte of code or data more, and why."""

READ_ONLY = ".rodata"
ROUNDING, PAGE = 64, 4096
"""Bytes by which alignment can move what follows the configuration in .rodata: that of the next
object, and that of the tables at the section's end.
"""

NOTHING = "/dev/null"
"""Where there is no object: bloat-o-meter takes it as one without symbols."""


@dataclass(frozen=True)
class Kept:
    """A kernel as it was built: ``name`` is a directory below ``directory``, laid out as a build
    directory, with what is measured of it.
    """

    directory: Path
    name: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory / self.name

    def has(self, name: str) -> bool:
        """Whether the kernel has an object."""
        return (self.path / name).is_file()


def keep(
    build_dir: Path, objects: Iterable[str], directory: Path, name: str, prefix: str = ""
) -> Kept:
    """Copy what is measured of a kernel. The caller holds the build directory.

    Raises LabError if the kernel cannot be read.
    """
    kept = Kept(directory, name)
    kept.path.mkdir(parents=True)
    # Without debug information, which is nine tenths of it.
    strip = [f"{prefix}strip", "--strip-debug", "-o", str(kept.path / VMLINUX)]
    proc.run([*strip, str(build_dir / VMLINUX)])
    # A build directory that began as a copy has objects that this kernel is not made of.
    # Names in a thin archive are told as seen from the current directory.
    linked = proc.run([f"{prefix}ar", "t", ARCHIVE], cwd=build_dir).stdout.split()
    for file in (CONFIG, CONFIG_DATA, *(name for name in objects if name in linked)):
        if (build_dir / file).is_file():
            (kept.path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(build_dir / file, kept.path / file)
    return kept


def measure(
    name: str, old: Kept, new: Kept, objects: Sequence[str], tree: Path, prefix: str = ""
) -> Pair:
    """Compare two kernels, and the ``objects`` one by one. ``tree`` has the kernel's scripts.

    Raises LabError if something cannot be measured.
    """

    def grown(file: str) -> Growth:
        before, after = (f"{k.name}/{file}" if k.has(file) else NOTHING for k in (old, new))
        return growth(tree, old.directory, before, after, prefix)

    built = [file for file in objects if old.has(file) or new.has(file)]
    before, after = ({file: _frames(kept, file) for file in built} for kept in (old, new))
    return Pair(
        name,
        totals(sections(old.path / VMLINUX)),
        totals(sections(new.path / VMLINUX)),
        tuple(config_changes(_text(old, CONFIG), _text(new, CONFIG))),
        tuple(_sections(old, new)),
        grown(VMLINUX),
        tuple(
            ObjectChange(file, _totals(old, file), _totals(new, file), grown(file).symbols)
            for file in built
        ),
        tuple(_frame_changes(before, after)),
        (_largest(before), _largest(after)),
    )


def _text(kept: Kept, file: str) -> str:
    path = kept.path / file
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def config_changes(old: str, new: str) -> Iterator[str]:
    """The lines of a .config that differ, comments without a meaning left out."""
    before, after = (
        sorted(line for line in text.splitlines() if re.match(r"(?:# )?CONFIG_", line))
        for text in (old, new)
    )
    for line in difflib.unified_diff(before, after, n=0, lineterm=""):
        if line[0] in "+-" and not line.startswith(("+++", "---")):
            yield line


def _totals(kept: Kept, file: str) -> Totals | None:
    return totals(sections(kept.path / file)) if kept.has(file) else None


def _sections(old: Kept, new: Kept) -> Iterator[SectionChange]:
    before, after = ({s.name: s.size for s in sections(k.path / VMLINUX)} for k in (old, new))
    data = _size(new.path / CONFIG_DATA) - _size(old.path / CONFIG_DATA)
    for name in dict.fromkeys((*after, *before)):
        was, now = before.get(name, 0), after.get(name, 0)
        if was == now:
            continue
        noise = NOISE.get(name, "")
        if name == READ_ONLY and _is_configuration(now - was, data):
            noise = f"the configuration that /proc/config.gz shows takes {data:+d} bytes"
        yield SectionChange(name, was, now, noise)


def _is_configuration(growth: int, data: int) -> bool:
    """Whether ``data`` bytes more of configuration explain the growth of .rodata. That what is
    added is not among it is seen by the objects and by the symbols.
    """
    moved = abs(growth - data)
    return data != 0 and (moved < ROUNDING or abs(moved - PAGE) < ROUNDING)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _frames(kept: Kept, file: str) -> dict[str, Frame]:
    """Values by function, without the number that the compiler gives to a clone."""
    if not kept.has(file):
        return {}
    found: dict[str, Frame] = {}
    for function, frame in frames(kept.path / file).items():
        name = re.sub(r"\.\d+", "", function)
        if name not in found or frame.size > found[name].size:
            found[name] = frame
    return found


def _frame_changes(
    before: dict[str, dict[str, Frame]], after: dict[str, dict[str, Frame]]
) -> list[FrameChange]:
    changes = []
    for file, functions in after.items():
        for name in dict.fromkeys((*functions, *before[file])):
            was, now = before[file].get(name), functions.get(name)
            if was != now:
                size, grown = (frame.size if frame else None for frame in (was, now))
                dynamic = bool(now and now.dynamic)
                changes.append(FrameChange(file, name, size, grown, dynamic))
    return sorted(changes, key=lambda change: (-(change.after or 0), change.function))


def _largest(found: dict[str, dict[str, Frame]]) -> int:
    sizes = (frame.size for functions in found.values() for frame in functions.values())
    return max(sizes, default=0)
