# SPDX-License-Identifier: MIT
"""`lab fuzz`: whole runs with a guest that plays steps, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode
from lab.guest import boot
from lab.guest.launch import GuestRequest
from lab.jobs.fuzz import campaign
from lab.jobs.fuzz.campaign import FuzzOptions, run_fuzz
from lab.jobs.fuzz.case import Case
from lab.jobs.fuzz.verdict import CHECKS
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Kernel, Stage
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile
from lab.report.text import summary
from lab.runs import journal, rundir
from lab.runs.run import Run
from lab.runs.rundir import KTAP
from tests.fakes import launcher
from tests.fuzzing import case, numbered, outcomes_event
from tests.support import Recorder
from tests.worlds import again, made_kernel, without_kvm

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
