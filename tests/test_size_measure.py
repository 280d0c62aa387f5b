# SPDX-License-Identifier: MIT
"""`lab size`: objects, symbols and sections, measured."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.common.exceptions import DWARFError
from elftools.elf.elffile import ELFFile

from lab.core import proc
from lab.errors import LabError
from lab.jobs.size import elf, measure, symbols
from lab.jobs.size.elf import Section
from lab.jobs.size.measure import Kept
from lab.runs.size_figures import (
    OFF,
    Growth,
    ObjectChange,
    Pair,
    Symbol,
    Totals,
)

SOURCE = """\
void use(void *);
int counter = 1;
int leaf(int x) { return x + counter; }
int big(int n) { char b[200]; use(b); return b[n]; }
int dynamic(int n) { char b[n]; use(b); return b[0]; }
__attribute__((noinline, cold)) int cold(int n) { char b[64]; use(b); return b[n]; }
static char zero[100];
void *zeros(void) { return zero; }
"""

BLOAT = """\
add/remove: 1/1 grow/shrink: 1/0 up/down: 30/-8 (22)
Function                                     old     new   delta
added.constprop                                -      20     +20
grown                                        100     110     +10
removed                                        8       -      -8
Total: Before=1000, After=1022, chg +2.20%
"""


def compiled(directory: Path, *flags: str) -> Path:
    """An object and, beside it, what the compiler says of its frames."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc")
    source = directory / "a.c"
    source.write_text(SOURCE)
    command = ["gcc", "-O2", "-fno-asynchronous-unwind-tables", "-fno-stack-protector"]
    subprocess.run([*command, *flags, "-fstack-usage", "-c", "a.c"], cwd=directory, check=True)
    return directory / "a.o"


# --- ELF -------------------------------------------------------------------------------------


def test_frames_are_those_of_the_compiler(tmp_path: Path) -> None:
    path = compiled(tmp_path, "-g")
    rows = re.findall(r"a\.c:\d+:\d+:(\w+)\t(\d+)\t(\w+)", (tmp_path / "a.su").read_text())
    assert len(rows) == 5
    expected = {name: elf.Frame(int(size), kind == "dynamic") for name, size, kind in rows}
    assert elf.frames(path) == expected


def test_totals_are_those_of_size(tmp_path: Path) -> None:
    path = compiled(tmp_path, "-g")
    printed = subprocess.run(["size", path], capture_output=True, text=True, check=True).stdout
    expected = Totals(*map(int, printed.splitlines()[1].split()[:3]))
    assert elf.totals(elf.sections(path)) == expected
    assert expected.data == 4
    assert expected.bss == 100


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="call frame information"):
        elf.frames(compiled(tmp_path))
    (tmp_path / "text").write_text("no ELF")
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(LabError, match="cannot be measured"):
            elf.sections(path)
        with pytest.raises(LabError, match="cannot be measured"):
            elf.frames(path)


def test_debug_information_that_is_broken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise DWARFError("no such form")

    (tmp_path / "a.o").write_text("")
    monkeypatch.setattr(elf, "ELFFile", broken)
    for read in (elf.sections, elf.frames):
        with pytest.raises(LabError, match="cannot be measured: no such form"):
            read(tmp_path / "a.o")


def test_an_object_without_symbols_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compiled(tmp_path, "-g")
    find = ELFFile.get_section_by_name
    monkeypatch.setattr(
        ELFFile,
        "get_section_by_name",
        lambda self, name: None if name == ".symtab" else find(self, name),
    )
    with pytest.raises(LabError, match="has no symbols"):
        elf.frames(path)


# --- symbols ---------------------------------------------------------------------------------


def test_the_kernels_script_is_read() -> None:
    assert symbols.parse(BLOAT) == Growth(
        1000,
        1022,
        (
            Symbol("added.constprop", None, 20),
            Symbol("grown", 100, 110),
            Symbol("removed", 8, None),
        ),
    )
    assert [symbol.growth for symbol in symbols.parse(BLOAT).symbols] == [20, 10, -8]


def test_a_script_that_counts_nothing_is_an_error() -> None:
    with pytest.raises(LabError, match="it said nothing"):
        symbols.parse("")


def test_the_script_gets_names_without_spaces(tmp_path: Path) -> None:
    directory = tmp_path / "a cache"
    (directory / "base").mkdir(parents=True)
    script = tmp_path / "tree" / symbols.SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text(f"import sys; print(sys.argv[1:]); print('''{BLOAT}''')")
    grown = symbols.growth(tmp_path / "tree", directory, "base/vmlinux", "on/vmlinux", "x-")
    assert grown.after == 1022


# --- measuring -------------------------------------------------------------------------------


class Kernels:
    """Kernels as their sections are, without any file of them."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = tmp_path
        self.sections: dict[str, list[Section]] = {}
        self.frames: dict[str, dict[str, elf.Frame]] = {}
        monkeypatch.setattr(measure, "sections", lambda path: self.sections[self._key(path)])
        monkeypatch.setattr(measure, "frames", lambda path: self.frames[self._key(path)])
        monkeypatch.setattr(measure, "growth", lambda *_: symbols.parse(BLOAT))

    def _key(self, path: Path) -> str:
        return path.relative_to(self.directory).as_posix()

    def make(self, name: str, data: int = 0, config: str = "", **sizes: int) -> Kept:
        """``sizes``: text, rodata, BTF, ...; ``data`` are the bytes of the configuration."""
        kept = Kept(self.directory, name)
        (kept.path / "kernel").mkdir(parents=True)
        (kept.path / measure.CONFIG).write_text(config)
        if data:
            (kept.path / measure.CONFIG_DATA).write_bytes(b"x" * data)
        found = [Section(f".{section}", "text", size) for section, size in sizes.items()]
        self.sections[f"{name}/vmlinux"] = found
        return kept

    def object(self, kept: Kept, file: str, **frames: int) -> None:
        (kept.path / file).parent.mkdir(parents=True, exist_ok=True)
        (kept.path / file).write_text("")
        self.sections[f"{kept.name}/{file}"] = [Section(".text", "text", 10 * len(frames))]
        found = {name.replace("__", "."): elf.Frame(size) for name, size in frames.items()}
        self.frames[f"{kept.name}/{file}"] = found


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    return Kernels(tmp_path, monkeypatch)


def pair_of(old: Kept, new: Kept, *objects: str) -> Pair:
    return measure.measure(OFF, old, new, objects, Path("/tree"))


def test_sections_differ_by_noise_or_in_truth(kernels: Kernels) -> None:
    old = kernels.make("old", data=100, text=1000, rodata=500, BTF=10, notes=3)
    new = kernels.make("new", data=110, text=1000, rodata=532, BTF=14, notes=3)
    found = pair_of(old, new)
    assert {section.name: bool(section.noise) for section in found.sections} == {
        ".rodata": True,
        ".BTF": True,
    }
    assert found.differing == ()
    assert not found.same, "there are symbols that differ"
    new_names = Growth(9, 9, (Symbol("__BTF_ID__struct__file__12", 4, None), Symbol("f", None, 4)))
    renamed = ObjectChange("a.o", Totals(9, 0, 0), Totals(9, 0, 0), (Symbol("f", None, 4),))
    assert replace(found, symbols=new_names, objects=(renamed,)).same
    assert not replace(found, symbols=new_names).same
    tables = Growth(9, 9, (Symbol("kallsyms_names", 9, 4),))
    assert replace(found, symbols=tables).same
    code = Growth(9, 14, (Symbol("kallsyms_lookup", 4, 9),))
    assert not replace(found, symbols=code).same
    grown = kernels.make("grown", data=110, text=1001, rodata=700, BTF=14, init=3)
    differing = {s.name: (s.before, s.after) for s in pair_of(old, grown).differing}
    assert differing == {".text": (1000, 1001), ".rodata": (500, 700), ".init": (0, 3)}


@pytest.mark.parametrize(
    ("rodata", "noise"),
    [(510, True), (560, True), (600, False), (510 + 4096, True), (500 - 4096 + 9000, False)],
)
def test_the_configuration_explains_what_alignment_makes_of_it(
    kernels: Kernels, rodata: int, noise: bool
) -> None:
    old = kernels.make("old", data=100, rodata=500)
    new = kernels.make("new", data=110, rodata=rodata)
    (found,) = pair_of(old, new).sections
    assert bool(found.noise) is noise


def test_read_only_data_has_no_excuse_without_another_configuration(kernels: Kernels) -> None:
    old, new = kernels.make("old", rodata=500), kernels.make("new", rodata=504)
    assert [section.name for section in pair_of(old, new).differing] == [".rodata"]


def test_objects_and_frames_before_and_after(kernels: Kernels) -> None:
    old, new = kernels.make("old"), kernels.make("new")
    kernels.object(old, "kernel/a.o", same=8, grown=16, gone=24)
    kernels.object(new, "kernel/a.o", same=8, grown=32, fresh__constprop__0=40)
    kernels.object(new, "kernel/b.o", alone=48)
    found = pair_of(old, new, "kernel/a.o", "kernel/b.o", "kernel/unbuilt.o")
    assert [(o.name, o.growth.text) for o in found.objects] == [
        ("kernel/a.o", 0),
        ("kernel/b.o", 10),
    ]
    assert [(f.function, f.before, f.after) for f in found.frames] == [
        ("alone", None, 48),
        ("fresh.constprop", None, 40),
        ("grown", 16, 32),
        ("gone", 24, None),
    ]
    assert found.largest == (24, 48)


def test_configurations_are_compared_by_their_lines() -> None:
    old = "#\n# Linux 7.3\n#\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=3\n"
    new = "# Linux 7.4\nCONFIG_C=3\nCONFIG_A=y\nCONFIG_B=y\n"
    assert list(measure.config_changes(old, new)) == ["-# CONFIG_B is not set", "+CONFIG_B=y"]


def test_a_kernel_is_kept_as_far_as_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], cwd: Path | None = None) -> proc.Completed:
        assert (command[0] == "arm-ar") == (cwd == build)
        ran.append(command)
        return proc.Completed(tuple(command), 0, "kernel/a.o\nkernel/b.o\n", "", 0.1)

    monkeypatch.setattr("lab.jobs.size.measure.proc.run", run)
    build = tmp_path / "build"
    (build / "kernel").mkdir(parents=True)
    (build / ".config").write_text("CONFIG_A=y\n")
    for name in ("a", "copied"):
        (build / f"kernel/{name}.o").write_text("object")
    wanted = ["kernel/a.o", "kernel/b.o", "kernel/copied.o"]
    kept = measure.keep(build, wanted, tmp_path / "kept", "on", "arm-")
    assert (kept.path / "kernel/a.o").read_text() == "object"
    assert not kept.has("kernel/b.o")
    assert not kept.has("kernel/copied.o"), "it is not part of this kernel"
    assert ran == [
        ["arm-strip", "--strip-debug", "-o", str(kept.path / "vmlinux"), str(build / "vmlinux")],
        ["arm-ar", "t", "vmlinux.a"],
    ]
