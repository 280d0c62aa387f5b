# SPDX-License-Identifier: MIT
"""Fuzz cases: as text, made small."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab.errors import UsageError
from lab.jobs.fuzz.case import FIELDS, Case, classic_without, decode, without
from lab.jobs.fuzz.minimise import minimise
from tests.fuzzing import EXIT, case, insn, numbered

# --- cases ----------------------------------------------------------------------------------


def test_a_case_as_text_has_a_line_for_each_thing() -> None:
    lines = case(insn=[EXIT], call=["110 1 2 3 4 5 6", "39 0 0 0 0 0 0"]).text().splitlines()
    assert lines[0] == "kind open"
    assert lines[-1] == "end"
    assert f"insn {EXIT}" in lines
    assert sum(line.startswith("call ") for line in lines) == 2
    assert {line.split()[0] for line in lines} <= {*FIELDS, "end"}


@pytest.mark.parametrize("wrong", [None, [], {}, {"kind": "open"}])
def test_what_is_no_case_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        Case.parse(wrong)


def test_a_case_from_before_a_field_was_there_is_one() -> None:
    fields = dict(case().fields)
    del fields["unprivileged_bpf_disabled"]
    assert Case.parse(fields).fields["unprivileged_bpf_disabled"] == 0


def test_a_case_with_numbers_for_lines_is_refused() -> None:
    with pytest.raises(UsageError):
        case(insn=[7])


def test_jumps_go_where_they_went_when_something_between_is_gone() -> None:
    program = [
        insn(0x15, off=3),  # to the exit
        insn(0xB7, imm=1),
        insn(0x18, imm=7),
        insn(0),
        EXIT,
        insn(0x05, off=-6),  # back to the first
    ]
    assert [one.target for one in decode(program)] == [4, None, None, None, 0]
    smaller = without(program, {1})
    assert smaller == [insn(0x15, off=2), insn(0x18, imm=7), insn(0), EXIT, insn(0x05, off=-5)]
    # A wide instruction goes as a whole.
    assert without(program, {2})[:3] == [insn(0x15, off=1), insn(0xB7, imm=1), EXIT]


def test_a_jump_to_what_is_gone_goes_to_what_followed_it() -> None:
    program = [insn(0x15, off=1), insn(0xB7, imm=1), insn(0xB7, imm=2), EXIT]
    assert without(program, {2}) == [insn(0x15, off=1), insn(0xB7, imm=1), EXIT]


def test_calls_and_pointers_to_functions_follow_them_helpers_do_not() -> None:
    program = [
        insn(0x85, src=1, imm=4),
        insn(0x85, imm=5),
        insn(0x18, src=4, imm=2),
        insn(0),
        EXIT,
        EXIT,
    ]
    shorter = without(program, {1})
    assert shorter == [
        insn(0x85, src=1, imm=3), insn(0x18, src=4, imm=2), insn(0), EXIT, EXIT,
    ]  # fmt: skip


def test_a_jump_out_of_the_program_is_left_alone() -> None:
    program = [insn(0x05, off=1000), insn(0xB7), EXIT]
    assert without(program, {1}) == [insn(0x05, off=1000), EXIT]


def test_classic_jumps_go_where_they_went() -> None:
    program = [
        "0015 1 2 0000000a",
        "0020 0 0 00000000",
        "0006 0 0 00000001",
        "0005 0 0 00000000",
        "0006 0 0 7fff0000",
    ]
    assert classic_without(program, {1}) == ["0015 0 1 0000000a", *program[2:]]
    assert classic_without(program, {2}) == [
        "0015 1 1 0000000a", "0020 0 0 00000000", "0005 0 0 00000000", "0006 0 0 7fff0000",
    ]  # fmt: skip


# --- the minimiser --------------------------------------------------------------------------


class Needs:
    """An oracle: a case shows it if it still has certain lines."""

    def __init__(self, **lines: Sequence[str]) -> None:
        self.lines = lines
        self.questions = 0

    def __call__(self, cases: Sequence[Case]) -> list[int]:
        self.questions += 1
        return [number for number, one in enumerate(cases) if self.shown_by(one)]

    def shown_by(self, one: Case) -> bool:
        return all(set(lines) <= set(one.fields[name]) for name, lines in self.lines.items())


def test_only_what_is_needed_is_left() -> None:
    program, calls = numbered(60), [f"{n} 0 0 0 0 0 0" for n in range(16)]
    oracle = Needs(insn=[program[7], program[41]], call=[calls[3]])
    small = minimise(case(insn=program, call=calls), oracle)
    assert small.fields["insn"] == [program[7], program[41]]
    assert small.fields["call"] == [calls[3]]
    assert small.fields["loader"] == "root"
    assert (small.fields["above"], small.fields["scope"]) == ("nobody", 1)
    assert oracle.questions < 60


def test_an_oracle_that_tells_of_one_candidate_a_time_is_enough() -> None:
    program = numbered(24)
    oracle = Needs(insn=[program[5]])
    small = minimise(case(insn=program), lambda cases: oracle(cases)[:1])
    assert small.fields["insn"] == [program[5]]


def test_a_field_that_matters_stays() -> None:
    def oracle(cases: Sequence[Case]) -> list[int]:
        return [n for n, one in enumerate(cases) if one.fields["loader"] == "bpf"]

    small = minimise(case(insn=numbered(3)), oracle)
    assert small.fields["loader"] == "bpf"
    assert small.fields["insn"] == []
    assert small.fields["above"] == "nobody"


def test_of_two_languages_the_common_one_is_made_small() -> None:
    classic = [f"0001 0 0 {n:08x}" for n in range(12)]
    oracle = Needs(classic=[classic[4]])
    small = minimise(case(kind="differential", insn=numbered(9), classic=classic), oracle)
    assert small.fields["classic"] == [classic[4]]
    # The guest translates it.
    assert small.fields["insn"] == []
