# SPDX-License-Identifier: MIT
"""Builds the programs of the suites, out of the tree, with the tree's own headers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab.core import proc
from lab.core.stamp import Stamp
from lab.core.ui import Ui
from lab.jobs.kselftest import test_progs
from lab.jobs.kselftest.suites import Program, Suite
from lab.kernel.pipeline import Kernel
from lab.kernel.userspace import GuestRequest, headers
from lab.source.state import source_digest

SELFTESTS = "tools/testing/selftests"
ERROR = re.compile(
    r"\S+:\d+:(?:\d+:)? (?:fatal )?error: .*|.*cannot find -l.*|.*undefined reference.*"
)
PRINT = "lab-programs: ; @echo $(TEST_GEN_PROGS) $(TEST_PROGS)"


def build_suites(
    kernel: Kernel, request: GuestRequest, suites: Sequence[Suite], ui: Ui
) -> list[Program]:
    """Every program of the suites, built, or with the compiler's first error. The tree stays clean.

    Raises LabError if the tree's headers cannot be made.
    """
    result: list[Program] = []
    for suite in suites:
        ui.say(f"building {SELFTESTS}/{suite.name}")
        build = _build_runner if suite.files else _build_programs
        programs = list(build(kernel, request, suite))
        if any(program.problem for program in programs):
            # What it lacked may be there the next time.
            _stamp(request, suite).remove()
        result += programs
    return result


def _build_programs(kernel: Kernel, request: GuestRequest, suite: Suite) -> Iterator[Program]:
    """A program for each that the suite's Makefile wants run."""
    include = headers(request)
    output, log = _places(request, suite)
    key = source_digest(request.tree, (SELFTESTS, "include/uapi", "arch/x86/include/uapi"))
    # What can be built is, and the rest is told by name.
    command = [*_command(kernel, suite, include, output), "-k", "all"]
    _once(request, suite, key, lambda: proc.run(command, check=False, log=log))
    left_out = dict(suite.leave_out)
    for name in _names(kernel, suite, include, output):
        if name in left_out:
            continue
        path = output / name
        problem = "" if path.is_file() else _first_error(_text(log), name)
        yield Program(suite, name, path if not problem else None, problem)


def _build_runner(kernel: Kernel, request: GuestRequest, suite: Suite) -> Iterator[Program]:
    """A program for each test of the runner."""
    output, log = _places(request, suite)
    key = test_progs.key(request, suite)
    _once(request, suite, key, lambda: test_progs.make(kernel, request, suite, output, log))
    return test_progs.programs(suite, output, _text(log))


def _places(request: GuestRequest, suite: Suite) -> tuple[Path, Path]:
    """Where a suite is built, and the log of that."""
    output = request.build_dir / "kselftest" / suite.name
    return output, output.with_name(f"{suite.name}.log")


def _stamp(request: GuestRequest, suite: Suite) -> Stamp:
    """Says what a suite was built from."""
    return Stamp(_places(request, suite)[0].with_name(f"{suite.name}.json"))


def _once(request: GuestRequest, suite: Suite, key: str, build: Callable[[], object]) -> None:
    """Build into an empty directory, unless that was done for this key."""
    stamp = _stamp(request, suite)
    output, log = _places(request, suite)
    if stamp.read(key) is not None:
        return
    stamp.remove()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    log.unlink(missing_ok=True)
    build()
    stamp.write(key)


def _text(log: Path) -> str:
    return log.read_text(errors="backslashreplace")


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
