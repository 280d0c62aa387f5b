# SPDX-License-Identifier: MIT
"""Guests without a kernel: a fake launcher plays what QEMU would do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lab.core.deadline import Limits
from lab.guest import boot, launch
from lab.guest.boot import GuestEnd, Listeners, run_guest
from lab.guest.launch import GuestRequest, virtme_command
from lab.guest.script import GuestCommand, script, write_shims
from lab.kernel.arches import ARCHES
from tests.fakes import launcher

COMMAND = GuestCommand(("true",), Path("/"), {})
Steps = list[tuple[str, object]]
GOOD: Steps = [("on", 0), ("status", 7), ("console.log", "[ 1.0] Power down\n")]


@dataclass
class Heard:
    events: list[str] = field(default_factory=list)
    stdout: bytes = b""
    stderr: bytes = b""

    def out(self, data: bytes) -> None:
        self.stdout += data

    def err(self, data: bytes) -> None:
        self.stderr += data

    def listeners(self) -> Listeners:
        return Listeners(event=self.events.append, stdout=self.out, stderr=self.err)


def request(tmp_path: Path, **limits: float) -> GuestRequest:
    bounds = Limits(silence=20, boot=20, total=60).override(limits)
    return GuestRequest(
        tmp_path / "vmlinux", ARCHES[0], "tcg", 2, 512, ("quiet",), tmp_path, "lab-x", bounds
    )


def play(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: Steps,
    heard: Heard | None = None,
    limits: dict[str, float] | None = None,
) -> GuestEnd:
    monkeypatch.setattr(boot, "virtme_command", lambda *_, **__: launcher(tmp_path, steps))
    listeners = heard.listeners() if heard else None
    return run_guest(request(tmp_path, **(limits or {})), COMMAND, listeners)


def test_the_commands_status_comes_by_the_labs_own_marker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = play(tmp_path, monkeypatch, [*GOOD, ("exit", 255)])
    assert (end.outcome, end.status) == ("exited", 7)
    assert end.boot_seconds is not None


def test_an_exit_status_of_the_launcher_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = play(tmp_path, monkeypatch, [("on", 0), ("exit", 0)])
    assert (end.outcome, end.status) == ("lost", None)
    assert "while its command ran" in end.detail


def test_the_three_streams_and_the_events_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    steps: Steps = [
        ("on", 0),
        ("stdout.log", "out\n"),
        ("stderr.log", "err\n"),
        ("event", {"event": "start"}),
        ("sleep", 0.2),
        ("stdout.log", "more\n"),
        ("event", {"event": "end"}),
        ("status", 0),
    ]
    play(tmp_path, monkeypatch, steps, heard)
    assert (heard.stdout, heard.stderr) == (b"out\nmore\n", b"err\n")
    assert heard.events == ['{"event": "start"}', '{"event": "end"}']
    assert (tmp_path / "console.log").read_text() == "[    0.000000] Linux version 7.3.4 (toy)\n"


def test_a_launcher_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: Steps = [("say", "qemu-system-x86_64: no such machine"), ("exit", 1)]
    end = play(tmp_path, monkeypatch, steps)
    assert end.outcome == "lost"
    assert "before it signed on; QEMU said: qemu-system-x86_64: no such machine" in end.detail


@pytest.mark.parametrize(
    ("limit", "steps"),
    [
        ("boot", [("sleep", 60)]),
        ("silence", [("on", 0), ("sleep", 60)]),
        ("total", [("on", 0), *(15 * [("stdout.log", "x"), ("sleep", 0.2)]), ("sleep", 60)]),
    ],
)
def test_a_guest_that_hangs_is_stopped_and_its_last_words_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, steps: Steps
) -> None:
    started = time.monotonic()
    end = play(tmp_path, monkeypatch, steps, limits={limit: 1.0})
    assert (end.outcome, end.status) == (limit, None)
    assert "Linux version 7.3.4" in end.detail
    assert time.monotonic() - started < 15


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def wait_for(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_no_process_is_left_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    steps: Steps = [("child", str(pid)), ("on", 0), ("sleep", 60)]
    end = play(tmp_path, monkeypatch, steps, limits={"silence": 0.5})
    assert end.outcome == "silence"
    assert not alive(int(pid.read_text()))


DRIVER = """
import sys
from pathlib import Path
from lab.guest import boot, launch
from lab.cli.app import _terminate
import signal
from tests import test_boot
from tests.fakes import launcher
signal.signal(signal.SIGTERM, _terminate)
run_dir = Path(sys.argv[1])
steps = [("child", str(run_dir / "pid")), ("on", 0), ("sleep", 60)]
boot.virtme_command = lambda *_, **__: launcher(run_dir, steps)
boot.run_guest(test_boot.request(run_dir), test_boot.COMMAND)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_lab_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    root = Path(__file__).resolve().parent.parent
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    )
    pid = tmp_path / "pid"
    assert wait_for(lambda: pid.exists() and pid.read_text().isdigit())
    child = int(pid.read_text())
    assert alive(child)
    driver.send_signal(number)
    driver.wait(20)
    assert wait_for(lambda: not alive(child))


def test_what_virtme_ng_would_do_with_the_streams_is_overridden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_qemu", lambda arch: f"/bin/{arch.qemu}")
    run = tmp_path / "a,b"
    command = virtme_command(
        GuestRequest(Path("/v"), ARCHES[0], "tcg", 2, 512, ("x=1",), run, "n", Limits()),
        shell=False,
    )
    text = " ".join(command)
    assert "--disable-kvm" in command
    assert f"-set chardev.console.path={run}/console.log" in text
    assert "path=" + str(run / "stdout.log").replace(",", ",,") in text
    assert "--kopt x=1" in text
    assert command.index("--qemu-opts") > command.index("--script-sh")


def test_kvm_is_left_to_virtme_ng_where_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_qemu", lambda arch: arch.qemu)
    made = GuestRequest(Path("/v"), ARCHES[0], "kvm", 2, 512, (), tmp_path, "n", Limits())
    assert "--disable-kvm" not in virtme_command(made, shell=False)
    assert "--script-sh" not in virtme_command(made, shell=True)


def test_emulated_processors_take_turns_if_they_are_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_qemu", lambda arch: arch.qemu)
    made = request(tmp_path)
    assert "thread=single" not in " ".join(virtme_command(made, shell=False))
    assert virtme_command(replace(made, one_thread=True), shell=False)[-1] == "tcg,thread=single"


def test_the_guests_script_is_quoted_and_valid_shell(tmp_path: Path) -> None:
    command = GuestCommand(
        ("echo", "it's", "$HOME;"),
        Path("/a b"),
        {"A": 'x"y'},
        sysctls=[("kernel.x", "1 2")],
        binds=[(Path("/c d"), Path("/e"))],
    )
    text = script(command)
    path = tmp_path / "guest.sh"
    path.write_text(text)
    subprocess.run(["sh", "-n", path], check=True)
    assert """echo 'it'"'"'s' '$HOME;'""" in text
    assert "echo '1 2' > /proc/sys/kernel/x || exit 1" in text
    assert "mount --bind '/c d' /e || exit 1" in text
    assert "cd '/a b'" in text


def test_the_shims_do_nothing_successfully(tmp_path: Path) -> None:
    directory = write_shims(tmp_path)
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["systemd-tmpfiles", "udevadm"]
    for name in names:
        subprocess.run([directory / name, "settle"], check=True)
