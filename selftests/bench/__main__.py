# SPDX-License-Identifier: MIT
"""``python -m selftests.bench PLAN EVENTS``: go through a plan, round by round.

The plan is JSON: ``rounds``, and ``tables``, each with a ``name`` and ``rows``. Within a table the
rows take turns, so that what disturbs the machine for a while disturbs all of them. EVENTS gets a
JSON object per line:

    {"event": "guest", "jit": ..., ...}                         once, what the guest is
    {"event": "warm", "row": ID}                                a sample that does not count
    {"event": "sample", "row": ID, "round": N, "value": V}      in the unit of the row's table
    {"event": "unmeasured", "row": ID, "reason": ...}           no further samples of this row
    {"event": "not there", "row": ID, "reason": ...}            likewise, and it is nobody's fault
    {"event": "table", "name": ...}                             begins
    {"event": "end"}
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from selftests.bench.filters import Shelf
from selftests.bench.measure import NotThere, Unmeasured, sample

JIT = Path("/proc/sys/net/core")
KMSG = Path("/dev/kmsg")


def about_the_guest() -> dict[str, Any]:
    """What figures depend on: machine code or not, its hardening, processors, release."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "jit": _setting("bpf_jit_enable"),
        "jit_harden": _setting("bpf_jit_harden"),
        "cpu": model or os.uname().machine,
        "cpus": os.cpu_count(),
        "kernel": os.uname().release,
    }


def _setting(name: str) -> str:
    try:
        return (JIT / name).read_text().strip()
    except OSError:
        return "not there"


class Told:
    """Appends events to a file."""

    def __init__(self, path: str) -> None:
        # Open for as long as the plan takes: each event is flushed.
        self._file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115

    def write(self, event: str, **fields: Any) -> None:
        """One event."""
        self._file.write(json.dumps({"event": event, **fields}) + "\n")
        self._file.flush()


def run_table(table: dict[str, Any], rounds: int, shelf: Shelf, told: Told) -> None:
    """Every row once, then again, for so many rounds and one before that does not count: what runs
    for the first time is slow, most of all under emulation.
    """
    told.write("table", name=table["name"])
    with KMSG.open("w") as log:
        # A splat's test, as selftests/conftest.py has it.
        log.write(f"seccomp-lab: start bench::{table['name']}\n")
    left = {row["id"]: row for row in table["rows"]}
    for number in range(-1, rounds):
        for name, row in list(left.items()):
            try:
                value = sample(row, shelf)
            except (Unmeasured, NotThere) as error:
                kind = "not there" if isinstance(error, NotThere) else "unmeasured"
                told.write(kind, row=name, reason=str(error))
                del left[name]
            else:
                if number < 0:
                    told.write("warm", row=name)
                else:
                    told.write("sample", row=name, round=number, value=value)


def main() -> int:
    """See the module's text."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    told = Told(sys.argv[2])
    told.write("guest", **about_the_guest())
    shelf = Shelf()
    for table in plan["tables"]:
        run_table(table, int(plan["rounds"]), shelf, told)
    told.write("end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
