# SPDX-License-Identifier: MIT
"""Limits and the clock that watches them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lab.core.deadline import Deadline, Exceeded, Limits, calibrate
from lab.errors import UsageError


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def deadline(clock: Clock) -> Deadline:
    return Deadline(Limits(silence=10, boot=20, total=100), clock)


def test_a_guest_that_does_not_sign_on_meets_the_boot_limit_only() -> None:
    clock = Clock()
    watched = deadline(clock)
    clock.now += 19.9
    assert watched.exceeded() is None
    clock.now += 0.1
    assert watched.exceeded() == Exceeded("boot", 20)


def test_silence_counts_from_the_last_sign_of_life() -> None:
    clock = Clock()
    watched = deadline(clock)
    watched.sign_on()
    clock.now += 9
    watched.heard()
    clock.now += 9.9
    assert watched.exceeded() is None
    clock.now += 0.1
    assert watched.exceeded() == Exceeded("silence", 10)


def test_a_talkative_guest_meets_the_total_limit() -> None:
    clock = Clock()
    watched = deadline(clock)
    watched.sign_on()
    clock.now += 100
    watched.heard()
    assert watched.exceeded() == Exceeded("total", 100)


def test_emulation_foreign_code_and_debugging_each_take_longer() -> None:
    steps = [
        calibrate("kvm", native=True),
        calibrate("tcg", native=True),
        calibrate("tcg", native=False),
        calibrate("tcg", native=False, slowness=3),
    ]
    for name in Limits().as_dict():
        values = [step.as_dict()[name] for step in steps]
        assert values == sorted(set(values))


def test_an_unknown_accelerator_is_no_default() -> None:
    with pytest.raises(KeyError):
        calibrate("hax", native=True)


def test_limits_can_be_replaced_by_name() -> None:
    assert Limits().override({"silence": 5}) == Limits(silence=5)


@pytest.mark.parametrize("settings", [{"noise": 1.0}, {"boot": 0.0}, {"boot": -1.0}])
def test_a_limit_that_makes_no_sense_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Limits().override(settings)
