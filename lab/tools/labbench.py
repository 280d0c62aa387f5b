# SPDX-License-Identifier: MIT
"""Measures the lab against doing the same by hand, in one run on one machine, and prints ratios.

``unchanged``: the main job with nothing to do but boot and test, against a bare ``vng`` boot that
runs the same pytest command. ``line``: one line changed in kernel/seccomp.c, until the first test
has a result, against ``make`` in the same build directory, ``vng`` and the same pytest. ``cold``: a
whole run in an empty cache, against plain ``make`` and one plain guest run; takes two full builds.
With each, the memory of the lab's own processes.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from lab import PROJECT_ROOT
from lab.cli import app
from lab.cli.options import CONTEXT_SETTINGS, common
from lab.core import proc
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode, LabError, UsageError
from lab.guest import environment
from lab.guest.request import KVM, prepare
from lab.kernel.arches import ARCHES
from lab.kernel.pipeline import Kernel, bring_kernel
from lab.kernel.plan import Plan
from lab.kernel.profiles import PROFILES
from lab.runs import rundir
from lab.runs.journal import NAME as JOURNAL

HAND_TARGETS = {"x86_64": ("bzImage", "arch/x86/boot/bzImage")}
"""What a person builds and boots: make target and image, by architecture."""

SOURCE = "kernel/seccomp.c"
SAMPLE_SECONDS = 0.25
RESULT_WORDS = (" PASSED", " FAILED", " SKIPPED", " ERROR")
"""How `pytest -v` ends a test's line."""

MIB = 1 << 20


@dataclass(frozen=True)
class Figure:
    """A measurement beside its goal; ``hand`` None where there is nothing to compare with."""

    name: str
    lab: float
    hand: float | None
    goal: float
    unit: str = "s"

    @property
    def value(self) -> float:
        """What the goal is about: the ratio, or the measurement itself."""
        return self.lab / self.hand if self.hand else self.lab

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.value <= self.goal

    def row(self) -> str:
        """A line of the table."""
        if self.hand is None:
            text = f"{self.lab:8.1f} {self.unit:3} {'':14}        (goal {self.goal:g} {self.unit})"
        else:
            text = (
                f"{self.lab:8.1f} {self.unit:3} by hand {self.hand:6.1f}  ratio {self.value:4.2f}"
                f"  (goal {self.goal:g})"
            )
        return f"{self.name:12} {text}{'' if self.reached else '  MISSED'}"


@dataclass
class Memory:
    """Peak resident memory of the lab's own processes, in bytes: every Python below a process,
    apart from what make starts.
    """

    peak: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        """Sample while inside."""
        thread = threading.Thread(target=self._sample, args=(psutil.Process(pid),), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._stop.clear()

    def _sample(self, top: psutil.Process) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            try:
                total = sum(_own(top))
            except psutil.Error:
                continue
            self.peak = max(self.peak, total)


def _own(process: psutil.Process) -> Iterator[int]:
    """Resident sizes of the lab's own processes from here down."""
    try:
        name = process.name()
        if name == "make" or name.startswith("qemu"):
            return
        if name.startswith(("python", "tox", "lab")):
            yield process.memory_info().rss
        children = process.children()
    except psutil.NoSuchProcess:
        return
    for child in children:
        yield from _own(child)


class Bench:
    """The measurements, on one cache."""

    def __init__(self, session: Session, selection: tuple[str, ...]) -> None:
        """``selection`` is understood by `lab test` and by pytest alike."""
        self._session = session
        self._ui = session.ui
        self._plan = Plan(
            "linux-7.3", False, PROJECT_ROOT / "patches", False, PROFILES[0], ARCHES[0]
        )
        self._selection = selection
        self._memory = Memory()
        self.figures: list[Figure] = []

    def finish(self) -> None:
        """The figure that every measurement has added to."""
        self.figures.append(Figure("memory", self._memory.peak / MIB, None, 300, "MiB"))

    # --- the three measurements -----------------------------------------------------------

    def unchanged(self) -> None:
        """Nothing to do but boot and test."""
        kernel = self._kernel()
        image = self._make_by_hand(kernel, kernel.build.build_dir)[1]
        # Once for the environment and the caches of both sides, then for the clock.
        self._main_job()
        lab = self._main_job()
        hand, _ = self._vng(kernel, image)
        self.figures.append(Figure("unchanged", lab, hand, 1.15))

    def line(self) -> None:
        """One line changed, until the first result."""
        kernel = self._kernel()
        self._make_by_hand(kernel, kernel.build.build_dir)
        with self._changed(kernel, 1):
            lab = self._first_result()
        with self._changed(kernel, 2):
            seconds, image = self._make_by_hand(kernel, kernel.build.build_dir)
            first = self._vng(kernel, image)[1]
        self.figures.append(Figure("line", lab, seconds + first, 0.75))
        self._kernel()

    def cold(self) -> None:
        """A whole run in an empty cache; then make and a guest by hand."""
        # Beside the real cache: the same disk, and not a small /tmp.
        with tempfile.TemporaryDirectory(dir=self._session.cache.root, prefix="cold-") as scratch:
            cold = Cache(Path(scratch) / "cache")
            lab = self._lab_test(cold, env={"CCACHE_DISABLE": "1"})
            kernel = self._kernel(cold)
            out = Path(scratch) / "by-hand"
            out.mkdir()
            (out / ".config").write_bytes((kernel.build.build_dir / ".config").read_bytes())
            seconds, image = self._make_by_hand(kernel, out)
            hand, _ = self._vng(kernel, image)
        self.figures.append(Figure("cold", lab, seconds + hand, 1.15))

    # --- the lab's side -------------------------------------------------------------------

    def _kernel(self, cache: Cache | None = None) -> Kernel:
        session = Session(cache or self._session.cache, self._ui)
        kernel = bring_kernel(session, self._plan)
        if kernel.configured.source.tree.local:
            raise UsageError(
                f"The tree {kernel.configured.source.tree.path} has local changes.",
                hint="The benchmark changes it itself; take them out first.",
            )
        return kernel

    def _main_job(self) -> float:
        """Seconds of the README's command."""
        command = [str(PROJECT_ROOT / "scripts" / "kernel-selftest"), "--quiet"]
        return self._timed([*command, *self._selection], self._session.cache, {})

    def _lab_test(self, cache: Cache, env: dict[str, str]) -> float:
        command = [sys.executable, "-m", "lab", "test", "--quiet", *self._selection]
        return self._timed(command, cache, env)

    def _timed(
        self,
        command: Sequence[str],
        cache: Cache,
        env: dict[str, str],
        until: Callable[[], bool] | None = None,
    ) -> float:
        """Seconds until the command ends, or until ``until`` holds (then it is waited for).

        Raises LabError if its status is neither "passed" nor "a test failed".
        """
        environment = {**env, "SECCOMP_LAB_CACHE": str(cache.root), "PYTHONPATH": str(PROJECT_ROOT)}
        self._ui.say(f"measuring: {shlex.join(command)}")
        reached: float | None = None
        started = time.monotonic()
        with (
            proc.spawn(command, cwd=PROJECT_ROOT, env=environment, stdin=subprocess.DEVNULL) as run,
            self._memory.watch(run.pid),
        ):
            while run.poll() is None:
                if until is not None and reached is None and until():
                    reached = time.monotonic() - started
                time.sleep(0.02)
        seconds = time.monotonic() - started
        if run.returncode not in (ExitCode.PASSED, ExitCode.FAILED):
            raise LabError(f"`{shlex.join(command)}` ended with status {run.returncode}.")
        if until is not None and reached is None:
            raise LabError(f"`{shlex.join(command)}` had no test result.")
        return seconds if reached is None else reached

    def _first_result(self) -> float:
        cache = self._session.cache
        before = set(rundir.known(cache))

        def result() -> bool:
            new = [path for path in rundir.known(cache) if path not in before]
            return any('"event": "result"' in _text(path / JOURNAL) for path in new)

        command = [sys.executable, "-m", "lab", "test", "--quiet", *self._selection]
        return self._timed(command, cache, {}, until=result)

    # --- by hand --------------------------------------------------------------------------

    def _make_by_hand(self, kernel: Kernel, out: Path) -> tuple[float, Path]:
        """Plain make; its seconds and the image."""
        target, image = HAND_TARGETS[self._plan.arch.name]
        toolchain = kernel.configured.toolchain
        tree = kernel.configured.source.tree.path
        command = ["make", "-C", str(tree), f"O={out}", *toolchain.make_args]
        command += [f"-j{os.cpu_count() or 1}", target]
        self._ui.say(f"by hand: {shlex.join(command)}")
        environment = {**toolchain.environment, "CCACHE_DISABLE": "1"}
        environment.pop("PATH", None)
        seconds = proc.run(command, env=environment, log=out / ".by-hand.log").seconds
        return seconds, out / image

    def _vng(self, kernel: Kernel, image: Path) -> tuple[float, float]:
        """A bare guest that runs the suite; seconds until its end and until the first result."""
        profile = self._plan.profile
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-vv"]
        pytest += [*profile.selection, *self._selection]
        variables = {
            **environment.python(self._plan, kernel),
            **environment.facts(self._plan),
            "PYTHONUNBUFFERED": "1",
        }
        # vng's guest has a PATH of its own.
        variables.pop("PATH")
        inner = shlex.join(["env", *(f"{k}={v}" for k, v in variables.items()), *pytest])
        vng = Path(sys.executable).with_name("vng")
        command = [str(vng), "--run", str(image)]
        command += ["--cpus", str(profile.cpus), "--memory", f"{profile.configuration.memory}M"]
        ready = prepare(self._session, self._plan, kernel, self._session.cache.runs / "by-hand")
        if ready.accelerator.name != KVM:
            command.append("--disable-kvm")
        command += ["--", inner]
        self._ui.say(f"by hand: {shlex.join(command)}")
        first: float | None = None
        last = ""
        started = time.monotonic()
        with proc.spawn(
            command,
            cwd=PROJECT_ROOT,
            # vng finds its other half through PATH.
            env={"PATH": f"{vng.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as run:
            assert run.stdout is not None
            for raw in run.stdout:
                line = raw.decode("utf-8", "backslashreplace").rstrip()
                last = line or last
                if first is None and any(word in line for word in RESULT_WORDS):
                    first = time.monotonic() - started
        if first is None:
            raise LabError(f"By hand no test had a result; the last line was: {last}")
        return time.monotonic() - started, first

    @contextmanager
    def _changed(self, kernel: Kernel, number: int) -> Iterator[None]:
        """The source file with one line more."""
        path = kernel.configured.source.tree.path / SOURCE
        original = path.read_bytes()
        path.write_bytes(original + f"static int lab_bench __maybe_unused = {number};\n".encode())
        try:
            yield
        finally:
            path.write_bytes(original)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""


MEASUREMENTS: dict[str, Callable[[Bench], None]] = {
    "unchanged": Bench.unchanged,
    "line": Bench.line,
    "cold": Bench.cold,
}


@click.command(context_settings=CONTEXT_SETTINGS)
@click.argument("what", nargs=-1, type=click.Choice(tuple(MEASUREMENTS)))
@click.option("-k", "expression", metavar="EXPR", help="On both sides, run these tests only.")
@common
def bench(session: Session, what: tuple[str, ...], expression: str | None) -> int:
    """Measure WHAT (default: unchanged and line; cold takes two full builds) and print ratios.

    Ends with 1 if a goal is missed.
    """
    made = Bench(session, ("-k", expression) if expression is not None else ())
    for name in what or ("unchanged", "line"):
        MEASUREMENTS[name](made)
    made.finish()
    for figure in made.figures:
        session.ui.out(figure.row())
    session.ui.out(json.dumps([vars(figure) for figure in made.figures]))
    return ExitCode.PASSED if all(figure.reached for figure in made.figures) else ExitCode.FAILED


if __name__ == "__main__":
    # A command like the others, but for the table: it is about the lab, not about kernels.
    app.COMMANDS["bench-lab"] = "lab.tools.labbench:bench"
    sys.argv[1:1] = ["bench-lab"]
    app.main()
