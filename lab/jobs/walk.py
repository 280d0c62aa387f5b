# SPDX-License-Identifier: MIT
"""The series patch by patch: each one checked, built, booted and tested as the last of the series.

A walk is a run of its own. Its journal has an event ``patch`` for each row that is done, with a key
of what it is made from: a row that passed under the same key, in this walk or an earlier one, is
not done again, so that a walk that was killed goes on where it was, and after an edit begins at the
patch that was edited.

All but the base's kernel come from one worktree and one build directory, which begins as a copy of
the base's: a step compiles what its patch touches. Its guest runs while the next ones are built,
and a second one while nothing is.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.core.ui import Ui
from lab.errors import SEVERITY, ExitCode, LabError
from lab.jobs.hygiene import result
from lab.jobs.hygiene.check import check_patch
from lab.jobs.hygiene.checkpatch import EXCEPTIONS
from lab.jobs.hygiene.subject import Subject
from lab.jobs.hygiene.warnings import SPARSE, W1
from lab.jobs.tests import SELFTESTS, Hooks, TestOptions, run_tests
from lab.kernel.pipeline import Kernel, Plan, Stage, bring_kernel, early_manifest
from lab.kernel.profiles import absent_file
from lab.runs import journal, manifest, rundir
from lab.runs.journal import Journal
from lab.runs.run import Run
from lab.runs.verdict import Verdict, verdict_of, write_verdict
from lab.source.base import resolve
from lab.source.state import files_digest

KIND = "walk"
TABLE = "walk.txt"
CHECKS = ("checkpatch", W1, SPARSE)
COLUMNS = (*CHECKS, "build", "boot", "selftests")
OK, BAD, NOT_RUN, NOTHING = "ok", "BAD", "not run", "-"


STATES = {
    result.OK: OK,
    result.FINDINGS: BAD,
    result.NOT_RUN: NOT_RUN,
    result.NOTHING: NOTHING,
}
"""How a check's result stands in the table."""


@dataclass(frozen=True)
class Cell:
    """A column's outcome, one of the above, and a few words beside it. NOT_RUN: it could not be
    made; NOTHING: it was not asked for, or has nothing to look at.
    """

    state: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.state} {self.text}".strip()


@dataclass(frozen=True)
class Step:
    """A row to be made: ``plan`` has the first ``plan.applied`` patches. ``key`` names commit,
    fragments, profile and suite.
    """

    plan: Plan
    title: str
    commit: str
    key: str

    @property
    def number(self) -> int:
        """Of the last patch that is applied; 0 is the base."""
        return self.plan.applied or 0


@dataclass(frozen=True)
class Row:
    """How a step ended. ``cells`` are by column, ``run`` is the test run's directory or "".
    ``code`` is an exit code, ``headline`` says what was wrong. ``kept``: from an earlier walk.
    """

    key: str
    number: int
    title: str
    cells: dict[str, Cell]
    code: int
    headline: str
    run: str
    seconds: float
    kept: bool = False

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Row | None:
        """A row as a journal has it; None if another version of the lab wrote it."""
        fields = {name: value for name, value in event.items() if name not in ("event", "time")}
        try:
            done = {name: Cell(**cell) for name, cell in fields.pop("cells").items()}
            return cls(cells=done, **fields)
        except (TypeError, AttributeError, KeyError):
            return None


@dataclass(frozen=True)
class WalkOptions:
    """``first`` to ``last`` are patch numbers, 0 the base, None the series' end. ``build_only``: no
    guests. ``again``: also what has passed before.
    """

    first: int = 0
    last: int | None = None
    build_only: bool = False
    again: bool = False


def run_walk(session: Session, plan: Plan, options: WalkOptions, command: list[str]) -> int:
    """Every step, whatever became of the one before; the worst exit code.

    Raises UsageError if a patch does not apply, before anything is built.
    """
    started = monotonic()
    subject = Subject.open(session, plan)
    steps = plan_steps(subject, options)
    directory = rundir.create(session.cache, KIND).path
    known = {} if options.again else passed_before(session)
    record = Journal(directory)
    rows: list[Row] = []

    def tell(row: Row) -> None:
        record.write("patch", **asdict(row))
        rows.append(row)
        session.ui.out(_line(cells(row), _width(steps)))
        atomic_write(directory / TABLE, "\n".join(table(rows)) + "\n")

    try:
        manifest.write(
            directory,
            **{**early_manifest(session, plan, directory.name, command), "kind": KIND},
            steps=[f"{step.number} {step.title}" for step in steps],
        )
        record.write("run", id=directory.name, kind=KIND, command=command)
        session.ui.out(_line(("patch", *COLUMNS, "seconds", ""), _width(steps)))
        with guest_room(session, directory, tell) as guests:
            for step in steps:
                row = known.get(step.key)
                if row is not None:
                    guests.wait()
                    tell(replace(row, kept=True, number=step.number, title=step.title))
                    continue
                half, kernel = build_step(subject, step)
                guests.take(half, None if options.build_only else kernel)
            guests.wait()
        verdict = judge(rows)
    except BaseException as error:
        ran = f"{len(rows)} of {len(steps)} steps had ended; the same command goes on."
        write_verdict(record, verdict_of(error, (ran,)))
        raise
    else:
        write_verdict(record, verdict)
    finally:
        record.close()
    for line in (*verdict.reasons, f"{directory.name}: {verdict.headline}"):
        session.ui.out(line)
    session.ui.out(f"  whole walk: {monotonic() - started:.0f} s")
    session.ui.out(f"  directory: {directory}")
    return int(verdict.code)


def plan_steps(subject: Subject, options: WalkOptions) -> list[Step]:
    """The rows to be made. Raises UsageError if the series has no such patches."""
    plan, series = subject.plan, subject.series
    last = len(series.patches) if options.last is None else options.last
    titles = ["(the base)", *(patch.title for patch in series.first(last).patches)]
    # Of a range without an end, the beginning too has to be there.
    series.first(options.first)
    steps = []
    for number in range(options.first, last + 1):
        step = replace(plan, applied=number, control=number == 0)
        commit = subject.commits[number]
        steps.append(Step(step, titles[number], commit, _key(step, commit, options)))
    return steps


def _key(plan: Plan, commit: str, options: WalkOptions) -> str:
    fragments = plan.profile.configuration.fragment_files(plan.arch, series=True)
    absent = absent_file(resolve(plan.base)[0])
    suite = sorted(
        path for path in SELFTESTS.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    parts = (
        commit,
        files_digest((*fragments, EXCEPTIONS, *((absent,) if absent else ()))),
        plan.profile.name,
        plan.arch.name,
        "build only" if options.build_only else files_digest(suite),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def passed_before(session: Session) -> dict[str, Row]:
    """Rows of earlier walks that passed, by key; not those that lack a check."""
    found = {}
    for directory in rundir.known(session.cache):
        if not directory.name.endswith(f"-{KIND}"):
            continue
        for event in journal.events(directory):
            row = Row.from_event(event) if event.get("event") == "patch" else None
            if row is None or row.code != ExitCode.PASSED:
                continue
            if not any(cell.state == NOT_RUN for cell in row.cells.values()):
                found[row.key] = row
    return found


@dataclass
class Half:
    """A step on its way: what is known of it so far."""

    step: Step
    cells: dict[str, Cell] = field(default_factory=lambda: dict.fromkeys(COLUMNS, Cell(NOTHING)))
    codes: list[ExitCode] = field(default_factory=lambda: [ExitCode.PASSED])
    wrong: list[str] = field(default_factory=list)
    run: Path | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return set(self.codes) == {ExitCode.PASSED}

    def row(self) -> Row:
        """The step, done."""
        return Row(
            self.step.key,
            self.step.number,
            self.step.title,
            self.cells,
            int(max(self.codes, key=SEVERITY.index)),
            "; ".join(self.wrong),
            str(self.run or ""),
            round(self.seconds, 1),
        )


def build_step(subject: Subject, step: Step) -> tuple[Half, Stages | None]:
    """Check and build one step; None for a kernel that does not build. What a check finds keeps
    nothing from being built.
    """
    half, started = Half(step), monotonic()
    if step.number:
        try:
            found = _check(subject, step.number, half.cells)
            half.codes += [ExitCode.FAILED] * bool(found)
            half.wrong += found
        except LabError as error:
            half.cells |= {column: Cell(BAD) for column in CHECKS}
            half.codes.append(error.exit_code)
            half.wrong.append(error.message)
    stages = None
    try:
        stages = _build(subject.session, step)
        half.cells["build"] = _built(stages.kernel)
    except LabError as error:
        half.cells["build"] = Cell(BAD)
        half.codes.append(error.exit_code)
        half.wrong.append(error.message)
    half.seconds = monotonic() - started
    return half, stages


@dataclass(frozen=True)
class Stages:
    """A kernel, and what its stages had to tell."""

    kernel: Kernel
    told: dict[str, Any]

    def tell(self, stage: Stage) -> Kernel:
        """Tell it to a run that uses the kernel, as one stage: it took that run no time."""
        stage("kernel", self.told)
        return self.kernel


AHEAD = 2
"""Steps that may wait for their guest while the next one is built; a walk that is killed builds
them again.
"""


POLL_SECONDS = 0.1


@dataclass
class Waiting:
    """A step on its way to its row. ``twin`` is an earlier one that its tests cannot tell from it:
    if that has passed, what is new is tested, and for this it is waited for.
    """

    half: Half
    stages: Stages | None = None
    twin: Waiting | None = None
    future: Future[None] | None = None
    tested: Event = field(default_factory=Event)

    @property
    def done(self) -> bool:
        """Whether the row may be told, all before it being told."""
        return self.future is None or self.future.done()


class Guests:
    """One guest beside the builds, two while nothing is built: of two processors none is idle.
    ``tell`` gets each row when it is done, in order.
    """

    def __init__(self, session: Session, directory: Path, tell: Callable[[Row], None]) -> None:
        self._session = session
        self._directory = directory
        self._tell = tell
        self._stop = Event()
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Waiting] = deque()
        self._last: tuple[Seen, Waiting] | None = None

    def take(self, half: Half, stages: Stages | None) -> None:
        """Have a step tested, or told as it is if there is no kernel to boot, after those that are
        on their way. Waits while there are more than AHEAD of these.
        """
        item = Waiting(half)
        if stages is not None:
            seen = Seen.of(half.step.plan, stages.kernel)
            # The next step is built in the same place.
            image = self._directory / f"image-{half.step.number}"
            shutil.copyfile(stages.kernel.build.image, image)
            build = replace(stages.kernel.build, image=image)
            item.stages = replace(stages, kernel=replace(stages.kernel, build=build))
            if self._last is not None and self._last[0].is_in(seen):
                item.twin = self._last[1]
            self._last = seen, item
            item.future = self._thread.submit(self._boot, item, item.stages)
        self._waiting.append(item)
        self.wait(AHEAD)

    def wait(self, ahead: int = 0) -> None:
        """Have what has ended told; wait until ``ahead`` are left. Raises what ended a guest."""
        while self._waiting:
            item = self._waiting[0]
            if len(self._waiting) <= ahead and not item.done:
                return
            while not item.done and self._help():
                pass
            if item.future is not None:
                item.future.result()
            self._waiting.popleft()
            self._tell(item.half.row())

    def _help(self) -> bool:
        """Boot, here, the first guest that has not begun; whether there was one."""
        for item in self._waiting:
            if item.stages and item.future and not item.twin and item.future.cancel():
                self._boot(item, item.stages)
                item.future = Future()
                item.future.set_result(None)
                return True
        return False

    def end(self) -> None:
        """Leave no guest behind. What has come to its end is told."""
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)
        for image in self._directory.glob("image-*"):
            image.unlink()
        for item in self._waiting:
            if item.future and (item.future.cancelled() or item.future.exception()):
                break
            self._tell(item.half.row())
        self._waiting.clear()

    def _boot(self, item: Waiting, stages: Stages) -> None:
        since = self._since(item.twin) if item.twin else 0
        half, started = item.half, monotonic()
        ui = Ui(quiet=True, stream=self._session.ui.stream, results=io.StringIO())
        session = Session(self._session.cache, ui)
        begun = list[Path]()
        hooks = Hooks(begun.append, stages.tell, self._go_on)
        options = TestOptions(None, (), {}, since, crowded=True)
        try:
            code = run_tests(session, half.step.plan, options, hooks)
            half.codes.append(ExitCode(code))
        except LabError as error:
            half.codes.append(error.exit_code)
            if not begun:
                half.cells["boot"] = Cell(BAD)
                half.wrong.append(error.message)
        if begun:
            half.run = begun[0]
            half.wrong += filter(None, [_tested(begun[0], half.cells, since)])
        half.seconds += monotonic() - started
        stages.kernel.build.image.unlink()
        item.tested.set()

    def _since(self, twin: Waiting) -> int:
        """The patch whose tests need not be run again; 0 if they have to be."""
        while not twin.tested.wait(POLL_SECONDS):
            self._go_on()
        return twin.half.step.number if twin.half.passed else 0

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Seen:
    """All that the suite sees of a step: its image and, by name, the guest's files, as digests."""

    kind: str
    image: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, plan: Plan, kernel: Kernel) -> Seen:
        """What there is to see of a kernel."""
        made = kernel.artifacts
        files = {name: _digest(made.directory / name) for name in made.files}
        return cls(plan.kind, _digest(kernel.build.image), files)

    def is_in(self, later: Seen) -> bool:
        """Whether tests that ran on this would see the same on ``later``, which may have files
        that they do not know of.
        """
        same = (self.kind, self.image) == (later.kind, later.image)
        return same and self.files.items() <= later.files.items()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def guest_room(session: Session, directory: Path, tell: Callable[[Row], None]) -> Iterator[Guests]:
    """A place for guests, which are gone when it is left."""
    guests = Guests(session, directory, tell)
    try:
        yield guests
    finally:
        guests.end()


def _check(subject: Subject, number: int, done: dict[str, Cell]) -> list[str]:
    """Fill in what the tree's own tools say of the patch; what they found.

    Raises LabError if one of them fails.
    """
    results = check_patch(subject, number)
    for column in CHECKS:
        state = STATES[results[column].state]
        done[column] = Cell(state, str(len(results[column].findings) or ""))
    return [f"{column}: {found}" for column in CHECKS for found in results[column].findings]


def _build(session: Session, step: Step) -> Stages:
    """The step's kernel."""
    told: dict[str, Any] = {}
    kernel = bring_kernel(session, step.plan, lambda _, fields: told.update(fields))
    return Stages(kernel, told)


def _built(kernel: Kernel) -> Cell:
    build = kernel.build
    warned = f", {len(build.warnings)} warnings" if build.warnings else ""
    return Cell(OK, f"{build.seconds:.0f} s{warned}" if build.fresh else "as before")


def _tested(directory: Path, done: dict[str, Cell], since: int) -> str:
    """Fill in what a test run came to; its headline if it did not pass. What it left out has passed
    ``since`` that patch.
    """
    run = Run.load(directory)
    passed = run.code == ExitCode.PASSED
    up = run.view.guest.get("boot_seconds")
    counts = [f"{count} {state}" for state, count in run.view.counts().items()]
    counts += [f"as {since}"] * bool(since)
    if isinstance(up, int | float):
        done["boot"] = Cell(OK, f"{up:.0f} s")
    elif since and passed:
        done["boot"] = Cell(OK, f"as {since}")
    else:
        done["boot"] = Cell(BAD)
    done["selftests"] = Cell(OK if passed else BAD, ", ".join(counts))
    return "" if passed else run.headline


def judge(rows: Sequence[Row]) -> Verdict:
    """The worst exit code, and the first patch that has it to answer for."""
    bad = [row for row in rows if row.code != ExitCode.PASSED]
    if not bad:
        return Verdict(ExitCode.PASSED, f"passed: {len(rows)} steps")
    worst = max((ExitCode(row.code) for row in bad), key=SEVERITY.index)
    return Verdict(
        worst,
        f"the first bad patch is {bad[0].number} ({bad[0].title}); {len(bad)} of {len(rows)} bad",
        tuple(f"{row.number}: {row.headline}" + f" (see {row.run})" * bool(row.run) for row in bad),
    )


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    columns = [str(row.cells.get(column, Cell(NOTHING))) for column in COLUMNS]
    note = "kept" if row.kept else ""
    return (f"{row.number} {row.title}", *columns, f"{row.seconds:.0f}", note)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Patch by patch, in plain text, and what was wrong."""
    width = max(len(cells(row)[0]) for row in rows)
    yield _line(("patch", *COLUMNS, "seconds", ""), width)
    for row in rows:
        yield _line(cells(row), width)
    yield from judge(rows).reasons


def _width(steps: Sequence[Step]) -> int:
    return max(len(f"{step.number} {step.title}") for step in steps)


def _line(texts: Sequence[str], width: int) -> str:
    widths = (width, 10, 7, 7, 18, 8, 24, 7, 4)
    return "  ".join(text.ljust(w) for text, w in zip(texts, widths, strict=True)).rstrip()
