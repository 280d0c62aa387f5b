# SPDX-License-Identifier: MIT
"""The command line: exit codes, messages, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lab.cli import app
from lab.cli.app import COMMANDS, run_cli
from lab.errors import ExitCode, LabError, UsageError
from tests.support import make_kernel, make_patches, make_repository
from tests.test_cache import holder
from tests.test_proc import wait_for


def use(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, value: object = None) -> None:
    """Put in a command that raises or returns."""

    @click.command()
    def probe() -> object:
        if error is not None:
            raise error
        return value

    monkeypatch.setitem(COMMANDS, "doctor", f"{__name__}:probe")
    monkeypatch.setattr(sys.modules[__name__], "probe", probe, raising=False)


@pytest.mark.parametrize(("error", "code"), [
    (LabError("broken", hint="mend it"), 3), (UsageError("wrong", hint="mend it"), 2),
    (KeyboardInterrupt(), 130), (app.Terminated(signal.SIGTERM), 143), (click.Abort(), 130),
    (click.UsageError("what"), 2),
])  # fmt: skip
def test_errors_become_exit_codes_and_one_message(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    use(monkeypatch, error)
    assert run_cli(["doctor"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.lstrip().startswith("lab: error: ")
    assert "Traceback" not in err
    if isinstance(error, LabError):
        assert err == f"lab: error: {error.message}\nlab: hint: mend it\n"


@pytest.mark.parametrize("value", [0, 1, 4, ExitCode.KERNEL])
def test_value_of_a_command_is_the_exit_code(value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, None, value)
    assert run_cli(["doctor"]) == value


@pytest.mark.parametrize("args", [["nonsense"], ["base", "--nonsense"], ["tree", "extra"]])
def test_wrong_usage_is_exit_code_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(args) == 2
    assert "-h` shows the usage" in capsys.readouterr().err


def test_every_command_has_help_cache_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("doctor", "base", "tree", "prune"):
        assert run_cli([name, "-h"]) == 0
        text = capsys.readouterr().out
        assert "--cache DIR" in text
        assert "--quiet" in text


def test_base_and_tree_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = make_kernel(tmp_path / "kernel")
    git = make_repository(kernel)
    patches = make_patches(kernel, tmp_path / "patches")
    cache = ["--cache", str(tmp_path / "cache")]
    assert run_cli(["base", f"path:{kernel}", *cache]) == 0
    assert f"digest:  git:{git.out('rev-parse', 'HEAD')}" in capsys.readouterr().out
    tree = ["tree", "--base", f"path:{kernel}", "--patches", str(patches), *cache]
    assert run_cli(tree) == 0
    out, err = capsys.readouterr()
    assert (Path(out.strip()) / "kernel" / "seccomp.c").exists()
    assert "0001 seccomp: Change the third line" in err
    assert run_cli([*tree, "--control"]) == 0
    assert capsys.readouterr().out != out


def test_mistake_in_the_patches_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    args = ["tree", "--patches", str(tmp_path / "absent"), "--cache", str(tmp_path / "cache")]
    assert run_cli(args) == 2
    assert not (tmp_path / "cache" / "bases").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_while_waiting_ends_without_a_traceback(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    from lab.core.cache import Cache
    from lab.source.bases import resolve

    kernel = make_kernel(tmp_path / "kernel")
    cache = Cache.default(tmp_path / "cache")
    name = resolve(f"path:{kernel}")[0]
    log = tmp_path / "log"
    with holder(cache, f"bases/{name}", 60) as other, log.open("w") as stream:
        lab = subprocess.Popen(
            [sys.executable, "-m", "lab", "base", f"path:{kernel}", "--cache", str(cache.root)],
            stderr=stream,
        )
        assert wait_for(lambda: "waiting for lock" in log.read_text())
        lab.send_signal(number)
        try:
            assert lab.wait(timeout=10) == code
        finally:
            other.kill()
    assert "Traceback" not in log.read_text()
    assert log.read_text().splitlines()[-1].startswith("lab: error: ")


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m lab prune -h --cache {tmp_path} | true",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
