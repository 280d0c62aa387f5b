# SPDX-License-Identifier: MIT
"""``lab run`` and ``lab trace``: what is refused before a stage is started, what the guest gets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.core.session import Session
from lab.errors import ExitCode
from lab.guest.script import GuestCommand
from lab.jobs import gallery, onecommand
from lab.jobs.engine import Again
from lab.jobs.onecommand import FOREVER, patient
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan
from selftests.gallery import calls
from tests.worlds import made_kernel


@dataclass
class Guest:
    """Stands in for one: what it was given, what it tells."""

    commands: list[GuestCommand] = field(default_factory=list)
    reproduce: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    status: int = 0

    def run_command(
        self,
        session: Session,  # noqa: ARG002
        kind: str,
        plan: Plan,
        again: Again,
        command: Callable[[Kernel], GuestCommand],
        limits: dict[str, float],
        event: Callable[[str], None],
    ) -> int:
        self.kinds.append(kind)
        self.reproduce, self.limits = list(again(plan)), limits
        self.commands.append(command(made_kernel(files=Path("/artifacts"))))
        for line in self.lines:
            event(line)
        return self.status


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Guest:
    """No kernel, and a library that knows one call."""
    made = Guest()
    monkeypatch.setattr(gallery, "run_command", made.run_command)
    monkeypatch.setattr(calls, "number", {"openat": 257}.__getitem__)
    monkeypatch.setattr(calls, "name", lambda number, _: str(number))
    return made


def lab(cache: Cache, *arguments: str) -> int:
    name, *rest = arguments
    return run_cli([name, "--cache", str(cache.root), *rest])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--", "true"], "No filter is given"),
        (["run", "--filter", "exec_once"], "No command is given"),
        (["run", "--filter", "nonsense", "--", "true"], "There is no filter 'nonsense'."),
        (["run", "--filter", "exec_once", "--set", "x=1", "--", "true"], "no parameter 'x'"),
        (["run", "--filter", "exec_once", "--set", "budget=x", "--", "true"], "'x' is no number"),
        (["run", "--filter", "exec_once", "--control", "--", "true"], "need the series"),
        (["run", "--filter", "exec_once", "--limit", "x=1", "--", "true"], "no limit 'x'"),
        (["run", "--filter", "exec_once", "--output", "/nowhere/x", "--", "true"], "No such file"),
        (["trace"], "No command is given"),
        (["trace", "--calls", "nonsense", "--", "true"], "no system call 'nonsense'"),
        (["trace", "--format", "xml", "--", "true"], "'xml' is not one of"),
        (["trace", "--profile", "control", "--", "true"], "need the series"),
    ],
)
def test_wrong_input_is_told_before_a_stage_is_started(
    cache: Cache,
    guest: Guest,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lab(cache, *arguments) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert guest.kinds == []


def test_the_list_takes_no_guest(
    cache: Cache, guest: Guest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab(cache, "run", "--list") == ExitCode.PASSED
    assert capsys.readouterr().out.startswith("exec_once ")
    assert guest.kinds == []


def test_the_guest_gets_the_callers_words_and_his_directory(
    cache: Cache, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    guest.status = 7
    words = ["--filter", "inject_fault", "--set", "call=openat", "--set", "path=a b"]
    assert lab(cache, "run", *words, "--", "cat", "--", "-n") == 7
    (command,) = guest.commands
    assert command.argv == (
        *(sys.executable, "-B", "-m", "selftests.gallery.run"),
        *(*words, "--directory", str(tmp_path), "--", "cat", "--", "-n"),
    )
    assert command.directory == PROJECT_ROOT
    assert set(command.environment) == {"PATH", "SECCOMP_LAB_GUEST"}
    assert command.environment["SECCOMP_LAB_GUEST"] == "/artifacts"
    assert guest.kinds == ["run"]
    base = ["--base", "linux-7.3", "--profile", "default"]
    assert guest.reproduce[: len(words) + 6] == ["scripts/lab", "run", *base, *words]
    assert guest.reproduce[-4:] == ["--", "cat", "--", "-n"]


def test_a_trace_into_a_file_comes_out_of_the_guest_line_by_line(
    cache: Cache, guest: Guest, tmp_path: Path
) -> None:
    guest.lines = ('{"path": "/a"}', '{"path": "/b"}')
    output = tmp_path / "trace"
    options = ["--format", "json", "--calls", "openat"]
    assert lab(cache, "trace", *options, "--output", str(output), "--", "ls") == 0
    assert output.read_text() == '{"path": "/a"}\n{"path": "/b"}\n'
    argv = guest.commands[0].argv
    assert argv[argv.index("--format") :][:4] == tuple(options)
    assert argv[argv.index("--output") + 1] == "/run/seccomp-lab/events.ndjson"
    assert guest.reproduce[6:12] == [*options, "--output", str(output)]


def test_a_host_without_libseccomp_is_infrastructure(
    cache: Cache, guest: Guest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> int:
        raise OSError("libseccomp.so.2: cannot open shared object file")

    monkeypatch.setattr(calls, "number", missing)
    assert lab(cache, "trace", "--calls", "openat", "--", "ls") == ExitCode.INFRA
    assert "libseccomp.so.2: cannot open" in capsys.readouterr().err
    assert guest.kinds == []


def test_a_command_may_be_silent_unless_its_caller_says_how_long() -> None:
    assert patient({"boot": 5}) == {"silence": FOREVER, "total": FOREVER, "boot": 5}
    assert patient({"silence": 5}) == {"silence": 5}
    assert onecommand.FOREVER > 10**7
