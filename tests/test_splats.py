# SPDX-License-Identifier: MIT
"""The console scan, against golden logs."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.guest import splats
from lab.guest.splats import load_allowlist, scan, scan_file

GOLDEN = Path(__file__).with_name("golden")
TODAY = datetime.date(2027, 1, 15)

ENTRY = """
[[allow]]
pattern = "seccomp_run_filters"
reason = "known, being mended"
expires = {day}
"""


def kinds(name: str) -> list[str]:
    return [splat.kind for splat in scan_file(GOLDEN / name)]


def allowlist(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "allow.toml"
    path.write_text(text)
    return path


def test_a_clean_boot_with_audit_lines_and_user_faults_is_clean() -> None:
    assert kinds("clean.log") == []


def test_a_panic_is_found_with_the_test_in_flight_and_its_trace() -> None:
    (panic,) = scan_file(GOLDEN / "panic.log")
    assert (panic.kind, panic.line, panic.test) == (
        "panic",
        15,
        "selftests/test_toy.py::test_panic",
    )
    assert panic.headline == "Kernel panic - not syncing: sysrq triggered crash"
    assert any("sysrq_handle_crash" in line for line in panic.excerpt)


def test_a_warning_is_one_splat_and_an_oops_with_its_panic_three() -> None:
    assert kinds("warnings.log") == ["WARNING", "oops", "oops", "panic"]


def test_each_splat_names_the_test_that_ran() -> None:
    tests = [splat.test for splat in scan_file(GOLDEN / "warnings.log")]
    assert tests == ["selftests/test_a.py::test_one"] + 3 * ["selftests/test_a.py::test_two"]


def test_the_excerpt_ends_with_the_splat() -> None:
    warning = scan_file(GOLDEN / "warnings.log")[0]
    assert warning.excerpt[-1].startswith("---[ end trace")


def test_every_debugging_tool_of_the_kernel_is_heard_behind_a_caller_prefix() -> None:
    assert kinds("debug.log") == [
        "kasan",
        "ubsan",
        "kmemleak",
        "lockdep",
        "lockdep",
        "rcu",
        "rcu stall",
        "rcu stall",
        "hung task",
        "lockup",
        "lockup",
        "BUG",
        "BUG",
        "corruption",
        "oops",
    ]


def test_a_call_trace_without_a_headline_counts() -> None:
    console = f"[    0.0] {splats.BANNER}7.3\n[    1.0] Call Trace:\n"
    assert [splat.kind for splat in scan(console)] == ["trace"]


@pytest.mark.parametrize("console", ["", "\n\n", "qemu: cannot do that\n"])
def test_a_console_that_is_none_is_an_error(console: str) -> None:
    with pytest.raises(LabError):
        scan(console)


def test_a_missing_console_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be read"):
        scan_file(tmp_path / "console.log")


def test_bytes_that_are_no_text_do_not_stop_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"[ 0.0] Linux version 7.3\n\xff\xfe\n[ 1.0] BUG: broken\n")
    assert [splat.kind for splat in scan_file(path)] == ["BUG"]


def test_an_allowed_splat_keeps_its_reason_and_its_day(tmp_path: Path) -> None:
    entries = load_allowlist(allowlist(tmp_path, ENTRY.format(day="2027-02-01")), TODAY)
    found = scan_file(GOLDEN / "warnings.log", entries)
    assert [splat.allowed for splat in found] == [
        "known, being mended (until 2027-02-01)",
        None,
        None,
        None,
    ]


def test_an_expired_entry_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"seccomp_run_filters.*expired on 2027-01-14"):
        load_allowlist(allowlist(tmp_path, ENTRY.format(day="2027-01-14")), TODAY)


def test_an_entry_is_good_through_its_last_day(tmp_path: Path) -> None:
    assert load_allowlist(allowlist(tmp_path, ENTRY.format(day="2027-01-15")), TODAY)


@pytest.mark.parametrize(
    "text",
    [
        '[[allow]]\npattern = "x"\nexpires = 2027-02-01\n',
        '[[allow]]\npattern = "x"\nreason = " "\nexpires = 2027-02-01\n',
        '[[allow]]\npattern = "x"\nreason = "y"\n',
        '[[allow]]\npattern = "x"\nreason = "y"\nexpires = "2027-02-01"\n',
        '[[allow]]\npattern = "("\nreason = "y"\nexpires = 2027-02-01\n',
        "[[allow]\n",
    ],
)
def test_a_malformed_allowlist_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(LabError):
        load_allowlist(allowlist(tmp_path, text), TODAY)


def test_the_projects_own_allowlist_can_be_read() -> None:
    load_allowlist()


WARNED = """\
[    0.000000] Linux version 7.3.4
[    1.000000] seccomp-lab: start selftests/a.py::test_b
[    2.000000] python: {what}, mode:0x100dc0(GFP_USER|__GFP_ZERO), nodemask=(null)
[    2.000001] CPU: 1 UID: 0 PID: 71 Comm: python Not tainted 7.3.4+ #1
[    2.000002] Call Trace:
"""


@pytest.mark.parametrize(
    ("what", "allowed"),
    [
        ("vmalloc error: size 4096, align 0x1, vm_struct allocation failed", True),
        ("vmalloc error: size 4096, failed to allocated page array size 8", True),
        ("page allocation failure: order:6", False),
    ],
)
def test_an_allocation_that_fails_is_a_splat_of_its_own_and_allowed_if_injected(
    what: str, allowed: bool
) -> None:
    (splat,) = scan(WARNED.format(what=what), load_allowlist(today=TODAY))
    assert splat.kind == "allocation"
    assert bool(splat.allowed) == allowed
