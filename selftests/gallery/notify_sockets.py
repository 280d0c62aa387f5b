"""Notifier, accelerated: the supervisor is asked about what it has to decide, and nothing else.

A notification costs two switches of tasks and more. Here the filter answers for each family of
sockets that needs no question: some are allowed, others refused, and the supervisor sees, say,
internet sockets alone.

What an attacker can still do: what the supervisor allows. The family is an argument in a register
and cannot change after the filter saw it. Sockets that he inherits or receives need no call, and
io_uring makes them without one: it has to be refused as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from socket import AddressFamily

from selftests.gallery import calls
from selftests.gallery.loaded import Loaded
from selftests.harness.uapi import NR

NAME = "notify_sockets"


def load(asked: Iterable[AddressFamily], allowed: Iterable[AddressFamily]) -> Loaded:
    """Ask about sockets of some families, allow others, refuse the rest with EAFNOSUPPORT.

    It has to be installed with SECCOMP_FILTER_FLAG_NEW_LISTENER.
    """
    socket = calls.number("socket")
    return Loaded(NAME, struct.pack("=IIQQ", NR.audit, socket, _bits(allowed), _bits(asked)))


def _bits(families: Iterable[AddressFamily]) -> int:
    return sum(1 << family for family in set(families))
