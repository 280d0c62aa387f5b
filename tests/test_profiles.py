# SPDX-License-Identifier: MIT
"""The tables of configurations and profiles."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.kernel.arches import ARCHES
from lab.kernel.fragments import read_fragments
from lab.kernel.profiles import ALL, CONFIGURATIONS, PROFILES, find_profiles
from lab.source.bases import BASES, MAIN_BASE, base_lacks
from selftests.harness import lacks


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda row: row.name)
@pytest.mark.parametrize("series", [True, False])
def test_the_fragments_of_a_configuration_exist_and_agree(
    configuration: object, series: bool
) -> None:
    for row in CONFIGURATIONS:
        if row is configuration:
            assert read_fragments(row.fragment_files(ARCHES[0], series))


def test_names_are_unique() -> None:
    assert len({row.name for row in PROFILES}) == len(PROFILES)
    assert len({row.name for row in CONFIGURATIONS}) == len(CONFIGURATIONS)


def test_what_profiles_and_bases_lack_is_what_the_suite_can_miss() -> None:
    by_profiles = {
        lacks.YAMA,
        lacks.BPF_LSM,
        lacks.JIT,
        lacks.SWITCH,
        lacks.RETRIEVAL,
    }
    by_bases = {
        lacks.BASE_HELPERS,
        lacks.KFUNCS,
        lacks.INSN_ARRAYS,
        lacks.BOUND_MAPS,
        lacks.UNTRUSTED,
        lacks.UPROBE,
        lacks.SET_SYSCALL_INFO,
        lacks.EMPTY_STRINGS,
    }
    assert {what for row in PROFILES for what in row.lacks} == by_profiles
    assert {what for name in BASES for what in base_lacks(name)} == by_bases
    assert base_lacks(MAIN_BASE) == ()


def test_all_is_what_does_not_stand_apart() -> None:
    names = [row.name for row in find_profiles(ALL)]
    assert {"default", "no-security", "control", "before"} <= set(names)
    assert "debug" not in names


def test_several_profiles_are_named_with_commas_and_each_counts_once() -> None:
    assert [row.name for row in find_profiles("yama, no-lsm,yama")] == ["yama", "no-lsm"]
    with pytest.raises(UsageError, match="no profile 'nonsense'"):
        find_profiles("yama,nonsense")
