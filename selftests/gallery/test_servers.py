# SPDX-License-Identifier: MIT
"""What a server is put under: phases, questions to a supervisor, a limit of its rate."""

from __future__ import annotations

import errno
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from selftests.gallery import calls, notify_sockets, phases, rate_limit
from selftests.harness import child, seccomp
from selftests.harness.patches import proves
from selftests.harness.sys import errno_of, error_of
from selftests.harness.uapi import (
    NR,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_USER_NOTIF_FLAG_CONTINUE,
)

pytestmark = [proves("libbpf"), pytest.mark.usefixtures("state_allowed")]

T = TypeVar("T")


def everything() -> set[str]:
    """All system calls. Asked for in the guest alone: the host collects the tests too."""
    names = (calls.name(number, NR.audit) for number in range(calls.CALLS_MAX))
    return {name for name in names if not name.isdigit()}


@proves("program-type")
def test_a_server_that_serves_has_another_set() -> None:
    """``listen`` ends the start, once and for all, for all processes under the filter."""

    def answers() -> list[int]:
        return [errno_of(NR.getppid), errno_of(NR.getuid)]

    def case() -> list[list[int]]:
        phases.load(everything() - {"getppid"}, everything() - {"getuid"}, "listen").install()
        found = [answers()]
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("")
            server.listen()
            found += [answers(), child.run(answers)]
            server.listen()
        return [*found, answers()]

    starting, serving = [errno.EPERM, 0], [0, errno.EPERM]
    assert child.run(case) == [starting, serving, serving, serving]


def supervised(action: Callable[[], T]) -> tuple[T, int, tuple[int, ...]]:
    """Under the filter with a supervisor that says yes: the action's result, how often the
    supervisor was asked, and the filter's counters.
    """
    listeners: queue.Queue[int] = queue.Queue()
    asked = 0

    def supervisor() -> None:
        nonlocal asked
        listener = listeners.get()
        while True:
            seen = seccomp.receive(listener)
            asked += 1
            seccomp.respond(listener, seen, flags=SECCOMP_USER_NOTIF_FLAG_CONTINUE)

    # Begun before, so not under the filter.
    thread = threading.Thread(target=supervisor, daemon=True)
    thread.start()
    filter_ = notify_sockets.load({socket.AF_INET}, {socket.AF_UNIX})
    listeners.put(filter_.install(SECCOMP_FILTER_FLAG_NEW_LISTENER))
    return action(), asked, filter_.counters()


@proves("program-type")
def test_the_supervisor_is_asked_about_internet_sockets_only() -> None:
    """The filter itself allows and refuses the others."""

    def opens(family: int) -> int:
        return error_of(lambda: socket.socket(family, socket.SOCK_DGRAM).close())

    def case() -> tuple[list[int], int, tuple[int, ...]]:
        families = [socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK, socket.AF_UNIX, 70]
        return supervised(lambda: [opens(family) for family in families])

    results, asked, counters = child.run(case)
    assert results == [0, 0, errno.EAFNOSUPPORT, 0, errno.EAFNOSUPPORT]
    assert asked == 1
    assert counters == (4, 1, 2)


def tries(number: int) -> list[int]:
    """So many limited calls; their answers."""
    return [errno_of(NR.getppid) for _ in range(number)]


@proves("program-type", "null-task", "task-storage")
def test_a_process_has_so_many_calls_in_an_interval() -> None:
    """Then EAGAIN, until the interval is over; other calls are not limited."""

    def case() -> tuple[list[int], int, list[int]]:
        rate_limit.load(["getppid"], limit=3, interval=0.5).install()
        first = tries(5)
        other = errno_of(NR.getuid)
        time.sleep(0.6)
        return first, other, tries(4)

    first, other, later = child.run(case)
    assert first[:3] == [0, 0, 0]
    assert first[3:] == [errno.EAGAIN, errno.EAGAIN]
    assert other == 0
    assert later == [0, 0, 0, errno.EAGAIN]


@proves("program-type", "null-task", "task-storage")
def test_threads_share_a_limit_and_children_do_not() -> None:
    """A limit for each process."""

    def case() -> tuple[list[int], list[int], list[int]]:
        rate_limit.load(["getppid"], limit=3, interval=3600).install()
        first = tries(2)
        in_thread: list[int] = []
        thread = threading.Thread(target=lambda: in_thread.extend(tries(2)))
        thread.start()
        thread.join()
        return first, in_thread, child.run(lambda: tries(4))

    first, in_thread, in_child = child.run(case)
    assert first == [0, 0]
    assert in_thread == [0, errno.EAGAIN]
    assert in_child == [0, 0, 0, errno.EAGAIN]


@proves("program-type")
def test_a_name_that_no_architecture_has_is_refused() -> None:
    """A misspelt set must not be a smaller set."""
    with pytest.raises(KeyError):
        calls.table(["getpid", "getpit"])
    assert calls.name(calls.number("openat"), NR.audit) == "openat"
