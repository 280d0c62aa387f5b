# SPDX-License-Identifier: MIT
"""Stage build, with a fake make."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.kernel.build import BuildRequest, BuildResult, ensure_build
from lab.kernel.config import ConfigResult
from tests.fakes import ARCH, Workshop, make_workshop
from tests.support import Recorder


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return make_workshop(tmp_path, monkeypatch)


def build(
    workshop: Workshop, recorder: Recorder | None = None, digest: str = "digest"
) -> BuildResult:
    config = ConfigResult(workshop.build_dir / ".config", digest, False, 1)
    request = BuildRequest(workshop.tree, ARCH, config, workshop.build_dir, workshop.toolchain, 1)
    return ensure_build(request, (recorder or Recorder()).ui)


def test_nothing_changed_runs_nothing(workshop: Workshop) -> None:
    first, again = build(workshop), build(workshop)
    assert workshop.made == ["vmlinux"]
    assert (first.fresh, again.fresh) == (True, False)
    assert (again.objects, again.release, again.image) == (6, "7.3.4-toy", first.image)
    assert "kernel/part4.o" in first.log.read_text()


def test_an_edit_a_config_and_a_tool_each_build_again(workshop: Workshop) -> None:
    build(workshop)
    edited = workshop.edit("int changed;\n")
    assert build(edited).image.read_text() == "int changed;\n"
    build(edited, digest="other")
    edited.toolchain.versions["gcc"] = "gcc 13"  # type: ignore[index]
    build(edited, digest="other")
    assert len(workshop.made) == 4


def test_an_unchanged_edit_builds_once(workshop: Workshop) -> None:
    edited = workshop.edit("int changed;\n")
    build(edited)
    build(edited)
    assert len(workshop.made) == 1


def test_an_image_that_somebody_else_wrote_is_built_again(workshop: Workshop) -> None:
    build(workshop).image.write_text("by hand")
    assert build(workshop).image.read_text() == "int seccomp;\n"


def test_warnings_are_collected_and_kept(workshop: Workshop) -> None:
    edited = workshop.edit("WARN\n")
    recorder = Recorder()
    first = build(edited, recorder)
    assert len(first.warnings) == 1
    assert "unused variable" in recorder.said
    assert build(edited).warnings == first.warnings


def test_a_compile_error_is_shown_with_its_line(workshop: Workshop) -> None:
    edited = workshop.edit("BROKEN\n")
    with pytest.raises(LabError) as caught:
        build(edited)
    assert "kernel/seccomp.c:3:9: error: 'nonsense' undeclared" in caught.value.message
    assert "^~~~~~~~" in caught.value.message
    assert "make[2]" not in caught.value.message
    assert "build.log" in caught.value.hint


def test_a_failed_build_leaves_no_stamp(workshop: Workshop) -> None:
    build(workshop)
    with pytest.raises(LabError):
        build(workshop.edit("BROKEN\n"))
    workshop.edit("int seccomp;\n")
    build(workshop)
    assert len(workshop.made) == 3


def test_an_interrupted_build_leaves_no_stamp(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(workshop)
    slow = workshop.edit("SLOW\n")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.core.ui.PlainProgress.advance", interrupt)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build(slow)
    assert time.monotonic() - started < 30
    monkeypatch.undo()
    monkeypatch.setenv("PATH", f"{workshop.root / 'tools'}:/usr/bin:/bin")
    workshop.edit("int seccomp;\n")
    build(workshop)
    assert workshop.made == 3 * ["vmlinux"]
    assert threading.active_count() == 1


def test_the_count_of_the_last_full_build_is_the_measure(workshop: Workshop) -> None:
    counts = workshop.build_dir.parent / "neighbour/.lab/objects.json"
    counts.parent.mkdir(parents=True)
    counts.write_text('{"cold": 4000}')
    seen: list[int | None] = []
    ui = Recorder().ui
    original = ui.progress

    def progress(label: str, total: int | None = None, unit: str = "") -> object:
        seen.append(total)
        return original(label, total, unit)

    ui.progress = progress  # type: ignore[method-assign, assignment]
    config = ConfigResult(workshop.build_dir / ".config", "digest", False, 1)
    request = BuildRequest(workshop.tree, ARCH, config, workshop.build_dir, workshop.toolchain, 1)
    ensure_build(request, ui)
    assert seen == [4000]
