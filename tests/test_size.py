# SPDX-License-Identifier: MIT
"""What the series adds to a kernel: measured, told, judged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elftools.common.exceptions import DWARFError
from elftools.elf.elffile import ELFFile

from lab.cli.app import run_cli
from lab.core import proc
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError
from lab.jobs.engine import Again
from lab.jobs.size import elf, measure, run, symbols, told
from lab.jobs.size.elf import Section
from lab.jobs.size.measure import Kept
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Source
from lab.kernel.plan import Plan
from lab.report.compare import comparison
from lab.report.compare.changes import BETTER, OTHER, WORSE
from lab.runs import rundir, size_figures
from lab.runs.journal import View
from lab.runs.manifest import Manifest
from lab.runs.run import Run
from lab.runs.rundir import HTML
from lab.runs.size_figures import (
    OFF,
    ON,
    FrameChange,
    Growth,
    ObjectChange,
    Pair,
    SectionChange,
    Sizes,
    Symbol,
    Totals,
)
from lab.runs.writing import OpenRun
from lab.source.base import BaseResult
from lab.source.git import Git
from lab.source.series import Series
from lab.source.tree import TreeResult
from tests.runs import make_run
from tests.support import CHANGES, Recorder, make_patches, make_repository
from tests.worlds import again

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


# --- the file, the text, the verdict ---------------------------------------------------------


def pair(name: str, growth: int = 0, **fields: Any) -> Pair:
    plain = Pair(
        name,
        Totals(1000, 200, 30),
        Totals(1000 + growth, 200, 30),
        (f"+CONFIG_X={name}",),
        (SectionChange(".notes", 3, 4, "the build id"),),
        Growth(900, 900, ()),
        (ObjectChange("kernel/new.o", None, Totals(1, 2, 3), ()),),
        (FrameChange("kernel/a.o", "f", None, 40, True),),
        (24, 48),
    )
    return replace(plain, **fields)


GROWN = pair(
    ON,
    500,
    sections=(SectionChange(".text", 1000, 1500),),
    symbols=Growth(900, 1400, (Symbol("f<1>", None, 500),)),
)
CLEAN = pair(OFF, objects=(ObjectChange("kernel/a.o", Totals(1, 2, 3), Totals(1, 2, 3), ()),))
DIRTY = replace(CLEAN, after=Totals(1008, 200, 30), sections=(SectionChange(".text", 1000, 1008),))
SIZES = Sizes("CONFIG_X", 2048, (GROWN, CLEAN))


def write(directory: Path, sizes: Sizes) -> None:
    """The file, as a run of an older lab left it."""
    (directory / size_figures.NAME).write_text(json.dumps(size_figures.document(sizes)))


def of(directory: Path) -> Sizes | None:
    """What a run directory without a word about it in the journal has."""
    return size_figures.of(Run(directory, Manifest(), View()))


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert of(tmp_path) is None
    write(tmp_path, SIZES)
    assert of(tmp_path) == SIZES


@pytest.mark.parametrize("change", [{"version": 2}, {"pairs": [{}]}, {"frame_warn": None}])
def test_a_file_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path, SIZES)
    data = json.loads((tmp_path / size_figures.NAME).read_text())
    (tmp_path / size_figures.NAME).write_text(json.dumps({**data, **change}))
    with pytest.raises(LabError, match=r"size\.json is no file of sizes"):
        of(tmp_path)


def test_off_has_to_leave_nothing() -> None:
    passed = told.decide(SIZES)
    assert passed.code == ExitCode.PASSED
    assert "on: text +500  data +0  bss +0" in passed.headline
    failed = told.decide(Sizes("CONFIG_X", 0, (GROWN, DIRTY)))
    assert failed.code == ExitCode.FAILED
    assert failed.reasons == ("off: section .text: +8 bytes",)
    symbol = replace(CLEAN, symbols=Growth(9, 10, (Symbol("f", 9, 10),)))
    assert told.decide(Sizes("CONFIG_X", 0, (GROWN, symbol))).reasons == ("off: f: +1 bytes",)
    strings = replace(CLEAN, objects=(ObjectChange("a.o", Totals(1, 2, 3), Totals(9, 2, 3), ()),))
    assert told.decide(Sizes("CONFIG_X", 0, (GROWN, strings))).reasons == (
        "off: a.o: text +8  data +0  bss +0",
    )
    assert told.decide(Sizes("CONFIG_X", 0, (GROWN,))).code == ExitCode.INFRA


def test_the_text_has_all_of_it() -> None:
    lines = told.text(SIZES)
    for line in (
        "CONFIG_X on, against the base: text +500  data +0  bss +0",
        "  section .text: 1000 -> 1500 (+500)",
        "  section .notes: 3 -> 4 (+1): the build id",
        "  symbol f<1>: - -> 500 (+500)",
        "  kernel/new.o: text +1  data +2  bss +3 (not built in both)",
        "  stack f (kernel/a.o): - -> 40 and more, dynamic",
        "  largest frame in these objects: 24 -> 48 bytes",
        "the compiler warns of frames above 2048 bytes",
    ):
        assert line in lines


# --- the run ---------------------------------------------------------------------------------


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> run.SizeRequest:
    monkeypatch.setattr(run, "bring_source", lambda *_: None)
    monkeypatch.setattr(run, "touched", lambda _: ("kernel/a.o",))
    return run.SizeRequest("linux-7.3", False, tmp_path, ARCHES[0])


def play(monkeypatch: pytest.MonkeyPatch, off: Pair) -> list[str]:
    """Have the kernels measured as it is said; what was measured."""
    done: list[str] = []

    def kernel(open_run: OpenRun, plan: Plan, name: str, _: Sequence[str]) -> Kept:
        done.append(f"{name}: {plan.kernel} {plan.profile.name}")
        kept = Kept(open_run.path / run.SCRATCH, name)
        kept.path.mkdir(parents=True)
        (kept.path / ".config").write_text("CONFIG_FRAME_WARN=2048\n")
        return kept

    def measured(name: str, old: Kept, new: Kept, *_: Any) -> Pair:
        done.append(f"{old.name} {new.name}")
        return GROWN if name == ON else off

    source = type("Source", (), {"tree": type("Tree", (), {"path": Path("/tree")})})
    monkeypatch.setattr(run, "bring_source", lambda *_: source)
    monkeypatch.setattr(run, "_kernel", kernel)
    monkeypatch.setattr(run, "measure", measured)
    return done


def test_a_run_leaves_figures_text_and_a_page(
    cache: Cache, request_: run.SizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = play(monkeypatch, CLEAN)
    recorder = Recorder()
    assert run.run_size(Session(cache, recorder.ui), request_, again) == ExitCode.PASSED
    assert done == [
        "base: base default",
        "on: series default",
        "off: off no-extended",
        "base on",
        "base off",
    ]
    directory = rundir.find(cache, "last")
    assert size_figures.of(Run.load(directory)) == replace(
        SIZES, option="CONFIG_SECCOMP_FILTER_EXTENDED"
    )
    assert not (directory / run.SCRATCH).exists()
    page = (directory / HTML).read_text()
    assert "f&lt;1&gt;" in page
    assert "no growth: the build id" in page
    assert 'href="size.txt"' in page
    assert "largest frame" in recorder.results.getvalue()


def test_a_run_whose_option_leaves_something_is_1(
    cache: Cache, request_: run.SizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, DIRTY)
    assert run.run_size(Session(cache, Recorder().ui), request_, again) == ExitCode.FAILED
    loaded = Run.load(rundir.find(cache, "last"))
    assert loaded.reasons == ["off: section .text: +8 bytes"]


@pytest.mark.parametrize("error", [LabError("It does not build.", "Mend it."), KeyboardInterrupt()])
def test_a_run_that_does_not_end_can_be_read(
    cache: Cache, request_: run.SizeRequest, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(run, "bring_source", broken)
    with pytest.raises(type(error)):
        run.run_size(Session(cache, Recorder().ui), request_, again)
    directory = rundir.find(cache, "last")
    assert Run.load(directory).headline.startswith("infrastructure: ")
    assert (directory / HTML).is_file()


def test_the_objects_are_those_of_the_sources_that_the_series_touches(
    kernel: Path, tmp_path: Path
) -> None:
    git = make_repository(kernel)
    base = git.out("rev-parse", "HEAD")
    patches = make_patches(kernel, tmp_path / "patches", CHANGES)
    for name in ("tools/x.c", "include/linux/new.h", "kernel/bpf/new.c"):
        (kernel / name).parent.mkdir(parents=True, exist_ok=True)
        (kernel / name).write_text("new\n")
    (kernel / "kernel/seccomp.c").write_text("changed\n")
    Git(kernel).run("add", "--force", "--all")
    result = BaseResult(
        name="linux-7.3",
        git_dir=kernel / ".git",
        commit=base,
        version="7.3.4",
        origin="",
        digest="",
    )
    tree = TreeResult(kernel, base, "series", ())
    source = Source(result, tree, Series.read(patches, "linux-7.3"))
    assert run.touched(source) == ("kernel/bpf/new.o", "kernel/seccomp.o")


def test_the_command_says_how_to_do_it_again(
    monkeypatch: pytest.MonkeyPatch, cache: Cache, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def fake(_: Session, request: run.SizeRequest, again: Again) -> int:
        seen.append(list(again(request.plan(ON))))
        return 0

    monkeypatch.setattr("lab.cli.size.run_size", fake)
    arguments = ["size", "--base", "bpf-next", "--newer", "--patches", str(tmp_path)]
    assert run_cli([*arguments, "--cache", str(cache.root)]) == 0
    assert seen == [["scripts/lab", *arguments]]
    assert run_cli(["size", "--arch", "pdp11", "--cache", str(cache.root)]) == ExitCode.USAGE


# --- two runs --------------------------------------------------------------------------------


def sized(cache: Cache, *pairs: Pair, **fields: Any) -> Path:
    directory = make_run(cache, {}, kind="size", **fields)
    write(directory, Sizes("CONFIG_X", 0, pairs))
    return directory


def test_sizes_are_compared(cache: Cache) -> None:
    bigger = replace(GROWN, after=Totals(2000, 201, 29))
    frames = (FrameChange("kernel/a.o", "f", None, 80),)
    old, new = sized(cache, GROWN, CLEAN), sized(cache, bigger, replace(DIRTY, frames=frames))

    def changes(one: Path, other: Path) -> dict[str, str]:
        found = comparison.compare(Run.load(one), Run.load(other))
        return {c.what: c.worth for g in found.groups if g.title == "Sizes" for c in g.changes}

    assert changes(old, new) == {
        "on: text": WORSE,
        "on: data": OTHER,
        "on: bss": BETTER,
        "off: text": OTHER,
        "off": WORSE,
        "off: f (kernel/a.o)": OTHER,
    }
    assert changes(new, old)["off"] == BETTER
    alone = comparison.compare(Run.load(make_run(cache, {})), Run.load(new))
    assert "Sizes: not compared" in comparison.text(alone)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base": {"version": "7.3.5"}}, "base version differs (7.3.4, 7.3.5)"),
        ({"toolchain": {"gcc": "gcc 14"}}, "gcc differs (gcc 12, gcc 14)"),
        ({"config": {"digest": "c2"}}, "config digest differs (c1, c2)"),
    ],
)
def test_sizes_of_what_was_built_otherwise_are_not_judged(
    cache: Cache, fields: dict[str, Any], said: str
) -> None:
    bigger = replace(GROWN, after=Totals(2000, 201, 29))
    runs = (sized(cache, GROWN, CLEAN), sized(cache, bigger, DIRTY, **fields))
    found = comparison.compare(*map(Run.load, runs))
    (group,) = (group for group in found.groups if group.title == "Sizes")
    assert {change.worth for change in group.changes} == {OTHER}
    assert group.notes == (f"Nothing is judged: {said}.",)
