# SPDX-License-Identifier: MIT
"""External commands: what they say is kept, and none outlives the lab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.core.proc import CommandError, end_group, group_alive, run, spawn
from lab.errors import LabError

CHILD = """
import sys
from lab.core.proc import run
run(["sh", "-c", "sleep 300 & echo $! > " + sys.argv[1] + "; echo $$ >> " + sys.argv[1] + "; wait"])
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: object, seconds: float = 30.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_output_is_captured_apart() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2"])
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 0)


def test_failure_names_command_status_and_tail() -> None:
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "seq 1 100 >&2; exit 3"])
    message = caught.value.message
    assert "ended with status 3" in message
    assert message.splitlines()[-1] == "  100"
    assert "\n  80\n" not in message
    assert caught.value.completed.stderr.startswith("1\n")


def test_unknown_command_is_a_lab_error() -> None:
    with pytest.raises(LabError, match="no such command"):
        run(["no-such-command-here"])


def test_missing_directory_is_not_taken_for_a_missing_command(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no directory"):
        run(["true"], cwd=tmp_path / "absent")


def test_lines_come_as_they_are_written_and_go_to_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "logs" / "log"
    run(["sh", "-c", "echo a; echo b >&2; printf 'c\\377'"], log=log, on_line=lines.append)
    assert lines == ["a", "b", "c\\xff"]
    assert log.read_bytes() == b"a\nb\nc\xff"


def test_input_larger_than_a_pipe_is_fed_while_reading(tmp_path: Path) -> None:
    data = b"x" * 1_000_000 + b"\n"
    lines: list[str] = []
    run(["cat"], input=data, on_line=lines.append, log=tmp_path / "log")
    assert len(lines[0]) == 1_000_000
    assert run(["cat"], input=data).stdout == data.decode()


def test_environment_is_laid_over_and_none_unsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "1")
    done = run(["sh", "-c", "echo ${OLD-unset} $NEW"], env={"OLD": None, "NEW": "2"})
    assert done.stdout == "unset 2\n"


def test_timeout_ends_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with pytest.raises(LabError, match="not done after"):
        run(["sh", "-c", f"sleep 300 & echo $! > {note}; wait"], timeout=0.3)
    assert wait_for(lambda: not alive(int(note.read_text())))


def test_exception_inside_spawn_ends_children_of_children(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 300 & echo $! > {note}; wait"]
    with pytest.raises(KeyboardInterrupt), spawn(command):  # noqa: PT012
        assert wait_for(lambda: note.exists() and note.read_text())
        raise KeyboardInterrupt
    assert wait_for(lambda: not alive(int(note.read_text())))


def test_group_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.core.proc.GRACE_SECONDS", 0.2)
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    with spawn(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        end_group(process.pid, process.poll)
        assert not group_alive(process.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_lab_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    note = tmp_path / "pids"
    lab = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(note)], stderr=subprocess.DEVNULL, env=os.environ
    )
    assert wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    pids = [int(pid) for pid in note.read_text().split()]
    lab.send_signal(number)
    lab.wait(timeout=10)
    assert wait_for(lambda: not any(alive(pid) for pid in pids))


def test_command_is_watched_before_it_runs(tmp_path: Path) -> None:
    """A lab that is killed while it starts a command never got to say that it had started one."""
    note = tmp_path / "pid"
    script = f"""
import os, signal, subprocess
from lab.core.proc import run
real = subprocess.Popen._execute_child
def killed(self, args, *rest):
    real(self, args, *rest)
    if "sh" in args:
        while not os.path.exists({str(note)!r}):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
subprocess.Popen._execute_child = killed
run(["sh", "-c", "echo $$ > {note}.new; mv {note}.new {note}; sleep 300"])
"""
    lab = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert lab.returncode == -signal.SIGKILL
    assert wait_for(lambda: not alive(int(note.read_text())))
