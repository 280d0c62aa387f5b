# SPDX-License-Identifier: MIT
"""A guest for one command: its streams, its exit status, and what the kernel said meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode
from lab.guest import session as guest_session
from lab.guest.boot import EXITED, LOST, GuestEnd, Listeners
from lab.guest.launch import CONSOLE_LOG, GuestRequest
from lab.guest.script import GuestCommand
from lab.jobs.onecommand import run_command
from lab.kernel import pipeline
from lab.kernel.arches import ARCHES
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile
from lab.runs import rundir
from tests.support import Recorder
from tests.worlds import again, made_kernel, without_kvm

COMMAND = GuestCommand(("true",), Path("/"), {})
ENDED = GuestEnd(EXITED, 7, "The command ended with status 7.", 1.0, 2.0)
GONE = replace(ENDED, outcome=LOST, status=None, detail="The guest was gone.")
QUIET = "[    0.0] Linux version 7.3.4 (toy)\n"
WARNING = QUIET + "[    1.0] WARNING: CPU: 0 PID: 1 at kernel/seccomp.c:3 it+0x1/0x2\n"


@pytest.mark.parametrize(
    ("end", "console", "code", "said"),
    [
        (ENDED, QUIET, 7, ""),
        (ENDED, WARNING, 7, "kernel/seccomp.c:3"),
        (GONE, QUIET, ExitCode.INFRA, "The guest was gone. See "),
        (GONE, WARNING, ExitCode.KERNEL, "kernel/seccomp.c:3"),
    ],
    ids=["ended", "ended_with_a_splat", "gone", "gone_with_a_splat"],
)
def test_a_command_is_passed_on(
    end: GuestEnd,
    console: str,
    code: int,
    said: str,
    cache: Cache,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    without_kvm(monkeypatch)
    monkeypatch.setattr(pipeline, "bring_kernel", lambda *_: made_kernel())

    def run_guest(request: GuestRequest, command: GuestCommand, listeners: Listeners) -> GuestEnd:
        assert command is COMMAND
        (request.run_dir / CONSOLE_LOG).write_text(console)
        listeners.stdout(b"\xffout")
        listeners.stderr(b"err")
        listeners.event("line")
        return end

    monkeypatch.setattr(guest_session, "run_guest", run_guest)
    events: list[str] = []
    session = Session(cache, recorder.ui)
    plan = Plan("linux-7.3", False, Path("/p"), False, find_profile("default"), ARCHES[0])
    found = run_command(session, "boot", plan, again, lambda _: COMMAND, {}, events.append)
    assert found == code
    assert capsysbinary.readouterr() == (b"\xffout", b"err")
    assert events == ["line"]
    assert said in recorder.said
    assert ("WARNING" in recorder.said) is (console is WARNING)
    assert rundir.known(cache) == [], "there is nothing to report"
