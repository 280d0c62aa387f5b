# SPDX-License-Identifier: MIT
"""The gallery's tools without a kernel: what is asked of a filter, and how records look."""

from __future__ import annotations

import inspect
import io
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from selftests.gallery import (
    calls,
    catalogue,
    container_profile,
    kinds,
    launch,
    records,
    run,
    tool,
    trace,
)
from selftests.gallery.catalogue import FILTERS, BadSetting, Filter, Param
from selftests.gallery.kinds import COUNT
from selftests.gallery.launch import Ended, LaunchError
from selftests.gallery.notify_sockets import Decision
from selftests.gallery.opened_files import AT_FDCWD, Opened
from selftests.gallery.records import FORMATS, described
from selftests.gallery.syscall_log import Call

NUMBERS = {"openat": 257, "getppid": 110, "listen": 50, "socket": 41}
ELSEWHERE = "creat"
NAMES = sorted(NUMBERS)
START = 5 * 10**9

OPENED = Opened(
    START + 12_345_678, 41, 41, 1000, "openat", AT_FDCWD, os.O_RDONLY | os.O_CLOEXEC, "/etc/passwd"
)


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host need not have libseccomp: four calls, and one of another architecture."""

    def number(name: str) -> int:
        return calls.NO_CALL if name == ELSEWHERE else NUMBERS[name]

    def name(number: int, arch: int) -> str:  # noqa: ARG001
        return {code: name for name, code in NUMBERS.items()}.get(number, str(number))

    monkeypatch.setattr(calls, "number", number)
    monkeypatch.setattr(calls, "name", name)
    kinds.every_call.cache_clear()


# --- the table ----------------------------------------------------------------------------


@pytest.mark.parametrize("row", FILTERS, ids=lambda row: row.name)
def test_a_row_says_what_its_module_takes(row: Filter) -> None:
    """A parameter that one has and the other has not, or another default, would be a lie."""
    taken = inspect.signature(row.load).parameters
    assert {param.name for param in row.params} == set(taken)
    for param in row.params:
        default = taken[param.name].default
        if default is not inspect.Parameter.empty:
            assert param.default is not None
            assert param.kind.read(param.default) == default
    if row.decide is not None:
        assert list(inspect.signature(row.decide).parameters)[1:] == [
            param.name for param in row.answer_params
        ]


def test_every_filter_of_the_gallery_has_a_row() -> None:
    here = Path(catalogue.__file__).parent
    sources = {path.name.removesuffix(".bpf.c") for path in here.glob("*.bpf.c")}
    # The source of that one is made.
    assert {row.name for row in FILTERS} == sources | {container_profile.PROGRAM}


def test_the_list_has_a_line_for_each_filter_and_each_kind_of_value() -> None:
    lines = list(catalogue.listing())
    filters = lines[: lines.index("")]
    assert [line.split()[0] for line in filters] == [row.name for row in FILTERS]
    row = next(line for line in filters if line.startswith("rate_limit "))
    assert "limited=CALLS limit=N [interval=1] [error=EAGAIN]" in row
    assert any(line.startswith("CALLS ") for line in lines[len(filters) :])


def test_another_filter_is_another_row() -> None:
    row = Filter("new", "does it", lambda size: size, (Param("size", COUNT, "3"),))
    assert next(catalogue.listing([row])).split() == ["new", "[size=3]", "does", "it"]


@pytest.mark.parametrize(
    ("name", "settings", "values"),
    [
        ("exec_once", [], {"budget": 1, "error": 1}),
        ("exec_once", ["budget=2", "error=EACCES", "budget=3"], {"budget": 3, "error": 13}),
        ("exec_once", ["error=38"], {"budget": 1, "error": 38}),
        ("syscall_log", [], {"wanted": None}),
        ("syscall_log", ["wanted=all,-listen,-socket"], {"wanted": {"openat", "getppid"}}),
        ("after_exec", ["refused=openat,creat"], {"refused": {"openat", "creat"}, "error": 1}),
        (
            "phases",
            ["serving=getppid"],
            {"starting": set(NAMES), "serving": {"getppid"}, "begins": "listen", "error": 1},
        ),
        (
            "notify_sockets",
            ["asked=AF_INET,netlink", "allowed=", "answer=EACCES"],
            {"asked": {socket.AF_INET, socket.AF_NETLINK}, "allowed": set(), "answer": 13},
        ),
        (
            "rate_limit",
            ["limited=openat", "limit=3", "interval=0.5"],
            {"limited": {"openat"}, "limit": 3, "interval": 0.5, "error": 11},
        ),
        (
            "inject_fault",
            ["call=openat", "path=/a=b", "probability=0.25"],
            {"call": "openat", "error": 5, "nth": 0, "probability": 0.25, "path": "/a=b"},
        ),
    ],
)
def test_settings_are_read(name: str, settings: list[str], values: dict[str, Any]) -> None:
    assert catalogue.choose(name, settings).values == values


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("exec_twice", [], "There is no filter 'exec_twice'."),
        ("exec_once", ["budget"], "'budget' is not KEY=VALUE."),
        ("exec_once", ["size=1"], "exec_once has no parameter 'size'."),
        ("opened_files", ["path=/"], "opened_files has no parameter 'path'."),
        ("exec_once", ["budget=-1"], "'-1' is no number from 0 to 4294967295"),
        ("exec_once", ["budget=4294967296"], "is no number from 0 to"),
        ("exec_once", ["error=EPREM"], "'EPREM' is no errno, such as EPERM, and no number from 1"),
        ("exec_once", ["error=eperm"], "(did you mean EPERM?)"),
        ("exec_once", ["error=0"], "'0' is no errno"),
        ("exec_once", ["error=4096"], "'4096' is no errno"),
        ("after_exec", [], "after_exec needs refused=CALLS."),
        ("after_exec", ["refused="], "there is no system call ''"),
        ("after_exec", ["refused=opnat"], "no system call 'opnat' (did you mean openat?)"),
        ("after_exec", ["refused=all,-nonsense"], "there is no system call 'nonsense'"),
        ("notify_sockets", ["asked=inet7"], "no socket family 'inet7' (did you mean AF_INET"),
        ("notify_sockets", ["answer=deny"], "'deny' is no errno"),
        ("rate_limit", ["limited=openat", "limit=1", "interval=0"], "'0' is no number of seconds"),
        ("rate_limit", ["limited=openat", "limit=1", "interval=nan"], "'nan' is no number"),
        ("inject_fault", ["call=openat", "probability=1.5"], "'1.5' is no probability"),
        ("inject_fault", ["call=openat", "nth=1", "probability=0.5"], "it is one or the other"),
        ("inject_fault", ["call=openat", f"path={'x' * 256}"], "255 is the limit"),
    ],
)
def test_a_wrong_setting_is_named(name: str, settings: list[str], said: str) -> None:
    with pytest.raises(BadSetting) as caught:
        catalogue.choose(name, settings)
    assert said in caught.value.message


def test_a_wrong_setting_comes_with_what_is_right() -> None:
    with pytest.raises(BadSetting) as caught:
        catalogue.choose("exec_twice")
    assert "exec_once" in caught.value.hint
    with pytest.raises(BadSetting) as caught:
        catalogue.choose("exec_once", ["size=1"])
    assert caught.value.hint == "exec_once takes [budget=1] [error=EPERM]"


# --- records ------------------------------------------------------------------------------


def test_an_open_in_the_three_formats() -> None:
    line = described(OPENED)
    assert FORMATS["plain"].line(line, START) == (
        '   0.012346 pid 41 uid 1000 openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC)'
    )
    assert json.loads(FORMATS["json"].line(line, START)) == {
        "event": "open",
        "time": 0.012345678,
        "call": "openat",
        "pid": 41,
        "tid": 41,
        "uid": 1000,
        "dirfd": None,
        "path": "/etc/passwd",
        "flags": ["O_RDONLY", "O_CLOEXEC"],
        "error": None,
        "truncated": False,
    }
    header, row = FORMATS["table"].header, FORMATS["table"].line(line, START)
    assert row.split() == ["0.012346", "41", "1000", "openat", "RDONLY|CLOEXEC", "/etc/passwd"]
    for title, cell in (("CALL", "openat"), ("FLAGS", "RDONLY"), ("ABOUT", "/etc")):
        assert header.index(title) == row.index(cell)
    for title, cell in (("SECONDS", "0.012346"), ("PID", " 41"), ("UID", "1000")):
        assert header.index(title) + len(title) == row.index(cell) + len(cell)


def opened(**fields: Any) -> str:
    """A plain line from where the call begins."""
    values = {"time": START, "pid": 1, "tid": 1, "uid": 0, "call": "openat", "dirfd": AT_FDCWD,
              "flags": 0, "path": "x", **fields}  # fmt: skip
    text = FORMATS["plain"].line(described(Opened(**values)), START)
    return text[text.index(values["call"]) :]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dirfd": 5}, 'openat(5, "x", O_RDONLY)'),
        ({"call": "openat2"}, 'openat2(AT_FDCWD, "x", O_RDONLY)'),
        ({"call": "open"}, 'open("x", O_RDONLY)'),
        ({"call": "creat"}, 'creat("x")'),
        ({"path": None, "error": 14}, "openat(AT_FDCWD, ? (EFAULT), O_RDONLY)"),
        ({"truncated": True}, 'openat(AT_FDCWD, "x"..., O_RDONLY)'),
        ({"path": 'a"\\\n\x1b[2J'}, 'openat(AT_FDCWD, "a\\"\\\\\\x0a\\x1b[2J", O_RDONLY)'),
        ({"path": os.fsdecode(b"\xff\xc3\xbc")}, 'openat(AT_FDCWD, "\\xff\u00fc", O_RDONLY)'),
    ],
)
def test_an_open_as_strace_has_it(fields: dict[str, Any], text: str) -> None:
    assert opened(**fields) == text


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (os.O_RDWR | os.O_CREAT | os.O_EXCL, ["O_RDWR", "O_CREAT", "O_EXCL"]),
        (os.O_WRONLY | os.O_SYNC, ["O_WRONLY", "O_SYNC"]),
        (os.O_WRONLY | os.O_DSYNC, ["O_WRONLY", "O_DSYNC"]),
        (os.O_RDWR | os.O_TMPFILE, ["O_RDWR", "O_TMPFILE"]),
        (os.O_DIRECTORY, ["O_RDONLY", "O_DIRECTORY"]),
        (3, ["0x3"]),
        (1 << 40, ["O_RDONLY", "0x10000000000"]),
    ],
)
def test_flags_have_names(flags: int, names: list[str]) -> None:
    assert records.open_flags(flags) == names


def test_calls_and_decisions_have_lines_too() -> None:
    call = described(Call(START, 7, 8, "getppid", (1, 2**63, 0, 0, 0, 0)))
    assert FORMATS["plain"].line(call, START) == (
        "   0.000000 pid 7 tid 8 getppid(0x1, 0x8000000000000000, 0x0, 0x0, 0x0, 0x0)"
    )
    assert json.loads(FORMATS["json"].line(call, START))["args"] == [1, 2**63, 0, 0, 0, 0]
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
    asked = Decision(START, 9, socket.AF_INET, kind, 6, 13)
    assert (
        FORMATS["plain"]
        .line(described(asked), START)
        .endswith("pid 9 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 6) = EACCES")
    )
    data = json.loads(FORMATS["json"].line(described(asked), START))
    assert (data["type"], data["flags"], data["answer"]) == (
        "SOCK_STREAM", ["SOCK_CLOEXEC"], "EACCES",
    )  # fmt: skip
    unknown = described(Decision(START, 9, 70, 99, 0, 0))
    assert FORMATS["plain"].line(unknown, START).endswith("socket(70, 99, 0) = allowed")


def test_what_is_no_record_has_no_line() -> None:
    with pytest.raises(TypeError):
        described("text")


def test_the_end_says_what_was_lost() -> None:
    assert FORMATS["plain"].end("x", 3, {"lost": 2}) == "x: told 3, lost 2"
    assert FORMATS["table"].end("x", None, {"refused": 2}) == "x: refused 2"
    assert json.loads(FORMATS["json"].end("x", 3, {"lost": 2})) == {
        "event": "end", "filter": "x", "told": 3, "lost": 2,
    }  # fmt: skip


# --- the tools ----------------------------------------------------------------------------


def test_options_end_where_the_command_begins() -> None:
    assert tool.split(["--a", "b", "--", "c", "--", "-d"]) == (["--a", "b"], ["c", "--", "-d"])
    assert tool.split(["--list"]) == (["--list"], [])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--filter", "exec_once"],
        ["--", "true"],
        ["--filter", "nonsense", "--", "true"],
        ["--filter", "exec_once", "--set", "budget=x", "--", "true"],
        ["--nonsense", "--", "true"],
    ],
)
def test_a_tool_that_is_used_wrongly_is_125(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """2 could be the command's own."""
    with pytest.raises(SystemExit) as caught:
        run.main(arguments)
    assert caught.value.code == 125
    assert "python -m selftests.gallery.run: " in capsys.readouterr().err


def test_a_trace_is_two_filters_if_calls_are_wanted() -> None:
    assert [one.filter.name for one in trace.choose(None)] == ["opened_files"]
    both = trace.choose("getppid")
    assert [one.filter.name for one in both] == ["opened_files", "syscall_log"]
    assert both[1].values == {"wanted": {"getppid"}}
    with pytest.raises(SystemExit):
        trace.main(["--calls", "nonsense", "--", "true"])


def test_a_command_that_is_not_there_is_127(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--filter", "exec_once", "--", "/nowhere/x"]) == 127
    assert "there is no command '/nowhere/x'" in capsys.readouterr().err


def test_a_machine_without_the_filters_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SECCOMP_LAB_GUEST", raising=False)
    assert run.main(["--filter", "syscall_log", "--", "true"]) == 125
    assert "$SECCOMP_LAB_GUEST is not set" in capsys.readouterr().err


def test_a_status_is_what_a_shell_would_have() -> None:
    assert launch._status(3 << 8) == 3
    assert launch._status(9) == 137


def test_records_are_written_as_they_come() -> None:
    stream = io.StringIO()
    teller = tool.Teller(stream, FORMATS["plain"])
    teller.tell([OPENED], START)
    assert stream.getvalue().count("\n") == 1
    teller.end([catalogue.choose("opened_files")], Ended(0, (1,), ((4,),)))
    assert stream.getvalue().splitlines()[-1] == "opened_files: told 1, lost 4"


def test_an_output_that_fails_does_not_end_the_command() -> None:
    with Path("/dev/full").open("w") as stream:
        teller = tool.Teller(stream, FORMATS["plain"])
        for _ in range(2):
            teller.tell([OPENED], START)
        assert teller.failure is not None
        assert teller.failure.errno == 28
        with pytest.raises(OSError, match="No space left"):
            stream.close()


def test_the_command_is_looked_for_before_it_is_executed(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("")
    for path, status in ((tmp_path, 126), (tmp_path / "text", 126), (tmp_path / "nothing", 127)):
        with pytest.raises(LaunchError) as caught:
            launch.find_command([str(path)])
        assert caught.value.status == status
    assert launch.find_command(["sh"]).endswith("/sh")
