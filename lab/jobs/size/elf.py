# SPDX-License-Identifier: MIT
"""Sizes in ELF files: sections that are in memory, and the stack that functions take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.callframe import FDE
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from lab.errors import LabError
from lab.runs.size_figures import Totals

BROKEN = (OSError, ELFError, DWARFError)
"""What reading a file raises that is not what it should be; the last two have nothing in common."""

FDE_HEADER = {32: 8, 64: 20}
"""Bytes of a frame description before the address of its function, by DWARF format."""


@dataclass(frozen=True)
class Section:
    """A section that is in memory. ``kind`` is a field of Totals."""

    name: str
    kind: str
    size: int


def sections(path: Path) -> list[Section]:
    """The sections that a file occupies memory with. Raises LabError if it is no ELF file."""
    try:
        with path.open("rb") as file:
            return [
                Section(section.name, _kind(section), section["sh_size"])
                for section in ELFFile(file).iter_sections()
                if section["sh_flags"] & SH_FLAGS.SHF_ALLOC
            ]
    except BROKEN as error:
        raise LabError(f"{path} cannot be measured: {error}.") from error


def _kind(section: Any) -> str:
    flags = section["sh_flags"]
    if flags & SH_FLAGS.SHF_EXECINSTR or not flags & SH_FLAGS.SHF_WRITE:
        return "text"
    return "bss" if section["sh_type"] == "SHT_NOBITS" else "data"


def totals(found: list[Section]) -> Totals:
    """The sections' sums."""
    return Totals(
        *(sum(s.size for s in found if s.kind == kind) for kind in ("text", "data", "bss"))
    )


@dataclass(frozen=True)
class Frame:
    """Most bytes of stack that a function takes, its return address included. ``dynamic``: it may
    take more, which only it knows.
    """

    size: int
    dynamic: bool = False


def frames(path: Path) -> dict[str, Frame]:
    """By function of an object that was compiled with debug information, its stack frame.

    From the call frame information (DWARF 5, section 6.4): how far the stack pointer gets from the
    frame's begin. The figures are those of ``gcc -fstack-usage``, which would need a build of its
    own; scripts/checkstack.pl of the kernel reads the disassembly, misses pushes, and counts what
    is given back. Raises LabError if the file is no ELF file, or is without such information or
    symbols.
    """
    try:
        with path.open("rb") as file:
            return dict(_frames(ELFFile(file), path))
    except BROKEN as error:
        raise LabError(f"{path} cannot be measured: {error}.") from error


def _frames(elf: Any, path: Path) -> Iterator[tuple[str, Frame]]:
    dwarf = elf.get_dwarf_info(relocate_dwarf_sections=False)
    if not dwarf.has_CFI():
        raise LabError(f"{path} has no call frame information: it was compiled without -g.")
    names = _functions(elf, path)
    places = _places(elf)
    for entry in dwarf.CFI_entries():
        if not isinstance(entry, FDE):
            continue
        header = FDE_HEADER[entry.structs.dwarf_format]
        name = names.get(places.get(entry.offset + header, (0, -1)))
        if name is not None:
            yield name, _frame(entry)


def _functions(elf: Any, path: Path) -> dict[tuple[int, int], str]:
    """The functions of an object, by section and offset."""
    table = elf.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        raise LabError(f"{path} has no symbols: it was stripped.")
    return {
        (symbol["st_shndx"], symbol["st_value"]): symbol.name
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] == "STT_FUNC"
    }


def _places(elf: Any) -> dict[int, tuple[int, int]]:
    """The section and offset that a relocation puts into .debug_frame, by its offset there."""
    relocations = elf.get_section_by_name(".rela.debug_frame")
    if not isinstance(relocations, RelocationSection):
        return {}
    symbols = elf.get_section(relocations["sh_link"])
    found = {}
    for relocation in relocations.iter_relocations():
        symbol = symbols.get_symbol(relocation["r_info_sym"])
        offset = symbol["st_value"] + relocation["r_addend"]
        found[relocation["r_offset"]] = (symbol["st_shndx"], offset)
    return found


def _frame(entry: FDE) -> Frame:
    assert entry.cie is not None
    # At a function's first instruction the frame is counted from the stack pointer.
    first = entry.cie.get_decoded().table[0]["cfa"]
    rules = [first, *(line["cfa"] for line in entry.get_decoded().table)]
    size = max(rule.offset for rule in rules if rule.offset is not None)
    return Frame(size, any(rule.reg != first.reg for rule in rules))
