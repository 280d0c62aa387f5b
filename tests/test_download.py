# SPDX-License-Identifier: MIT
"""Fetching over HTTP: broken links, wrong digests, servers that do not resume."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from lab.errors import LabError, Unavailable
from lab.host import download
from lab.host.download import Mismatch, Request, fetch
from tests.support import FakeSite, Recorder

DATA = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def request_(site: FakeSite, tmp_path: Path) -> Request:
    site.files["/file"] = DATA
    return Request(f"{site.url}/file", tmp_path / "downloads" / "file", SHA256)


def test_file_arrives_verified_under_its_name_alone(request_: Request, recorder: Recorder) -> None:
    assert fetch(request_, recorder.ui).read_bytes() == DATA
    assert [path.name for path in request_.target.parent.iterdir()] == ["file"]


def test_broken_link_is_resumed_where_it_broke(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    site.break_after = [300_000, 200_000]
    assert fetch(request_, recorder.ui).read_bytes() == DATA
    assert [wanted for _, wanted in site.requests] == ["", "bytes=300000-", "bytes=500000-"]


def test_killed_run_is_resumed_by_the_next(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    request_.target.parent.mkdir()
    request_.target.with_name("file.part").write_bytes(DATA[:1000])
    fetch(request_, recorder.ui)
    assert site.requests == [("/file", "bytes=1000-")]


def test_part_that_is_whole_already_is_taken(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    request_.target.parent.mkdir()
    request_.target.with_name("file.part").write_bytes(DATA)
    assert fetch(request_, recorder.ui).read_bytes() == DATA
    assert len(site.requests) == 1


def test_part_that_is_longer_than_the_file_is_dropped(
    request_: Request, recorder: Recorder
) -> None:
    request_.target.parent.mkdir()
    request_.target.with_name("file.part").write_bytes(DATA + b"more")
    assert fetch(request_, recorder.ui).read_bytes() == DATA


def test_server_without_ranges_starts_over(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    site.ranges = False
    site.break_after = [1000]
    assert fetch(request_, recorder.ui).read_bytes() == DATA


def test_link_that_gives_nothing_more_is_given_up_and_kept(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    site.break_after = [1000] + [0] * 20
    with pytest.raises(LabError, match="5 attempts without a new byte"):
        fetch(request_, recorder.ui)
    assert request_.target.with_name("file.part").read_bytes() == DATA[:1000]
    assert not request_.target.exists()


def test_wrong_digest_is_an_error_that_keeps_the_bad_file_aside(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    site.files["/file"] = b"replaced"
    found = hashlib.sha256(b"replaced").hexdigest()
    with pytest.raises(Mismatch) as caught:
        fetch(request_, recorder.ui)
    assert SHA256 in caught.value.message
    assert found in caught.value.message
    assert caught.value.kept.name == f"file.bad-{found}"
    assert caught.value.kept.read_bytes() == b"replaced"
    assert not request_.target.exists()
    site.files["/file"] = DATA
    assert fetch(request_, recorder.ui).read_bytes() == DATA


def test_file_that_went_bad_in_the_cache_is_noticed(request_: Request, recorder: Recorder) -> None:
    fetch(request_, recorder.ui)
    request_.target.write_bytes(b"rot")
    with pytest.raises(Mismatch):
        fetch(request_, recorder.ui)
    assert not request_.target.exists()


def test_file_that_is_there_is_not_fetched_again(
    request_: Request, site: FakeSite, recorder: Recorder
) -> None:
    fetch(request_, recorder.ui)
    fetch(request_, recorder.ui)
    assert len(site.requests) == 1


def test_absent_file_is_unavailable_at_once(site: FakeSite, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="404"):
        fetch(Request(f"{site.url}/absent", tmp_path / "absent"), Recorder().ui)
    assert len(site.requests) == 1


def test_no_server_at_all_is_an_infrastructure_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="Cannot fetch") as caught:
        fetch(Request("http://127.0.0.1:9/x", tmp_path / "x"), Recorder().ui)
    assert caught.value.exit_code == 3


def test_progress_counts_bytes_of_the_whole_file(
    request_: Request, site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.core.ui.PLAIN_INTERVAL", 0.0)
    stream = io.StringIO()
    site.break_after = [524288]
    fetch(request_, Recorder(stream).ui)
    assert "download file: 1.0 MiB of 1.0 MiB (100%)" in stream.getvalue()
    assert "512.0 KiB of 1.0 MiB (50%)" in stream.getvalue()
