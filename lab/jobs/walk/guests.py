# SPDX-License-Identifier: MIT
"""Guests that test the steps of a walk, beside the builds."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from time import monotonic

from lab.core.session import Session
from lab.core.ui import Ui
from lab.errors import ExitCode, LabError
from lab.jobs.engine import Again
from lab.jobs.tests import Hooks, TestOptions, run_tests
from lab.jobs.walk.steps import BOOT, TESTS, Half, Stages
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from lab.runs.run import Run
from lab.runs.walk_table import BAD, OK, Cell
from lab.runs.writing import OpenRun

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

    def __init__(self, run: OpenRun, tell: Callable[[Half], None], again: Again) -> None:
        self._run = run
        self._directory = run.path
        self._tell = tell
        self._again = again
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
            self._tell(item.half)

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
            self._tell(item.half)
        self._waiting.clear()

    def _boot(self, item: Waiting, stages: Stages) -> None:
        since = self._since(item.twin) if item.twin else 0
        half, started = item.half, monotonic()
        ui = Ui(quiet=True, stream=self._run.ui.stream, results=io.StringIO())
        session = Session(self._run.session.cache, ui)
        begun = list[Path]()

        def begin(directory: Path) -> None:
            begun.append(directory)
            self._run.event("part", run=str(directory))

        hooks = Hooks(begin, stages.tell, self._go_on)
        options = TestOptions(since=since, crowded=True)
        try:
            code = run_tests(session, half.step.plan, options, self._again, hooks)
            half.codes.append(ExitCode(code))
        except LabError as error:
            half.codes.append(error.exit_code)
            if not begun:
                half.cells[BOOT] = Cell(BAD)
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
        return cls(plan.kernel, _digest(kernel.build.image), files)

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
def guest_room(run: OpenRun, tell: Callable[[Half], None], again: Again) -> Iterator[Guests]:
    """A place for guests, which are gone when it is left."""
    guests = Guests(run, tell, again)
    try:
        yield guests
    finally:
        guests.end()


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
        done[BOOT] = Cell(OK, f"{up:.0f} s")
    elif since and passed:
        done[BOOT] = Cell(OK, f"as {since}")
    else:
        done[BOOT] = Cell(BAD)
    done[TESTS] = Cell(OK if passed else BAD, ", ".join(counts))
    return "" if passed else run.headline
