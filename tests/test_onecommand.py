# SPDX-License-Identifier: MIT
"""A guest for one command: its streams, its exit status, and what the kernel said meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode
from lab.guest.boot import CONSOLE_LOG, EXITED, LOST, GuestEnd, Listeners
from lab.guest.script import GuestCommand
from lab.jobs import onecommand
from tests.support import Recorder
from tests.test_boot import request

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
    ids=["ended", "ended_and_the_kernel_spoke", "gone", "gone_and_the_kernel_spoke"],
)
def test_a_command_is_passed_on(
    end: GuestEnd,
    console: str,
    code: int,
    said: str,
    cache: Cache,
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    def run_guest(_: Any, command: GuestCommand, listeners: Listeners) -> GuestEnd:
        assert command is COMMAND
        (tmp_path / CONSOLE_LOG).write_text(console)
        listeners.stdout(b"\xffout")
        listeners.stderr(b"err")
        listeners.event("line")
        return end

    monkeypatch.setattr(onecommand, "run_guest", run_guest)
    events: list[str] = []
    session = Session(cache, recorder.ui)
    assert onecommand.perform(session, request(tmp_path), COMMAND, events.append) == code
    assert capsysbinary.readouterr() == (b"\xffout", b"err")
    assert events == ["line"]
    assert said in recorder.said if said else recorder.said == ""
