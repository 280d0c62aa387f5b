# SPDX-License-Identifier: MIT
"""Stage config, with a fake make that can drop options."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError, UsageError
from lab.kernel.config import ConfigRequest, ConfigResult, ensure_config
from lab.kernel.fragments import read_fragment
from lab.kernel.profiles import KCONFIGS
from lab.source.bases import BASES
from tests.fakes import ARCH, Workshop, make_workshop
from tests.support import Recorder


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return make_workshop(tmp_path, monkeypatch)


def configure(workshop: Workshop, *fragments: Path) -> ConfigResult:
    request = ConfigRequest(workshop.tree, ARCH, fragments, workshop.build_dir, workshop.toolchain)
    return ensure_config(request, Recorder().ui)


def test_a_config_is_made_once(workshop: Workshop) -> None:
    fragment = workshop.fragment("one.config", "CONFIG_NET=y\n")
    first = configure(workshop, fragment)
    again = configure(workshop, fragment)
    assert (first.changed, again.changed, first.digest) == (True, False, again.digest)
    assert workshop.made == ["allnoconfig"]
    assert "CONFIG_NET=y" in first.path.read_text()


def test_a_change_that_comes_to_the_same_leaves_the_file_alone(workshop: Workshop) -> None:
    fragment = workshop.fragment("one.config", "CONFIG_NET=y\n")
    before = configure(workshop, fragment).path.stat().st_mtime_ns
    fragment.write_text("# a comment\nCONFIG_NET=y\n")
    result = configure(workshop, fragment)
    assert (result.changed, result.path.stat().st_mtime_ns) == (False, before)
    assert len(workshop.made) == 2


def test_a_changed_source_file_needs_no_new_config(workshop: Workshop) -> None:
    fragment = workshop.fragment("one.config", "CONFIG_NET=y\n")
    configure(workshop, fragment)
    configure(workshop.edit("int changed;\n"), fragment)
    assert len(workshop.made) == 1


def test_a_changed_kconfig_does(workshop: Workshop) -> None:
    fragment = workshop.fragment("one.config", "CONFIG_NET=y\n")
    configure(workshop, fragment)
    edited = workshop.edit("int changed;\n")
    with (workshop.tree.path / "arch/x86/Kconfig").open("a") as file:
        file.write("config MORE\n")
    configure(edited, fragment)
    assert len(workshop.made) == 2


def test_a_config_that_somebody_edited_is_made_again(workshop: Workshop) -> None:
    fragment = workshop.fragment("one.config", "CONFIG_NET=y\n")
    path = configure(workshop, fragment).path
    path.write_text("CONFIG_OTHER=y\n")
    assert "CONFIG_NET=y" in configure(workshop, fragment).path.read_text()


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("INET", r"unmet dependency: NET \(NET=n\), Kconfig:\d+; FUTEX"),
        ("NOPE", "no such option"),
        ("HASH", "no prompt"),
        ("LAZY", "another member of its choice"),
        ("FUTEX", "its own dependencies are met"),
    ],
)
def test_a_dropped_line_stops_the_run_and_says_why(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, option: str, reason: str
) -> None:
    good = workshop.fragment("good.config", "CONFIG_64BIT=y\n")
    before = configure(workshop, good).path.read_text()
    monkeypatch.setenv("FAKE_DROPS", f"CONFIG_{option}=")
    bad = workshop.fragment("bad.config", f"# why\nCONFIG_{option}=y\n")
    with pytest.raises(UsageError, match=rf"CONFIG_{option}=y \(bad.config, line 2\).*{reason}"):
        configure(workshop, good, bad)
    assert (workshop.build_dir / ".config").read_text() == before


def test_a_dropped_line_is_dropped_the_next_time_too(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DROPS", "CONFIG_NET")
    fragment = workshop.fragment("one.config", "CONFIG_NET=y\n")
    for _ in range(2):
        with pytest.raises(UsageError):
            configure(workshop, fragment)


def test_a_failing_conf_is_quoted(workshop: Workshop) -> None:
    make = workshop.root / "tools/make"
    make.write_text("#!/bin/sh\necho 'flex: not found' >&2\nexit 2\n")
    with pytest.raises(LabError, match="flex: not found"):
        configure(workshop, workshop.fragment("one.config", "CONFIG_NET=y\n"))


# --- options that a base does not have --------------------------------------------------------


def absent_request(workshop: Workshop, absent: str) -> ConfigRequest:
    return ConfigRequest(
        workshop.tree,
        ARCH,
        (workshop.fragment("one.config", "CONFIG_NET=y\nCONFIG_NOPE=y\n"),),
        workshop.build_dir,
        workshop.toolchain,
        workshop.fragment("absent.config", f"# why\n{absent}\n"),
    )


def test_what_a_base_does_not_have_is_not_asked_for(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DROPS", "CONFIG_NOPE")
    request = absent_request(workshop, "CONFIG_NOPE=y")
    result = ensure_config(request, Recorder().ui)
    assert result.requested == 1
    assert "NOPE" not in result.path.read_text()
    # The list is one of the things that a configuration depends on.
    absent_request(workshop, "CONFIG_NOPE=n")
    with pytest.raises(UsageError, match=r"CONFIG_NOPE=y .*no such option"):
        ensure_config(request, Recorder().ui)


def test_what_is_said_to_be_absent_must_be(workshop: Workshop) -> None:
    request = absent_request(workshop, "CONFIG_NET=y")
    with pytest.raises(
        UsageError, match=r"absent.config, line 2, says that there is no CONFIG_NET"
    ):
        ensure_config(request, Recorder().ui)


@pytest.mark.parametrize("file", sorted((KCONFIGS / "absent").glob("*.config")), ids=str)
def test_the_lists_of_absent_options_name_what_is_asked_for(file: Path) -> None:
    """A line that no fragment has would say nothing."""
    asked = {
        (line.option, line.value)
        for fragment in KCONFIGS.rglob("*.config")
        if fragment.parent != file.parent
        for line in read_fragment(fragment)
    }
    assert file.stem in BASES
    assert {(line.option, line.value) for line in read_fragment(file)} <= asked
