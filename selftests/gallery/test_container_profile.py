# SPDX-License-Identifier: MIT
"""A container runtime's profile in C says what libseccomp's translation of it says."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from selftests.gallery import container_profile, verdicts
from selftests.gallery.container_profile_json import Profile, read
from selftests.gallery.container_profile_libseccomp import compiled
from selftests.gallery.verdicts import Question
from selftests.harness import child, privileges
from selftests.harness.objects import guest_file
from selftests.harness.patches import proves
from selftests.harness.privileges import PTRACE_SCOPE, sysctl
from selftests.harness.sys import errno_of
from selftests.harness.uapi import CAP_BPF, NR, SECCOMP_RET_ALLOW

pytestmark = [proves("program-type", "libbpf")]


def profile_of(variant: str) -> Profile:
    """The profile that the lab has translated, for a row of VARIANTS; or that of the tests."""
    if variant == "operators":
        return read(container_profile.OPERATORS, container_profile.container(()))
    whose = container_profile.container(container_profile.VARIANTS[variant])
    return read(guest_file(container_profile.PROFILE), whose)


def in_c(variant: str, asked: Sequence[Question]) -> tuple[int, ...]:
    """What the translation says; its size goes to the test's output."""
    with container_profile.load(variant) as filter_:
        print(f"{variant}: {filter_.insns()} instructions in eBPF, {len(asked)} calls asked about")
        return verdicts.of_extended(filter_.prog, asked)


def by_libseccomp(profile: Profile, asked: Sequence[Question]) -> tuple[int, ...]:
    """What libseccomp's filter says."""
    program = compiled(profile)
    print(f"{len(program) // 8} instructions in classic BPF")
    return verdicts.of_classic(program, asked)


def differences(asked: Sequence[Question], *answers: tuple[int, ...]) -> list[str]:
    """Where two filters differ."""
    return [
        f"{one}: {here:#x} in C, {there:#x} by libseccomp"
        for one, here, there in zip(asked, *answers, strict=True)
        if here != there
    ]


@pytest.mark.parametrize("variant", [*container_profile.VARIANTS, "operators"])
def test_all_calls_get_the_verdict_of_libseccomps_filter(variant: str) -> None:
    """Numbers to 1023 of each way to make a call, and both sides of each condition on arguments."""
    profile = profile_of(variant)
    asked = verdicts.questions(profile)
    answers = in_c(variant, asked), by_libseccomp(profile, asked)
    assert differences(asked, *answers) == []
    # The filter told something apart, and so did who asked.
    assert {SECCOMP_RET_ALLOW, profile.default} < set(answers[0])


def test_the_filter_of_another_container_is_told_apart() -> None:
    """Capabilities make a difference, which the comparison finds."""
    profile = profile_of("none")
    asked = verdicts.questions(profile)
    assert differences(asked, in_c("all", asked), by_libseccomp(profile, asked))


@proves("tier-1", "yama")
def test_the_filter_loads_where_state_is_denied() -> None:
    """It is pure: a loader with CAP_BPF alone in ptrace_scope 2 has it, and it is at work."""
    asked = [Question(NR.getppid), Question(NR.perf_event_open)]
    expected = [verdict & 0xFFFF if verdict != SECCOMP_RET_ALLOW else 0
                for verdict in by_libseccomp(profile_of("none"), asked)]  # fmt: skip

    def case() -> list[int]:
        privileges.set_caps(CAP_BPF)
        container_profile.load("none").install()
        os.getppid()
        return [errno_of(one.nr) for one in asked]

    with sysctl(PTRACE_SCOPE, 2):
        assert child.run(case) == expected
