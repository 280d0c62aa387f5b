# SPDX-License-Identifier: MIT
"""Notifier, accelerated: the supervisor is asked about what it has to decide, and nothing else.

A notification costs two switches of tasks and more. Here the filter answers for each family of
sockets that needs no question: some are allowed, others refused, and the supervisor sees, say,
internet sockets alone.

What an attacker can still do: what the supervisor allows. The family is an argument in a register
and cannot change after the filter saw it. Sockets that he inherits or receives need no call, and
io_uring makes them without one: it has to be refused as well.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from socket import AddressFamily

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness import seccomp
from selftests.harness.uapi import NR, SECCOMP_USER_NOTIF_FLAG_CONTINUE

NAME = "notify_sockets"


@dataclass(frozen=True)
class Decision:
    """What the supervisor answered: CLOCK_MONOTONIC in ns, the thread that asked, socket(2)'s
    arguments, and an errno, 0 if it may.
    """

    time: int
    tid: int
    family: int
    type: int
    protocol: int
    error: int


def load(asked: Iterable[AddressFamily], allowed: Iterable[AddressFamily]) -> Loaded:
    """Ask about sockets of some families, allow others, refuse the rest with EAFNOSUPPORT.

    It has to be installed with SECCOMP_FILTER_FLAG_NEW_LISTENER.
    """
    socket = calls.number("socket")
    return Loaded(NAME, struct.pack("=IIQQ", NR.audit, socket, _bits(allowed), _bits(asked)))


def _bits(families: Iterable[AddressFamily]) -> int:
    return sum(1 << family for family in set(families))


def decide(listener: int, answer: int) -> Decision | None:
    """Answer the next question with an errno, 0 to let the call be made; None if who asked is gone.

    Waits for a question. Raises OSError.
    """
    try:
        seen = seccomp.receive(listener)
        # The family cannot change after it was seen, so that the call itself may be made.
        flags = 0 if answer else SECCOMP_USER_NOTIF_FLAG_CONTINUE
        seccomp.respond(listener, seen, error=answer, flags=flags)
    except OSError as failure:
        if failure.errno != errno.ENOENT:
            raise
        return None
    # The kernel takes three ints.
    family, kind, protocol = (argument & 0xFFFFFFFF for argument in seen.args[:3])
    return Decision(time.monotonic_ns(), seen.pid, family, kind, protocol, answer)
