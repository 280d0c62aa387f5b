# SPDX-License-Identifier: MIT
"""Temporal specialisation: a server that serves needs less than a server that starts.

One set of system calls until the server says that it is ready by making a certain one (``listen``,
say, or whatever it does once), another set from then on. The step back does not exist.

What an attacker can still do: whatever the set of the phase allows. All tasks under the filter
share the phase: one that begins to serve ends the start for all of them.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness.uapi import NR

NAME = "phases"


def load(
    starting: Iterable[str], serving: Iterable[str], begins: str, error: int = errno.EPERM
) -> Loaded:
    """Allow ``starting`` until the call ``begins`` is made, then ``serving``. Raises KeyError."""
    head = struct.pack("=4I", NR.audit, calls.number(begins), error, 0)
    return Loaded(NAME, head + calls.table(starting) + calls.table(serving))
