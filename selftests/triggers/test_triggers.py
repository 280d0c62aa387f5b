# SPDX-License-Identifier: MIT
"""The kernel misbehaves on purpose: `lab splat-gate` wants to see each of these noticed.

A test here passes: that its run must not, is the console's doing. drivers/misc/lkdtm/ makes most of
what is wanted, on a write to debugfs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from selftests.harness import child, privileges
from selftests.harness.mounts import debugfs
from selftests.harness.patches import proves

pytestmark = proves("program-type")


def provoke(name: str) -> None:
    """Have LKDTM do it, here and now."""
    with debugfs() as directory:
        (directory / "provoke-crash" / "DIRECT").write_text(name)


def test_warning() -> None:
    """WARN_ON()."""
    provoke("WARNING")


def test_kasan() -> None:
    """A read of freed memory."""
    provoke("READ_AFTER_FREE")


def test_ubsan() -> None:
    """An index beyond an array."""
    provoke("ARRAY_BOUNDS")


def test_lockdep() -> None:
    """A task returns to user space with a spinlock held. It is killed: it cannot go on."""
    child.wait(lambda: provoke("SPINLOCKUP"))


def test_hung_task() -> None:
    """A task sleeps and nobody can wake it."""
    privileges.set_sysctl("kernel/hung_task_timeout_secs", 2)
    pid = os.fork()
    if pid == 0:
        provoke("HUNG_TASK")
    time.sleep(8)
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"


def test_oops() -> None:
    """A null pointer is followed; the kernel is told to panic then."""
    provoke("EXCEPTION")


def test_panic() -> None:
    """panic()."""
    provoke("PANIC")
