# SPDX-License-Identifier: MIT
"""The gallery's tools, as a person calls them: a process that runs a command under a filter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from selftests.gallery import run, trace
from selftests.harness import child
from selftests.harness.patches import proves

pytestmark = [proves("libbpf"), pytest.mark.usefixtures("state_allowed")]

ROOT = Path(__file__).resolve().parents[2]
"""Where the package ``selftests`` is found."""

logs = proves("program-type")
reads = proves("user-memory")


@dataclass(frozen=True)
class Done:
    """What a tool came to."""

    status: int | None
    stdout: str
    stderr: str


def use(main: Callable[[Sequence[str]], int], *arguments: str) -> Done:
    """Run a tool to its end, in a process of its own that has been started already: Python takes
    most of the time.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:

        def case() -> None:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.stderr = err
            os.environ["LC_ALL"] = "C"
            status = main(arguments)
            err.flush()
            os._exit(status)

        status = child.reap(child.start(case), child.LONG).code
        for stream in (out, err):
            stream.seek(0)
        return Done(status, out.read(), err.read())


def words(tool: str, *arguments: str) -> list[str]:
    """A tool's command line. Without site packages, which take their time to be found."""
    return [sys.executable, "-S", "-m", f"selftests.gallery.{tool}", *arguments]


SOCKETS = """
import socket
for family in socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK:
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
        print("yes", end=" ")
    except OSError as error:
        print(error.errno, end=" ")
"""


SET_HOST_NAME = "import socket; socket.sethostname(socket.gethostname())"


def shell(script: str) -> tuple[str, ...]:
    """A command that is a script."""
    return ("/bin/sh", "-c", script)


@dataclass(frozen=True)
class Case:
    """A filter with its settings, a command with what it says, and what is said beside it. The
    filter's last words are ``told``, on a line of their own.
    """

    filter: str
    command: tuple[str, ...]
    told: str
    settings: tuple[str, ...] = ()
    status: int = 0
    says: str = ""
    beside: str = ""
    proves: tuple[str, ...] = ("program-type",)


MKDIR = "mkdir,mkdirat"

CASES = (
    Case(
        "exec_once",
        shell("/bin/true; echo $?; exit 7"),
        "executions 2, refused 1",
        status=7,
        says="126",
    ),
    Case(
        "after_exec",
        ("mkdir", "new"),
        "executed 1, refused 1",
        settings=(f"refused={MKDIR}", "error=EROFS"),
        status=1,
        beside="Read-only file system",
    ),
    Case(
        "syscall_log",
        ("mkdir", "new"),
        "told 1, lost 0",
        settings=(f"wanted={MKDIR}",),
        beside=" mkdir",
    ),
    Case(
        "opened_files",
        ("cat", "known"),
        "lost 0",
        says="content",
        beside='openat(AT_FDCWD, "known", O_RDONLY)',
        proves=("user-memory",),
    ),
    Case(
        "inject_fault",
        ("cat", "known"),
        "seen 1, injected 1",
        settings=("call=openat", "error=ENOSPC", "path=known"),
        status=1,
        beside="known: No space left on device",
        proves=("user-memory",),
    ),
    Case(
        "phases",
        shell("mkdir one && cd . && mkdir two; ls"),
        "serves 1, refused 1",
        settings=("serving=all,-mkdir,-mkdirat", "begins=chdir", "error=EROFS"),
        says="known\none",
        beside="Read-only file system",
    ),
    Case(
        "notify_sockets",
        (sys.executable, "-S", "-c", SOCKETS),
        "told 1, answered 2, asked 1, refused 1",
        settings=("answer=EACCES",),
        says="yes 13 97",
        beside="socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0) = EACCES",
    ),
    Case(
        "rate_limit",
        shell("mkdir a b c; ls"),
        "refused 1",
        settings=(f"limited={MKDIR}", "limit=2", "interval=3600"),
        says="a\nb\nknown",
        beside="Resource temporarily unavailable",
        proves=("program-type", "null-task", "task-storage"),
    ),
)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.filter, marks=proves(*case.proves)) for case in CASES],
)
def test_a_command_runs_under_a_filter(case: Case, tmp_path: Path) -> None:
    """What the filter does shows, what it tells is said, and the exit status is the command's."""
    (tmp_path / "known").write_text("content")
    settings = [word for setting in case.settings for word in ("--set", setting)]
    where = ["--directory", str(tmp_path)]
    done = use(run.main, "--filter", case.filter, *settings, *where, "--", *case.command)
    assert (done.status, done.stdout.strip()) == (case.status, case.says), done.stderr
    assert case.beside in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{case.filter}: ")
    assert last.endswith(case.told)


@logs
@pytest.mark.parametrize(("variant", "status"), [("default", 1), ("admin", 0)])
def test_a_command_runs_as_in_a_container(variant: str, status: int) -> None:
    """The filter of a container with CAP_SYS_ADMIN lets root set the host's name, that of one
    without does not.
    """
    settings = ("--filter", "container_profile", "--set", f"variant={variant}")
    done = use(run.main, *settings, "--", sys.executable, "-S", "-c", SET_HOST_NAME)
    assert done.status == status, done.stderr
    assert ("Operation not permitted" in done.stderr) == bool(status)


@logs
def test_a_signal_that_ends_the_command_is_its_status() -> None:
    """As a shell has it."""
    settings = ("--filter", "after_exec", "--set", "refused=swapon")
    done = use(run.main, *settings, "--", *shell("kill -KILL $$"))
    assert done.status == 128 + signal.SIGKILL
    assert done.stderr == "after_exec: executed 1, refused 0\n"


@logs
def test_a_command_that_the_filter_does_not_let_begin_is_126() -> None:
    """The reason is said."""
    done = use(run.main, "--filter", "exec_once", "--set", "budget=0", "--", "/bin/true")
    assert done.status == 126
    assert "cannot execute /bin/true" in done.stderr
    assert "not permitted" in done.stderr


@logs
def test_a_command_gets_no_descriptor_of_the_filter() -> None:
    """Neither the maps, in which it could write, nor the listener, where it could say yes."""
    done = use(
        run.main, "--filter", "notify_sockets", "--", *shell("ls -l /proc/self/fd /proc/$$/fd")
    )
    assert done.status == 0
    assert "/proc/self/fd" in done.stdout
    for kind in ("bpf", "seccomp", "socket"):
        assert kind not in done.stdout


@logs
def test_a_signal_to_the_tool_is_one_to_the_command() -> None:
    """Whoever ends the tool ends the command; its answer counts."""
    script = "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done"
    arguments = words("run", "--filter", "after_exec", "--set", "refused=swapon", "--")
    with subprocess.Popen(
        [*arguments, *shell(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as tool:
        assert tool.stdout is not None
        assert tool.stdout.readline() == "up\n"
        tool.send_signal(signal.SIGTERM)
        assert tool.wait(child.TIMEOUT) == 9


@reads
@pytest.mark.parametrize("form", ["plain", "json", "table"])
def test_a_trace_names_the_files_in_three_formats(form: str, tmp_path: Path) -> None:
    """The command's streams are its own, the trace is apart from them."""
    path = tmp_path / "known"
    path.write_text("content")
    output = tmp_path / "trace"
    done = use(trace.main, "--format", form, "--output", str(output), "--", "cat", str(path))
    assert (done.status, done.stdout, done.stderr) == (0, "content", "")
    lines = output.read_text().splitlines()
    (line,) = [line for line in lines if str(path) in line]
    if form == "json":
        told = json.loads(line)
        assert (told["path"], told["uid"], told["flags"]) == (str(path), 0, ["O_RDONLY"])
        end = json.loads(lines[-1])
        assert (end["event"], end["told"], end["lost"]) == ("end", len(lines) - 1, 0)
    elif form == "table":
        assert line.split()[2:] == ["0", "openat", "RDONLY", str(path)]
        assert lines[-1] == f"opened_files: told {len(lines) - 2}, lost 0"
    else:
        assert line.endswith(f'uid 0 openat(AT_FDCWD, "{path}", O_RDONLY)')
        assert lines[-1] == f"opened_files: told {len(lines) - 1}, lost 0"


@reads
def test_a_trace_tells_while_the_command_runs(tmp_path: Path) -> None:
    """The command waits for who has seen what it opened."""
    path = tmp_path / "known"
    path.touch()
    arguments = words("trace", "--", *shell(f": < {path}; read answer; exit 5"))
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=ROOT, stdin=pipe, stderr=pipe, text=True) as tool:
        assert tool.stdin is not None
        assert tool.stderr is not None
        while str(path) not in tool.stderr.readline():
            assert tool.poll() is None
        assert tool.poll() is None
        tool.stdin.write("seen\n")
        tool.stdin.flush()
        assert "told" in tool.stderr.read()
        assert tool.wait(child.TIMEOUT) == 5


@reads
def test_a_trace_tells_of_calls_too(tmp_path: Path) -> None:
    """Both logs in the order of their time, from the execution on."""
    script = f": < /etc/passwd; exec /bin/mkdir {tmp_path}/new"
    calls = ("--calls", f"execve,{MKDIR}")
    done = use(trace.main, "--format", "json", *calls, "--", *shell(script))
    *told, opens, made = map(json.loads, done.stderr.splitlines())
    kept = [one["call"].removesuffix("at") for one in told
            if one["event"] == "call" or one["path"] == "/etc/passwd"]  # fmt: skip
    assert kept == ["execve", "open", "execve", "mkdir"]
    assert (opens["filter"], made["filter"]) == ("opened_files", "syscall_log")
    assert made["told"] == 3


@reads
def test_a_trace_counts_what_it_lost() -> None:
    """The tool is stopped, by the command, until the buffer is full and more; nothing waits."""
    opens = 5000
    script = (
        f"kill -STOP $PPID; i=0; while [ $i -lt {opens} ]; do : < /dev/null; i=$((i + 1)); done;"
        " kill -CONT $PPID"
    )
    done = use(trace.main, "--format", "json", "--", *shell(script))
    assert done.status == 0
    *told, end = map(json.loads, done.stderr.splitlines())
    assert end["told"] == len(told) > 1000
    assert end["lost"] > 0
    others = sum(one["path"] != "/dev/null" for one in told)
    assert end["told"] - others + end["lost"] == opens
