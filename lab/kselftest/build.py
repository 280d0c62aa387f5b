"""Builds the programs of the suites, out of the tree, with the tree's own headers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import proc
from lab.cache import atomic_write
from lab.kselftest.suites import Suite
from lab.pipeline import Kernel
from lab.source_state import source_digest
from lab.ui import Ui
from lab.userspace import GuestRequest, headers

SELFTESTS = "tools/testing/selftests"
ERROR = re.compile(
    r"\S+:\d+:(?:\d+:)? (?:fatal )?error: .*|.*cannot find -l.*|.*undefined reference.*"
)
PRINT = "lab-programs: ; @echo $(TEST_GEN_PROGS) $(TEST_PROGS)"


@dataclass(frozen=True)
class Program:
    """A program of a suite. ``path`` is None if it could not be built; ``problem`` says why."""

    suite: Suite
    name: str
    path: Path | None
    problem: str = ""

    @property
    def id(self) -> str:
        """How results are named: suite/program."""
        return f"{self.suite.name}/{self.name}"


def build_suites(
    kernel: Kernel, request: GuestRequest, suites: Sequence[Suite], ui: Ui
) -> list[Program]:
    """Every program of the suites, built, or with the compiler's first error. The tree stays clean.

    Raises LabError if the tree's headers cannot be made.
    """
    include = headers(request)
    result = []
    for suite in suites:
        output = request.build_dir / "kselftest" / suite.name
        ui.say(f"building {SELFTESTS}/{suite.name}")
        log = _make(kernel, suite, include, output)
        left_out = dict(suite.leave_out)
        for name in _names(kernel, suite, include, output):
            if name in left_out:
                continue
            path = output / name
            problem = "" if path.is_file() else _first_error(log, name)
            result.append(Program(suite, name, path if not problem else None, problem))
    return result


def _make(kernel: Kernel, suite: Suite, include: Path, output: Path) -> str:
    source = kernel.configured.source.tree
    stamp = output.parent / f"{suite.name}.key"
    log = output.parent / f"{suite.name}.log"
    key = source_digest(source, (SELFTESTS, "include/uapi", "arch/x86/include/uapi"))
    if stamp.is_file() and stamp.read_text() == key:
        return log.read_text(errors="backslashreplace")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    log.unlink(missing_ok=True)
    # What can be built is, and the rest is told by name.
    done = proc.run([*_command(kernel, suite, include, output), "-k", "all"], check=False, log=log)
    atomic_write(stamp, key)
    return done.stdout + log.read_text(errors="backslashreplace")


def _command(kernel: Kernel, suite: Suite, include: Path, output: Path) -> list[str]:
    directory = kernel.configured.source.tree.path / SELFTESTS / suite.name
    return [
        *("make", "-C", str(directory), f"OUTPUT={output}"),
        f"KHDR_INCLUDES=-isystem {include}",
        # syscall_user_dispatch has a name of its own for the same.
        f"LINUX_HDR_PATH={include}",
    ]


def _names(kernel: Kernel, suite: Suite, include: Path, output: Path) -> list[str]:
    """The programs that the suite's Makefile wants run, as make sees them."""
    command = [*_command(kernel, suite, include, output), "-s", "--eval", PRINT, "lab-programs"]
    return [Path(word).name for word in proc.run(command).stdout.split()]


def _first_error(log: str, name: str) -> str:
    for line in log.splitlines():
        if ERROR.match(line) and (f"{name}.c" in line or "cannot find" in line):
            return line.strip()
    return "it was not built; see the log of the build"
