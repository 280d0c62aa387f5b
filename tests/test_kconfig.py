# SPDX-License-Identifier: MIT
"""Fragments against each other, and the reader that explains what conf dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.kernel.fragments import dropped, merged_text, read_config, read_fragments
from lab.kernel.kconfig import Kconfig, evaluate
from tests.fakes import Workshop, make_workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return make_workshop(tmp_path, monkeypatch)


@pytest.fixture
def kconfig(workshop: Workshop) -> Kconfig:
    return Kconfig(workshop.tree.path, "x86")


def test_fragments_are_merged_in_order(workshop: Workshop) -> None:
    one = workshop.fragment("one.config", '# why\nCONFIG_A=y\nCONFIG_S="a b"\n')
    two = workshop.fragment("two.config", "# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_A=y\n")
    assert merged_text(read_fragments([one, two])) == (
        'CONFIG_A=y\nCONFIG_S="a b"\n# CONFIG_B is not set\n# CONFIG_C is not set\n'
    )


def test_fragments_that_disagree_are_both_named(workshop: Workshop) -> None:
    one = workshop.fragment("one.config", "CONFIG_A=y\n")
    two = workshop.fragment("two.config", "\n# CONFIG_A is not set\n")
    with pytest.raises(UsageError, match=r"CONFIG_A: one.config, line 1.*two.config, line 2"):
        read_fragments([one, two])


@pytest.mark.parametrize("line", ["CONFIG_A", "A=y", "CONFIG-A=y", "y"])
def test_a_line_that_is_none_is_named(workshop: Workshop, line: str) -> None:
    fragment = workshop.fragment("one.config", f"# why\n{line}\n")
    with pytest.raises(UsageError, match=r"one.config, line 2"):
        read_fragments([fragment])


def test_every_requested_line_is_held_against_the_config(workshop: Workshop) -> None:
    fragment = workshop.fragment(
        "one.config", 'CONFIG_A=y\nCONFIG_B=n\nCONFIG_C=y\nCONFIG_D=n\nCONFIG_S="x"\nCONFIG_N=8\n'
    )
    config = read_config(
        'CONFIG_A=y\nCONFIG_D=y\nCONFIG_S="y"\n# CONFIG_C is not set\nCONFIG_N=8\n'
    )
    wrong = dropped(read_fragments([fragment]), config)
    assert [request.option for request in wrong] == ["C", "D", "S"]


def test_options_are_found_through_source_and_in_blocks(kconfig: Kconfig) -> None:
    for name in ("NET", "64BIT", "INET", "FILTER", "LAZY", "OLD_NAME"):
        assert kconfig.knows(name), name
    assert not kconfig.knows("NOT_AN_OPTION")


def test_dependencies_come_from_the_option_and_from_what_it_lies_in(kconfig: Kconfig) -> None:
    unmet = kconfig.unmet("INET", {})
    assert [part.expression for part in unmet] == ["NET", "FUTEX", "(64BIT || COMPAT)"]
    assert unmet[2].values == (("64BIT", "n"), ("COMPAT", "n"))
    assert kconfig.unmet("INET", {"NET": "y", "FUTEX": "y", "COMPAT": "y"}) == []


def test_what_only_the_compiler_knows_is_shown_as_undecided(kconfig: Kconfig) -> None:
    (part,) = kconfig.unmet("FILTER", {"NET": "y"})
    assert part.expression == "$(cc-option,-mfancy)"


def test_a_conditional_dependency_binds_under_its_condition(kconfig: Kconfig) -> None:
    assert kconfig.unmet("EAGER", {}) == []
    assert len(kconfig.unmet("EAGER", {"NET": "y"})) == 1


def test_prompts_choices_and_selectors_are_known(kconfig: Kconfig) -> None:
    assert kconfig.settable("NET")
    assert not kconfig.settable("HASH")
    assert kconfig.in_choice("LAZY")
    assert not kconfig.in_choice("NET")
    assert kconfig.active_selectors("HASH", {"FUTEX": "y", "NET": "y"}) == ["FUTEX"]
    assert kconfig.active_selectors("HASH", {"FUTEX": "y"}) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("", True),
        ("A", True),
        ("!A", False),
        ("B", False),
        ("A && B", False),
        ("B || A && !B", True),
        ("(A || B) && B", False),
        ('S = "text"', True),
        ('S != "text"', False),
        ("N >= 10", True),
        ("N < 10", False),
        ("M", True),
        ("A = y", True),
        ("$(cc-option,-f(x))", None),
        ("$(x) && B", False),
        ("$(x) || A", True),
        ("!$(x)", None),
        ("A &&", None),
    ],
)
def test_expressions(expression: str, value: bool | None) -> None:
    config = {"A": "y", "M": "m", "S": '"text"', "N": "12"}
    assert evaluate(expression, config) is value
