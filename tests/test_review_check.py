# SPDX-License-Identifier: MIT
"""b4's question about one patch, answered from the runs that there are."""

from __future__ import annotations

import io
import json
import sys
from argparse import Namespace
from contextlib import closing
from email import message_from_bytes, policy
from pathlib import Path
from types import SimpleNamespace

import b4
import b4.review.checks
import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode
from lab.runs import manifest, rundir
from lab.runs.journal import Journal
from lab.source.git import Git
from tests.support import make_kernel, make_patches, make_repository


@pytest.fixture
def mail(kernel: Path, tmp_path: Path) -> bytes:
    """A patch."""
    make_repository(kernel)
    patches = make_patches(kernel, tmp_path / "patches")
    return (patches / "0002-seccomp-Add-after-line-30.patch").read_bytes()


def finished(
    cache: Cache, mail: bytes, code: int, applied: bool = True, whole: bool = True
) -> Path:
    """A run that had the patch as its second."""
    run = rundir.create(cache, "series")
    patch_id = Git(cache.runs).run("patch-id", "--stable", input=mail).stdout.split()[0]
    patches = [{"number": 2, "patch_id": patch_id, "applied": applied}]
    guest = {"whole": whole}
    again = "scripts/lab test -k x"
    manifest.write(run, kind="series", reproduce=again, patches=patches, guest=guest)
    record = Journal(run)
    record.write("seed", tests=[{"id": "a", "patches": [2]}, {"id": "b", "patches": [1, 2]}])
    record.write("result", id="a", outcome="passed", message="", seconds=0.0)
    outcome = "failed" if code == ExitCode.FAILED else "passed"
    record.write("result", id="b", outcome=outcome, message="", seconds=0.0)
    record.write("verdict", code=code, headline="what it came to", reasons=[])
    record.close()
    return run


def asked(cache: Cache, mail: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """``lab review-check`` with the mail on standard input."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(mail)))
    return run_cli(["review-check", "--cache", str(cache.root)])


@pytest.mark.parametrize(
    ("code", "status", "counts"),
    [
        (ExitCode.PASSED, "pass", "2 passed"),
        (ExitCode.FAILED, "fail", "1 passed, 1 failed"),
        (ExitCode.KERNEL, "fail", "2 passed"),
    ],
)
def test_the_newest_run_with_the_patch_answers(
    cache: Cache,
    mail: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    status: str,
    counts: str,
) -> None:
    finished(cache, mail, 1 - code if code < 2 else 0)
    run = finished(cache, mail, code)
    assert asked(cache, mail, monkeypatch) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["tool"], row["status"]) == ("lab", status)
    assert row["summary"] == f"{counts} for patch 2; what it came to"
    assert row["url"] == run.as_uri()
    assert "again: scripts/lab test -k x" in row["details"]
    assert ("failed: b" in row["details"]) == (code == ExitCode.FAILED)


def test_a_run_that_was_cut_short_answers_only_if_no_other_can(
    cache: Cache,
    mail: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(cache, mail, ExitCode.INFRA)
    asked(cache, mail, monkeypatch)
    assert json.loads(capsys.readouterr().out)[0]["status"] == "warn"
    whole = finished(cache, mail, ExitCode.PASSED)
    finished(cache, mail, ExitCode.INTERRUPTED)
    asked(cache, mail, monkeypatch)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["status"], row["url"]) == ("pass", whole.as_uri())


def test_a_part_of_the_suite_can_fail_a_patch_and_not_pass_it(
    cache: Cache,
    mail: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(cache, mail, ExitCode.PASSED, whole=False)
    asked(cache, mail, monkeypatch)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "warn"
    assert "2 passed for patch 2 in a part of the suite" in row["summary"]
    finished(cache, mail, ExitCode.FAILED, whole=False)
    finished(cache, mail, ExitCode.PASSED, whole=False)
    asked(cache, mail, monkeypatch)
    assert json.loads(capsys.readouterr().out)[0]["status"] == "fail"


def test_a_mail_header_makes_no_other_patch(
    cache: Cache,
    mail: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished(cache, mail, 0)
    asked(cache, b"Message-Id: <1@example.org>\n" + mail, monkeypatch)
    assert json.loads(capsys.readouterr().out)[0]["status"] == "pass"


def test_a_patch_that_no_run_has_tested_is_a_warning(
    cache: Cache,
    mail: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cache.runs.mkdir(parents=True)
    finished(cache, mail.replace(b"+more", b"+other"), 0)
    finished(cache, mail, 0, applied=False)
    assert asked(cache, mail, monkeypatch) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["status"], row["summary"]) == ("warn", "no run of the lab has tested this patch")


def test_what_is_no_patch_is_refused(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_kernel(cache.root / "unused")
    assert asked(cache, b"Subject: hello\n\nno diff\n", monkeypatch) == ExitCode.USAGE
    assert "no patch on standard input" in capsys.readouterr().err


def test_b4_runs_it_as_configured_and_keeps_its_verdict(
    cache: Cache, mail: bytes, kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By b4's own functions, from git's configuration to the table that its review shows."""
    run = finished(cache, mail, ExitCode.FAILED)
    command = f"{sys.executable} -m lab review-check --quiet --cache {cache.root}"
    Git(kernel).run("config", "b4.review-perpatch-check-cmd", command)
    for name in ("MAIN_CONFIG", "USER_CONFIG", "SENDEMAIL_CONFIG"):
        monkeypatch.setattr(b4, name, {})
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_ROOT))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(kernel)
    b4.setup_config(Namespace(config=[]))
    commands, _ = b4.review.checks.load_check_cmds()
    assert commands == [command]
    message = message_from_bytes(mail, policy=policy.default)
    table = b4.review.checks.run_perpatch_checks(
        [("1@example.org", message)], commands, str(kernel)
    )
    with closing(b4.review.checks.get_db()) as database:
        b4.review.checks.store_results(database, "1@example.org", table["1@example.org"])
        kept = b4.review.checks.get_cached_results(database, ["1@example.org"])
    assert kept == table
    (row,) = kept["1@example.org"]
    assert (row["tool"], row["status"], row["url"]) == ("lab", "fail", run.as_uri())
    assert row["summary"] == "1 passed, 1 failed for patch 2; what it came to"
    assert row["details"].splitlines() == ["failed: b", "again: scripts/lab test -k x"]
