# SPDX-License-Identifier: MIT
"""How the suite runs in the guest: features, events for the lab, order, time limits, the table.

Environment: ``SECCOMP_LAB_KERNEL`` is ``series`` (default) or ``base``; ``SECCOMP_LAB_EVENTS``
names a file that gets one JSON object per line; ``SECCOMP_LAB_GUEST`` is what the lab built for
the guest; ``SECCOMP_LAB_LACKS`` names, with commas, what this guest may lack;
``SECCOMP_LAB_ALSO`` names directories that are otherwise left out; ``SECCOMP_LAB_SERIES`` is what
patches there are (harness/series.py), and ``SECCOMP_LAB_APPLIED`` how many of them the kernel has,
if not all: a test that proves a later one too is left out, and one that proves none after
``SECCOMP_LAB_SINCE``, on a kernel that is what it was then;
``SECCOMP_LAB_SLOWNESS`` is how many times longer than with the default kernel things may take;
``SECCOMP_LAB_LIMIT`` is the time for one test, in seconds, else 90 times that.

On the series a missing feature fails a test. On the base it is what the test is expected to report:
such a test counts as *absent*, shown as skipped by pytest, and one that passes is a fault. Where
the series is ``off`` nobody looks for features: what runs there proves that nothing has changed.

A test is skipped only if the guest lacks what its profile or its base says that it lacks.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from selftests.harness import child, features, mounts, objects, patches, series, uapi
from selftests.harness.lacks import LACKS, Absent, Lacks
from selftests.harness.privileges import PTRACE_SCOPE, UNPRIVILEGED_BPF, sysctl
from selftests.harness.sys import prctl

SERIES, BASE, OFF = "series", "base", "off"
KERNEL = os.environ.get("SECCOMP_LAB_KERNEL", SERIES)
LIMIT = round(float(os.environ.get("SECCOMP_LAB_LIMIT", 90 * child.SLOWNESS)))
"""Seconds for one test, under emulation on a busy machine."""

ALSO = frozenset(os.environ.get("SECCOMP_LAB_ALSO", "").split(","))
collect_ignore = sorted({"off", "debug", "triggers"} - ALSO)
"""For kernels of their own: collected where they are named, or among the others by ALSO (pytest
drops a directory that is named beside the one above it).
"""

MARKERS = (
    "proves(*names): the patches of the series that the test proves",
    "irrevocable(order): changes what only a reboot changes back; runs last, in this order",
)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run where the suite would do harm."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if KERNEL not in (SERIES, BASE, OFF):
        pytest.exit(f"SECCOMP_LAB_KERNEL is {KERNEL!r}, not {SERIES}, {BASE} or {OFF}", 2)
    if config.option.collectonly:
        return
    if os.geteuid() != 0:
        pytest.exit(
            "the suite changes users and sysctls: run it as root in a guest (`lab test`)", 2
        )
    _let_everybody_read_the_guest_files()
    prctl(uapi.PR_SET_CHILD_SUBREAPER, 1)
    guest = "virtme" in Path("/proc/cmdline").read_text()
    if not guest and os.environ.get("SECCOMP_LAB_HOST") != "yes":
        pytest.exit(
            "the suite sets sysctls that only a reboot resets, and this is no guest: use `lab"
            " test`, or set SECCOMP_LAB_HOST=yes",
            2,
        )


def _bury_orphans() -> None:
    """What a case has started and not waited for comes to this process: virtme-ng's init leaves
    zombies as they are, and those keep their namespaces.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _let_everybody_read_the_guest_files() -> None:
    """What the lab built can be in a home directory, and some cases are ordinary users."""
    built = os.environ.get(objects.ENVIRONMENT)
    if not built or not Path(built).is_dir():
        return
    copy = Path(tempfile.mkdtemp(prefix="seccomp-lab-"))
    shutil.copytree(built, copy, dirs_exist_ok=True)
    copy.chmod(0o755)
    os.environ[objects.ENVIRONMENT] = str(copy)


class Events:
    """Appends what happens to the lab's event file, and test names to the kernel log."""

    def __init__(self, path: str | None) -> None:
        # Open for as long as the suite runs: each event is flushed.
        self._file = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115
        try:
            self._kmsg: int | None = os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._kmsg = None

    def write(self, event: str, **fields: Any) -> None:
        """One event."""
        if self._file:
            self._file.write(json.dumps({"event": event, **fields}) + "\n")
            self._file.flush()

    def kernel_log(self, text: str) -> None:
        """A line on the console, so that a splat there has a test's name above it."""
        if self._kmsg is not None:
            os.write(self._kmsg, f"seccomp-lab: {text}\n".encode())


EVENTS = Events(os.environ.get("SECCOMP_LAB_EVENTS"))


def _order(item: pytest.Item) -> int:
    marker = item.get_closest_marker("irrevocable")
    return 0 if marker is None else int(marker.args[0])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test names its patches; what cannot be undone comes last."""
    unnamed = [item.nodeid for item in items if not patches.proved_by(item)]
    if unnamed:
        raise pytest.UsageError(f"tests without @proves(...): {unnamed}")
    wanted = [item for item in items if _asked(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = sorted(wanted, key=_order)


def _asked(item: pytest.Item) -> bool:
    return series.asks(patch.file for patch in patches.proved_by(item))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell the lab what is going to run (after -k has chosen)."""
    EVENTS.write("collected", tests=[_collected(item) for item in session.items])


def _collected(item: pytest.Item) -> dict[str, Any]:
    proved = patches.proved_by(item)
    return {
        "id": item.nodeid,
        "patches": [patch.number for patch in proved if patch.number is not None],
        "proves": [patch.name for patch in proved],
        "doc": _first_line(item),
    }


def _first_line(item: pytest.Item) -> str:
    doc = (getattr(getattr(item, "function", None), "__doc__", None) or "").strip()
    return str(doc).split("\n", 1)[0]


@pytest.fixture(autouse=True)
def _feature_is_there(request: pytest.FixtureRequest) -> None:
    if KERNEL == OFF:
        return
    for patch in patches.proved_by(request.node):
        try:
            reason = features.why_absent(patch.probe)
        except Lacks as lacks:
            _lacking(lacks)
        if reason is not None:
            _absent(f"{patch.name}: {reason}")


@pytest.fixture
def state_allowed() -> Iterator[None]:
    """No LSM takes part: Yama, where it is, denies nothing."""
    with sysctl(PTRACE_SCOPE, 1):
        yield


@pytest.fixture
def everybody_may_load(state_allowed: None) -> Iterator[None]:  # noqa: ARG001
    """Ordinary users load programs, and have state."""
    with sysctl(UNPRIVILEGED_BPF, 0):
        yield


@pytest.fixture
def bpffs_for_all() -> Iterator[Path]:
    """A bpffs that everybody can pin in."""
    with mounts.bpffs(0o777) as place:
        yield place


def _lacking(lacks: Lacks) -> NoReturn:
    if lacks.what in LACKS:
        pytest.skip(f"this guest lacks {lacks}")
    pytest.fail(f"this guest should not lack {lacks}", pytrace=False)


def _absent(reason: str) -> None:
    if KERNEL == BASE:
        pytest.skip(f"absent: {reason}")
    pytest.fail(f"the kernel lacks a feature of the series: {reason}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:  # noqa: ARG001
    """Turn an Absent that a test meets itself into the outcome that it stands for."""
    try:
        return (yield)
    except Absent as absent:
        return _absent(str(absent))
    except Lacks as lacks:
        _lacking(lacks)


def _too_long(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise TimeoutError(f"the test took more than {LIMIT} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:  # noqa: ARG001
    """Announce the test, and bound its time."""
    EVENTS.write("start", id=item.nodeid, time=time.time())
    EVENTS.kernel_log(f"start {item.nodeid}")
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        _bury_orphans()


OUTCOMES: dict[str, tuple[str, float, str]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Merge setup, call and teardown into one result."""
    outcome, seconds, message = OUTCOMES.get(report.nodeid, ("passed", 0.0, ""))
    seconds += report.duration
    if report.failed:
        outcome, message = "failed", report.longreprtext
    elif report.skipped and outcome != "failed":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        message = reason.removeprefix("Skipped: ")
        outcome = "absent" if message.startswith("absent: ") else "skipped"
    OUTCOMES[report.nodeid] = (outcome, seconds, message)
    if report.when == "teardown":
        EVENTS.write(
            "result", id=report.nodeid, outcome=outcome, seconds=seconds, message=message[-20000:]
        )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Patch by patch, how many tests prove it, and how they ended."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for item_id, (outcome, _, _) in OUTCOMES.items():
        for name in PROVED.get(item_id, ()):
            table[name][outcome] += 1
    terminalreporter.section("what was proved")
    for patch in patches.in_order():
        counts = ", ".join(f"{count} {name}" for name, count in sorted(table[patch.name].items()))
        terminalreporter.write_line(_row(patch, counts or "no test"))


def _row(patch: patches.Patch, counts: str) -> str:
    where = f"patch {patch.number:2}" if patch.number else "not in this series"
    return f"{where}  {patch.name:15}  {patch.title:39}  {counts}"


PROVED: dict[str, list[str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Remember which patches the test is about, for the table; a fixture may meet a lack too."""
    PROVED[item.nodeid] = [patch.name for patch in patches.proved_by(item)]
    try:
        return (yield)
    except Lacks as lacks:
        _lacking(lacks)


def pytest_sessionfinish(exitstatus: int) -> None:
    """The last event."""
    EVENTS.write("end", exit=int(exitstatus))
