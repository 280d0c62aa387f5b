# SPDX-License-Identifier: MIT
"""lab fuzz without a kernel: cases, the minimiser, what outcomes are called, verdicts."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, UsageError
from lab.guest import boot
from lab.guest.launch import GuestRequest
from lab.guest.splats import Splat
from lab.jobs.fuzz import campaign
from lab.jobs.fuzz.campaign import FuzzOptions, run_fuzz
from lab.jobs.fuzz.case import FIELDS, Case, classic_without, decode, without
from lab.jobs.fuzz.figures import COUNTS, Figures, shallow
from lab.jobs.fuzz.guest import Told
from lab.jobs.fuzz.locate import (
    SPLAT,
    Finding,
    findings_of,
    index_of,
    place_of,
    shown_by,
    signature_of,
)
from lab.jobs.fuzz.minimise import minimise
from lab.jobs.fuzz.outcomes import ACCEPTED, Outcomes, kind_of
from lab.jobs.fuzz.verdict import CHECKS
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile
from lab.kernel.userspace import NATIVE
from lab.report.text import summary
from lab.runs import journal, rundir
from lab.runs.run import Run
from lab.runs.rundir import KTAP
from tests.fakes import launcher
from tests.support import Recorder
from tests.worlds import again, made_kernel, without_kvm


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> str:
    return struct.pack("<BBhi", code, dst | src << 4, off, imm).hex()


EXIT = insn(0x95)


def case(**fields: Any) -> Case:
    base = {
        **dict.fromkeys(("style", "prog_flags", "attach_type", "filter_flags"), 0),
        **{"kind": "open", "loader": "bpf", "scope": 2, "gpl": 1, "no_new_privs": 1},
        **{"beneath": "nobody", "above": "notifier", "insn": [], "classic": [], "call": []},
    }
    return Case.parse({**base, **fields})


# --- cases ----------------------------------------------------------------------------------


def test_a_case_as_text_has_a_line_for_each_thing() -> None:
    lines = case(insn=[EXIT], call=["110 1 2 3 4 5 6", "39 0 0 0 0 0 0"]).text().splitlines()
    assert lines[0] == "kind open"
    assert lines[-1] == "end"
    assert f"insn {EXIT}" in lines
    assert sum(line.startswith("call ") for line in lines) == 2
    assert {line.split()[0] for line in lines} <= {*FIELDS, "end"}


@pytest.mark.parametrize("wrong", [None, [], {}, {"kind": "open"}])
def test_what_is_no_case_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        Case.parse(wrong)


def test_a_case_from_before_a_field_was_there_is_one() -> None:
    fields = dict(case().fields)
    del fields["unprivileged_bpf_disabled"]
    assert Case.parse(fields).fields["unprivileged_bpf_disabled"] == 0


def test_a_case_with_numbers_for_lines_is_refused() -> None:
    with pytest.raises(UsageError):
        case(insn=[7])


def test_jumps_go_where_they_went_when_something_between_is_gone() -> None:
    program = [
        insn(0x15, off=3),  # to the exit
        insn(0xB7, imm=1),
        insn(0x18, imm=7),
        insn(0),
        EXIT,
        insn(0x05, off=-6),  # back to the first
    ]
    assert [one.target for one in decode(program)] == [4, None, None, None, 0]
    smaller = without(program, {1})
    assert smaller == [insn(0x15, off=2), insn(0x18, imm=7), insn(0), EXIT, insn(0x05, off=-5)]
    # A wide instruction goes as a whole.
    assert without(program, {2})[:3] == [insn(0x15, off=1), insn(0xB7, imm=1), EXIT]


def test_a_jump_to_what_is_gone_goes_to_what_followed_it() -> None:
    program = [insn(0x15, off=1), insn(0xB7, imm=1), insn(0xB7, imm=2), EXIT]
    assert without(program, {2}) == [insn(0x15, off=1), insn(0xB7, imm=1), EXIT]


def test_calls_and_pointers_to_functions_follow_them_helpers_do_not() -> None:
    program = [
        insn(0x85, src=1, imm=4),
        insn(0x85, imm=5),
        insn(0x18, src=4, imm=2),
        insn(0),
        EXIT,
        EXIT,
    ]
    shorter = without(program, {1})
    assert shorter == [
        insn(0x85, src=1, imm=3), insn(0x18, src=4, imm=2), insn(0), EXIT, EXIT,
    ]  # fmt: skip


def test_a_jump_out_of_the_program_is_left_alone() -> None:
    program = [insn(0x05, off=1000), insn(0xB7), EXIT]
    assert without(program, {1}) == [insn(0x05, off=1000), EXIT]


def test_classic_jumps_go_where_they_went() -> None:
    program = [
        "0015 1 2 0000000a",
        "0020 0 0 00000000",
        "0006 0 0 00000001",
        "0005 0 0 00000000",
        "0006 0 0 7fff0000",
    ]
    assert classic_without(program, {1}) == ["0015 0 1 0000000a", *program[2:]]
    assert classic_without(program, {2}) == [
        "0015 1 1 0000000a", "0020 0 0 00000000", "0005 0 0 00000000", "0006 0 0 7fff0000",
    ]  # fmt: skip


# --- the minimiser --------------------------------------------------------------------------


class Needs:
    """An oracle: a case shows it if it still has certain lines."""

    def __init__(self, **lines: Sequence[str]) -> None:
        self.lines = lines
        self.questions = 0

    def __call__(self, cases: Sequence[Case]) -> list[int]:
        self.questions += 1
        return [number for number, one in enumerate(cases) if self.shown_by(one)]

    def shown_by(self, one: Case) -> bool:
        return all(set(lines) <= set(one.fields[name]) for name, lines in self.lines.items())


def numbered(count: int) -> list[str]:
    return [*(insn(0xB7, imm=n) for n in range(count)), EXIT]


def test_only_what_is_needed_is_left() -> None:
    program, calls = numbered(60), [f"{n} 0 0 0 0 0 0" for n in range(16)]
    oracle = Needs(insn=[program[7], program[41]], call=[calls[3]])
    small = minimise(case(insn=program, call=calls), oracle)
    assert small.fields["insn"] == [program[7], program[41]]
    assert small.fields["call"] == [calls[3]]
    assert small.fields["loader"] == "root"
    assert (small.fields["above"], small.fields["scope"]) == ("nobody", 1)
    assert oracle.questions < 60


def test_an_oracle_that_tells_of_one_candidate_a_time_is_enough() -> None:
    program = numbered(24)
    oracle = Needs(insn=[program[5]])
    small = minimise(case(insn=program), lambda cases: oracle(cases)[:1])
    assert small.fields["insn"] == [program[5]]


def test_a_field_that_matters_stays() -> None:
    def oracle(cases: Sequence[Case]) -> list[int]:
        return [n for n, one in enumerate(cases) if one.fields["loader"] == "bpf"]

    small = minimise(case(insn=numbered(3)), oracle)
    assert small.fields["loader"] == "bpf"
    assert small.fields["insn"] == []
    assert small.fields["above"] == "nobody"


def test_of_two_languages_the_common_one_is_made_small() -> None:
    classic = [f"0001 0 0 {n:08x}" for n in range(12)]
    oracle = Needs(classic=[classic[4]])
    small = minimise(case(kind="differential", insn=numbered(9), classic=classic), oracle)
    assert small.fields["classic"] == [classic[4]]
    # The guest translates it.
    assert small.fields["insn"] == []


# --- outcomes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ACCEPTED, ACCEPTED),
        ("EACCES: maps are refused to this program: denied by LSM (seccomp_extended)",
         "state denied by the LSM"),
        ("EACCES: kernel variables are refused to this program: needs a loader with CAP_SYS_PTRACE"
         " in the initial user namespace", "kernel memory refused"),
        ("EACCES: R# !read_ok", "register not initialised"),
        ("EINVAL: program of this type cannot use helper bpf_skb_store_bytes##",
         "helper not offered"),
        ("EINVAL: jump out of range from insn # to #", "jump out of range"),
        ("EACCES: invalid bpf_context access off=# size=#", "context access"),
        ("EINVAL: ", "attach type, flags or licence"),
        ("ELOOP: not loaded, it calls itself, and # may not come back", "not loaded: hangs 7.3"),
        ("EINVAL: what nobody has ever said", "EINVAL: what nobody has ever said"),
    ],
)  # fmt: skip
def test_what_the_verifier_says_has_a_kind(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_texts_of_one_kind_are_counted_together() -> None:
    outcomes = Outcomes.of(
        [
            ("accepted", 6, 0),
            ("EINVAL: program of this type cannot use helper bpf_a##", 2, 9),
            ("EINVAL: program of this type cannot use helper bpf_b##", 1, 4),
            ("EACCES: R# !read_ok", 1, 2),
        ]
    )
    assert (outcomes.total, outcomes.accepted, outcomes.rejections) == (10, 6, 2)
    assert outcomes.rows[1].count == 3
    assert outcomes.rows[1].first == 4
    assert "60.0 %  accepted" in outcomes.table()[0]


MANY = [["accepted", 2000, 0], *([f"EINVAL: reason {chr(97 + n)}", 100, n] for n in range(26))]


def figures(counts: list[list[object]], **told: Any) -> Figures:
    taken = Figures()
    taken.take(outcomes_event(counts, **told))
    return taken


def test_a_generator_that_is_shallow_fails_once_there_is_enough() -> None:
    few = figures([["accepted", 10, 0]])
    assert shallow(few)[0] == journal.SKIPPED
    refused = figures([["accepted", 100, 0], ["EACCES: R# !read_ok", 2900, 1]])
    assert shallow(refused)[0] == journal.FAILED
    one_reason = figures([["accepted", 1500, 0], ["EACCES: R# !read_ok", 1500, 1]])
    assert shallow(one_reason)[0] == journal.FAILED
    assert shallow(figures(MANY)) == (journal.PASSED, "")


@pytest.mark.parametrize("name", COUNTS)
def test_what_was_never_done_is_no_success(name: str) -> None:
    assert shallow(figures(MANY, **{name: 0}))[0] == journal.FAILED


@pytest.mark.parametrize("loaded", [0, 90])
def test_a_loader_that_loads_nothing_or_everything_is_none(loaded: int) -> None:
    outcome, message = shallow(figures(MANY, loaders={"user": [90, 30], "token": [90, loaded]}))
    assert (outcome, "token" in message) == (journal.FAILED, True)


def outcomes_event(counts: list[list[object]], **told: Any) -> dict[str, Any]:
    row = {"event": "outcomes", "counts": counts, "loaders": {"root": [90, 60]}}
    return {**row, **dict.fromkeys(COUNTS, 9), **told}


# --- which program it was -------------------------------------------------------------------


def splat(headline: str, test: str | None) -> Splat:
    return Splat("WARNING", headline, 5, test, ())


def test_a_marker_names_the_programs() -> None:
    assert place_of("fuzz 77:256+128") == (256, 128)
    assert place_of("fuzz case 12") == (12, 1)
    assert place_of("fuzz 77:9+1") == (9, 1)
    assert place_of("selftests/test_x.py::test_y") == (None, 0)
    assert place_of(None) == (None, 0)


def test_a_splat_is_the_same_whatever_its_addresses() -> None:
    one = signature_of(splat("WARNING: kernel/seccomp.c:7 at f+0x1f/0x30, CPU#1: fuzz/12", None))
    two = signature_of(splat("WARNING: kernel/seccomp.c:7 at f+0x1f/0x30, CPU#0: fuzz/9876", None))
    assert one == two
    assert one != signature_of(splat("WARNING: kernel/seccomp.c:7 at g+0x1f/0x30", None))


def test_a_finding_is_told_once_a_kind() -> None:
    row = {"event": "finding", "kind": "mismatch", "what": "a", "index": 5}
    rows = [{**row, "case": case().fields, "index": n} for n in (5, 9)]
    told = Told(events=rows, splats=[splat("WARNING: 1", "fuzz 3:128+128")] * 2)
    mismatch, spoke = findings_of(told)
    assert (mismatch.kind, mismatch.index) == ("mismatch", 5)
    assert (spoke.kind, spoke.first, spoke.count, spoke.case) == (SPLAT, 128, 128, None)


def test_the_case_that_shows_a_splat_is_the_one_marked() -> None:
    finding = Finding(SPLAT, "WARNING: x", signature_of(splat("WARNING: at f", None)))
    told = Told(
        splats=[splat("WARNING: at g", "fuzz case 1"), splat("WARNING: at f", "fuzz case 3")]
    )
    assert shown_by(told, finding) == [3]
    told = Told(splats=[splat("WARNING: at f", "fuzz 9:130+1")])
    assert index_of(told, finding) == 130


# --- whole runs with a guest that plays steps -----------------------------------------------

Steps = list[tuple[str, object]]


class World:
    """A lab whose guests play steps: ``runs`` are those of one guest after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
        self.cache = cache
        self.recorder = Recorder()
        self.runs: list[Steps] = []
        self.commands: list[list[str]] = []
        monkeypatch.setattr(pipeline, "bring_kernel", self._kernel)
        without_kvm(monkeypatch)
        monkeypatch.setattr(boot, "virtme_command", self._launch)

    def _kernel(self, session: Session, plan: Plan, done: Stage) -> Kernel:  # noqa: ARG002
        files = self.cache.root / "files"
        files.mkdir(exist_ok=True)
        (files / "fuzz").write_text("the guest's program")
        return made_kernel(done, files)

    def _launch(self, request: GuestRequest, **_: Any) -> list[str]:
        script = (request.run_dir / "share" / "guest.sh").read_text()
        self.commands.append(next(line for line in script.splitlines() if "/fuzz " in line).split())
        return launcher(request.run_dir, self.runs.pop(0))

    def run(self, **options: Any) -> int:
        chosen = {"minutes": 1.0, "programs": 256, "seed": 77, **options}
        plan = Plan("linux-7.3", False, Path("/nowhere"), False, find_profile("default"), ARCHES[0])
        return run_fuzz(Session(self.cache, self.recorder.ui), plan, FuzzOptions(**chosen), again)

    @property
    def last(self) -> Run:
        return Run.load(rundir.find(self.cache, "last"))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, cache: Cache) -> World:
    return World(monkeypatch, cache)


def event(name: str, **fields: Any) -> tuple[str, object]:
    return ("event", {"event": name, **fields})


def block(first: int, **fields: Any) -> tuple[str, object]:
    return event("block", first=first, count=128, scope=1, done=first, **fields)


LOADED = [["accepted", 200, 0], ["EACCES: R# !read_ok", 56, 3]]
ENDED: Steps = [
    ("event", outcomes_event(LOADED, compared=80)),
    event("end", exit=0, done=256),
]
FOUND = event("finding", kind="mismatch", what="call 0: 1, 2", index=9,
              case=dict(case(insn=numbered(2)).fields))  # fmt: skip


def checks(run: Run) -> dict[str, str]:
    return {test.id.removeprefix("fuzz::"): test.state for test in run.view.tests.values()}


def test_a_run_without_a_finding_passes_with_figures(world: World) -> None:
    world.runs = [[("on", 0), block(0), block(128), *ENDED, ("status", 0)]]
    assert world.run() == ExitCode.PASSED
    run = world.last
    states = checks(run)
    assert states.pop("not-shallow") == journal.SKIPPED
    assert set(states.values()) == {journal.PASSED}
    figures = run.manifest.fuzz
    assert (figures["seed"], figures["done"], figures["accepted"]) == (77, 256, 200)
    assert figures["outcomes"] == {"accepted": 200, "register not initialised": 56}
    assert "register not initialised" in (run.path / "outcomes.txt").read_text()
    said = world.recorder.results.getvalue()
    assert "256 programs in" in said
    assert "per minute" in said
    assert "root 60/90" in said
    assert world.commands[0][1:6] == ["run", "77", "0", "256", "60"]
    assert (run.path / KTAP).read_text().count("\nok ") == len(CHECKS)


def test_a_finding_is_1_and_kept_as_a_case(world: World) -> None:
    world.runs = [[("on", 0), block(0), FOUND, *ENDED, ("status", 1)]]
    assert world.run(minimise=False) == ExitCode.FAILED
    run = world.last
    assert checks(run)["same-verdict"] == journal.FAILED
    assert checks(run)["errors"] == journal.PASSED
    saved = json.loads((run.path / "cases" / "mismatch-77-9.json").read_text())
    assert saved["expected"] == {"finding": ""}
    assert saved["found"]["index"] == 9
    assert Case.parse(saved["case"]).fields["insn"] == numbered(2)
    assert "selftests/fuzz_cases/" in world.recorder.said


def answer(number: int, finding: str) -> tuple[str, object]:
    return event("case", number=number, finding=finding, what="", load="accepted", insn=[])


def test_a_finding_that_shows_again_is_made_small(world: World) -> None:
    shown: Steps = [("on", 0), answer(0, "mismatch"), event("end", exit=0), ("status", 1)]
    not_shown: Steps = [("on", 0), event("end", exit=0), ("status", 0)]
    world.runs = [[("on", 0), block(0), FOUND, *ENDED, ("status", 1)], shown, shown]
    world.runs += [not_shown] * 12
    assert world.run() == ExitCode.FAILED
    (path,) = (world.last.path / "cases").iterdir()
    # Of two numbers and an exit one went, and then nothing more.
    assert len(json.loads(path.read_text())["case"]["insn"]) == 2
    assert world.commands[1][1] == "case"


def test_a_splat_is_4_and_its_program_is_looked_for(world: World) -> None:
    spoke = (
        "console.log",
        "[    9.0] seccomp-lab: start fuzz 77:128+128\n[    9.1] WARNING: at f+0x1/0x2\n",
    )
    single = (
        "console.log",
        "[    9.0] seccomp-lab: start fuzz 77:131+1\n[    9.1] WARNING: at f+0x1/0x2\n",
    )
    again = block(131, case=dict(case(insn=numbered(1)).fields))
    nothing: Steps = [("on", 0), event("end", exit=0), ("status", 0)]
    world.runs = [
        [("on", 0), block(0), block(128), spoke, *ENDED, ("status", 0)],
        [("on", 0), again, single, *ENDED, ("status", 0)],
        nothing,
    ]
    assert world.run() == ExitCode.KERNEL
    run = world.last
    assert checks(run)["kernel-silent"] == journal.FAILED
    assert (run.path / "cases" / "splat-77-131.json").is_file()
    assert "--each" in world.commands[1]
    assert world.commands[1][2:5] == ["77", "128", "128"]


def test_a_lost_guest_is_3_and_names_the_programs_in_flight(world: World) -> None:
    world.runs = [[("on", 0), block(0), block(128), ("exit", 1)]]
    assert world.run(minimise=False) == ExitCode.INFRA
    assert any("128 from 128 on" in reason for reason in world.last.reasons)
    assert checks(world.last)["programs"] == journal.FAILED


def test_a_fuzz_program_that_stops_working_is_3(world: World) -> None:
    world.runs = [[("on", 0), ("stderr.log", "fuzz: no\n"), ("status", 3)]]
    assert world.run(minimise=False) == ExitCode.INFRA


def test_a_run_of_nothing_is_1(world: World) -> None:
    world.runs = [[("on", 0), event("end", exit=0, done=0), ("status", 0)]]
    assert world.run() == ExitCode.FAILED


def test_an_interrupted_run_can_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, row: dict[str, Any], progress: object) -> None:  # noqa: ARG001
        self._figures.take(row)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign._Campaign, "_event", interrupted)
    world.runs = [[("on", 0), block(128), ("sleep", 60)]]
    with pytest.raises(KeyboardInterrupt):
        world.run()
    run = world.last
    assert run.code == ExitCode.INTERRUPTED
    assert any("128 programs from index 128" in reason for reason in run.reasons)
    assert run.manifest.fuzz["seed"] == 77
    assert summary(run)[0].endswith("infrastructure: interrupted")


# --- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--minutes", "0"],
        ["--minutes", "nan"],
        ["--minutes", "soon"],
        ["--programs", "0"],
        ["--seed", "-1"],
        ["--seed", "99999999999999999999"],
        ["--only", "-3"],
        ["--only", "3", "--programs", "2"],
        ["--only", "3", "--first", "2"],
        ["--control"],
        ["--profile", "nonsense"],
        ["--profile", "no-extended"],
        ["--limit", "silence"],
    ],
)
def test_wrong_input_is_2(
    cache: Cache, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "bring_kernel", lambda *_: pytest.fail("a stage was started"))
    assert run_cli(["fuzz", *arguments, "--cache", str(cache.root)]) == ExitCode.USAGE


# --- the guest's program --------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fuzz.c for this machine: what it generates needs no kernel."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("native") / "fuzz"
    command = [compiler, "-O0", str(NATIVE / "fuzz.c"), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


def shown(program: Path, seed: int, first: int, count: int) -> list[dict[str, Any]]:
    command = [str(program), "show", str(seed), str(first), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_program_is_a_function_of_seed_and_index(program: Path) -> None:
    whole = shown(program, 11, 0, 400)
    assert [row["index"] for row in whole] == list(range(400))
    assert shown(program, 11, 250, 50) == whole[250:300]
    assert shown(program, 12, 0, 400) != whole


def test_all_kinds_and_loaders_are_generated(program: Path) -> None:
    cases = [Case.parse(row["case"]) for row in shown(program, 5, 0, 2000)]
    assert {one.fields["kind"] for one in cases} == {"differential", "open", "mutated", "raw"}
    loaders = {"user", "bpf", "perfmon", "ptrace", "root", "userns"}
    loaders |= {"token", "token-bare", "token-other"}
    assert {one.fields["loader"] for one in cases} == loaders
    assert {one.fields["scope"] for one in cases} == {1, 2, 9}
    assert {one.fields["unprivileged_bpf_disabled"] for one in cases} == {0, 2}
    assert {one.fields["drops_capabilities"] for one in cases} == {0, 1}
    assert all(one.fields["insn"] and one.fields["call"] for one in cases)
    assert len({tuple(one.fields["insn"]) for one in cases}) > 1900
    for one in cases:
        assert bool(one.fields["classic"]) == one.differential


SIZE_OF_DATA = 64
CLASSIC = {
    *(0x20, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x07, 0x87, 0x06, 0x16, 0x05, 0x84),
    # add, sub, mul, div, or, and, lsh, rsh, xor; with a constant, with X
    *(op | 0x04 | source for op in range(0x00, 0x80, 0x10) for source in (0x00, 0x08)),
    *(0xA4, 0xAC),
    # jeq, jgt, jge, jset
    *(op | 0x05 | source for op in range(0x10, 0x50, 0x10) for source in (0x00, 0x08)),
}
"""What seccomp_check_filter() in kernel/seccomp.c lets pass, as 0x20 what it makes of a load."""

ACTIONS = {0x80000000, 0, 0x30000, 0x50000, 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000}


def test_all_that_classic_filters_have_is_compared(program: Path) -> None:
    cases = [Case.parse(row["case"]) for row in shown(program, 6, 0, 3000)]
    compared = [one for one in cases if one.differential]
    rows = [line.split() for one in compared for line in one.fields["classic"]]
    insns = [(int(code, 16), int(k, 16)) for code, _, _, k in rows]
    assert {code for code, _ in insns} == CLASSIC
    assert {k for code, k in insns if code == 0x20} == set(range(0, SIZE_OF_DATA, 4))
    assert {k & 0xFFFF0000 for code, k in insns if code == 0x06} >= ACTIONS
    # Nothing that only one of the two languages has.
    assert {one.fields["fd_array_cnt"] for one in compared} == {0}
    assert {one.fields["prog_flags"] for one in compared} == {0, 1, 4, 5, 8}


@pytest.mark.parametrize(
    "arguments", [[], ["run", "x", "0", "1", "1"], ["show", "1", "2"], ["--workers", "0"]]
)
def test_the_program_does_not_guess(program: Path, arguments: list[str]) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"fuzz: show" in done.stderr
