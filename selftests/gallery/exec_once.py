# SPDX-License-Identifier: MIT
"""Exec only once: a launcher's command runs, and nothing that it starts runs anything else.

The launcher puts the filter on, then executes the command: that is the one execution. Whatever
the command forks is under the same filter and the same count.

What an attacker can still do: everything that needs no execution. He can map and run code
himself, talk to a server that executes for him, or, before the budget is spent, spend it on
something else. A try that fails (no such file) is counted too, since the filter sees the call and
not its end. Who has the object's descriptors can write the count; they are to be closed before
the command runs.
"""

from __future__ import annotations

import errno
import struct

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness.uapi import NR

NAME = "exec_once"


def load(budget: int = 1, error: int = errno.EPERM) -> Loaded:
    """Allow ``budget`` executions in all, then answer with ``error``."""
    execve, execveat = calls.number("execve"), calls.number("execveat")
    return Loaded(NAME, struct.pack("=5I", NR.audit, execve, execveat, budget, error))
