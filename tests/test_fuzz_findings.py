# SPDX-License-Identifier: MIT
"""What came of loading, and which program a finding is about."""

from __future__ import annotations

from typing import Any

import pytest

from lab.guest.splats import Splat
from lab.jobs.fuzz.figures import COUNTS, Figures, shallow
from lab.jobs.fuzz.guest import Told
from lab.jobs.fuzz.locate import (
    SPLAT,
    Finding,
    findings_of,
    index_of,
    place_of,
    shown_by,
    signature_of,
)
from lab.jobs.fuzz.outcomes import ACCEPTED, Outcomes, kind_of
from lab.runs import journal
from tests.fuzzing import case, outcomes_event

# --- outcomes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ACCEPTED, ACCEPTED),
        ("EACCES: maps are refused to this program: denied by LSM (seccomp_extended)",
         "state denied by the LSM"),
        ("EACCES: kernel variables are refused to this program: needs a loader with CAP_SYS_PTRACE"
         " in the initial user namespace", "kernel memory refused"),
        ("EACCES: R# !read_ok", "register not initialised"),
        ("EINVAL: program of this type cannot use helper bpf_skb_store_bytes##",
         "helper not offered"),
        ("EINVAL: jump out of range from insn # to #", "jump out of range"),
        ("EACCES: invalid bpf_context access off=# size=#", "context access"),
        ("EINVAL: ", "attach type, flags or licence"),
        ("ELOOP: not loaded, it calls itself, and # may not come back", "not loaded: hangs 7.3"),
        ("EINVAL: what nobody has ever said", "EINVAL: what nobody has ever said"),
    ],
)  # fmt: skip
def test_what_the_verifier_says_has_a_kind(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_texts_of_one_kind_are_counted_together() -> None:
    outcomes = Outcomes.of(
        [
            ("accepted", 6, 0),
            ("EINVAL: program of this type cannot use helper bpf_a##", 2, 9),
            ("EINVAL: program of this type cannot use helper bpf_b##", 1, 4),
            ("EACCES: R# !read_ok", 1, 2),
        ]
    )
    assert (outcomes.total, outcomes.accepted, outcomes.rejections) == (10, 6, 2)
    assert outcomes.rows[1].count == 3
    assert outcomes.rows[1].first == 4
    assert "60.0 %  accepted" in outcomes.table()[0]


MANY = [["accepted", 2000, 0], *([f"EINVAL: reason {chr(97 + n)}", 100, n] for n in range(26))]


def figures(counts: list[list[object]], **told: Any) -> Figures:
    taken = Figures()
    taken.take(outcomes_event(counts, **told))
    return taken


def test_a_generator_that_is_shallow_fails_once_there_is_enough() -> None:
    few = figures([["accepted", 10, 0]])
    assert shallow(few)[0] == journal.SKIPPED
    refused = figures([["accepted", 100, 0], ["EACCES: R# !read_ok", 2900, 1]])
    assert shallow(refused)[0] == journal.FAILED
    one_reason = figures([["accepted", 1500, 0], ["EACCES: R# !read_ok", 1500, 1]])
    assert shallow(one_reason)[0] == journal.FAILED
    assert shallow(figures(MANY)) == (journal.PASSED, "")


@pytest.mark.parametrize("name", COUNTS)
def test_what_was_never_done_is_no_success(name: str) -> None:
    assert shallow(figures(MANY, **{name: 0}))[0] == journal.FAILED


@pytest.mark.parametrize("loaded", [0, 90])
def test_a_loader_that_loads_nothing_or_everything_is_none(loaded: int) -> None:
    outcome, message = shallow(figures(MANY, loaders={"user": [90, 30], "token": [90, loaded]}))
    assert (outcome, "token" in message) == (journal.FAILED, True)


# --- which program it was -------------------------------------------------------------------


def splat(headline: str, test: str | None) -> Splat:
    return Splat("WARNING", headline, 5, test, ())


def test_a_marker_names_the_programs() -> None:
    assert place_of("fuzz 77:256+128") == (256, 128)
    assert place_of("fuzz case 12") == (12, 1)
    assert place_of("fuzz 77:9+1") == (9, 1)
    assert place_of("selftests/test_x.py::test_y") == (None, 0)
    assert place_of(None) == (None, 0)


def test_a_splat_is_the_same_whatever_its_addresses() -> None:
    one = signature_of(splat("WARNING: kernel/seccomp.c:7 at f+0x1f/0x30, CPU#1: fuzz/12", None))
    two = signature_of(splat("WARNING: kernel/seccomp.c:7 at f+0x1f/0x30, CPU#0: fuzz/9876", None))
    assert one == two
    assert one != signature_of(splat("WARNING: kernel/seccomp.c:7 at g+0x1f/0x30", None))


def test_a_finding_is_told_once_a_kind() -> None:
    row = {"event": "finding", "kind": "mismatch", "what": "a", "index": 5}
    rows = [{**row, "case": case().fields, "index": n} for n in (5, 9)]
    told = Told(events=rows, splats=[splat("WARNING: 1", "fuzz 3:128+128")] * 2)
    mismatch, spoke = findings_of(told)
    assert (mismatch.kind, mismatch.index) == ("mismatch", 5)
    assert (spoke.kind, spoke.first, spoke.count, spoke.case) == (SPLAT, 128, 128, None)


def test_the_case_that_shows_a_splat_is_the_one_marked() -> None:
    finding = Finding(SPLAT, "WARNING: x", signature_of(splat("WARNING: at f", None)))
    told = Told(
        splats=[splat("WARNING: at g", "fuzz case 1"), splat("WARNING: at f", "fuzz case 3")]
    )
    assert shown_by(told, finding) == [3]
    told = Told(splats=[splat("WARNING: at f", "fuzz 9:130+1")])
    assert index_of(told, finding) == 130
