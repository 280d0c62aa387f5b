# SPDX-License-Identifier: MIT
"""Filter after exec: what the launcher needs to start a command is not taken from it.

A classic filter that refuses, say, ``setuid`` or ``mount`` has to be installed after the last use
of them, and before ``execve``, which the launcher then needs as well. Here the set is refused
from the first execution on, and the filter can be put on first of all.

What an attacker can still do: everything that is not in the set. Before the first execution
nothing is refused, so the launcher has to be trusted. The execution that begins it need not
succeed.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness.uapi import NR

NAME = "after_exec"


def load(refused: Iterable[str], error: int = errno.EPERM) -> Loaded:
    """Refuse system calls by name, from the first execution on. Raises KeyError."""
    execve, execveat = calls.number("execve"), calls.number("execveat")
    head = struct.pack("=4I", NR.audit, execve, execveat, error)
    return Loaded(NAME, head + calls.table(refused))
