# SPDX-License-Identifier: MIT
"""One sample of a row: a process of native/bench.c, and what it prints.

A row is a dictionary of the plan: ``mode`` names a function here; ``filter``, ``workload``,
``calls``, ``threads``, ``copies``, ``refused`` (how many of the calls have to be) and ``length``
are what the mode wants of them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selftests.bench.filters import Shelf
from selftests.harness.objects import guest_file

TIMEOUT = 300.0
"""Seconds for one sample: far more than any takes, so that one that hangs is a row without one."""

NOT_HERE = 77
"""native/bench/trace.h: the architecture has no such measurement."""

LINES = 3

Row = dict[str, Any]


class Unmeasured(Exception):
    """There is no sample of the row; the message says why."""


class NotThere(Exception):
    """Nor can there be: a tool that nobody has to have, or another architecture."""


def run(arguments: Sequence[object], descriptors: Sequence[int] = (), *, before: Sequence[str] = ()
        ) -> dict[str, int]:  # fmt: skip
    """The numbers that native/bench.c prints. Raises Unmeasured with its words, NotThere.

    ``before`` is a command that runs it.
    """
    command = [*before, str(guest_file("bench")), *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            pass_fds=tuple(descriptors),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unmeasured(f"it was not done in {TIMEOUT:g} s") from None
    said = " | ".join(done.stderr.decode(errors="backslashreplace").strip().splitlines()[-LINES:])
    if done.returncode == NOT_HERE:
        raise NotThere(said)
    if done.returncode != 0:
        raise Unmeasured(f"{Path(command[0]).name} ended with {done.returncode}: {said}")
    return numbers(done.stdout.decode(errors="backslashreplace"))


def numbers(text: str) -> dict[str, int]:
    """``NAME=NUMBER`` words; others are passed over."""
    found = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if name and value.lstrip("-").isdigit():
            found[name] = int(value)
    return found


def _figure(found: dict[str, int], name: str) -> int:
    if name not in found:
        raise Unmeasured(f"it printed no {name}: {found}")
    return found[name]


def _per_call(row: Row, found: dict[str, int]) -> float:
    """ns per call, once the filter is seen to have done what it is for."""
    took, refused = _figure(found, "ns"), _figure(found, "refused")
    if refused != row["refused"]:
        raise Unmeasured(
            f"{refused} of {row['calls']} calls were refused instead of {row['refused']}"
        )
    return took / int(row["calls"])


def _calls(row: Row, shelf: Shelf) -> float:
    argv = ["calls", row["workload"], row["calls"], row["threads"], row["copies"]]
    descriptors: tuple[int, ...] = ()
    if row["filter"]:
        filter_, descriptors = shelf.take(row["filter"])
        argv.append(filter_)
    return _per_call(row, run(argv, descriptors))


def _notify(row: Row, shelf: Shelf) -> float:
    filter_, descriptors = shelf.take(row["filter"])
    sync = int(row["mode"] == "notify-sync")
    argv = ("notify", row["workload"], row["calls"], sync, filter_)
    return _per_call(row, run(argv, descriptors))


def _trace(row: Row, shelf: Shelf) -> float:
    filter_, descriptors = shelf.take(row["filter"])
    return _per_call(row, run(("trace", row["calls"], filter_), descriptors))


def _load(row: Row, shelf: Shelf) -> float:  # noqa: ARG001
    return float(_figure(run(("load", row["length"])), "ns"))


def _attach(row: Row, shelf: Shelf) -> float:
    filter_, descriptors = shelf.take(row["filter"])
    return float(_figure(run(("attach", filter_), descriptors), "ns"))


def _memory(row: Row, shelf: Shelf) -> float:
    filter_, descriptors = shelf.take(row["filter"])
    grown = _figure(run(("memory", row["copies"], filter_), descriptors), "bytes")
    if grown <= 0:
        # A filter takes memory: something else has given back more meanwhile.
        raise Unmeasured(f"{row['copies']} filters took {grown} bytes")
    return grown / int(row["copies"])


# --- who opens what -------------------------------------------------------------------------

LOG = "/tmp/seccomp-bench.log"
"""In the guest's memory: what is measured is the telling, not a disk."""

OPENED = "/dev/null"
"""As native/bench/workloads.h has it."""


def _open(row: Row) -> tuple[object, ...]:
    return ("calls", "open", row["calls"], 1, 0)


ATTEMPTS = 3
"""A reader that the host leaves without a processor for a while does not keep up."""


def _logged(row: Row, shelf: Shelf) -> float:  # noqa: ARG001
    from selftests.gallery import opened_files

    calls, lost = int(row["calls"]), 0
    for _ in range(ATTEMPTS):
        with opened_files.load() as filter_:
            ring = filter_.ring()
            argv = ("logged", calls, ring.fd, LOG, f"ebpf:{filter_.prog.fd}")
            found = run(argv, (ring.fd, filter_.prog.fd))
            told, lost = _figure(found, "records"), filter_.counters()[0]
        if told + lost != calls:
            raise Unmeasured(f"{told} opens were told and {lost} lost, of {calls}")
        if not lost:
            return _per_call(row, found)
    raise Unmeasured(f"{lost} of {calls} opens were lost: the reader did not keep up")


def _strace(row: Row, shelf: Shelf) -> float:  # noqa: ARG001
    path = shutil.which("strace")
    if path is None:
        raise NotThere("not there: strace")
    options = ["-f", "-e", "trace=openat", "-o", LOG]
    options += ["--seccomp-bpf"] if row["mode"] == "strace-bpf" else []
    Path(LOG).unlink(missing_ok=True)
    found = run(_open(row), before=(path, *options))
    try:
        text = Path(LOG).read_text(encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise Unmeasured(f"strace wrote no log: {error.strerror}") from None
    told = sum(OPENED in line for line in text.splitlines())
    if told < row["calls"]:
        raise Unmeasured(f"strace told {told} opens of {row['calls']}")
    return _per_call(row, found)


MODES: dict[str, Callable[[Row, Shelf], float]] = {
    "calls": _calls,
    "notify": _notify,
    "notify-sync": _notify,
    "trace": _trace,
    "load": _load,
    "attach": _attach,
    "memory": _memory,
    "logged": _logged,
    "strace": _strace,
    "strace-bpf": _strace,
}


def sample(row: Row, shelf: Shelf) -> float:
    """The figure, in the unit of the row's table. Raises Unmeasured or NotThere."""
    try:
        return MODES[row["mode"]](row, shelf)
    except OSError as error:
        raise Unmeasured(str(error).strip()) from error
