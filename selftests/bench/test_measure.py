# SPDX-License-Identifier: MIT
"""What `lab bench` measures does what it is said to: a few calls of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from selftests.bench.filters import Shelf
from selftests.bench.measure import Unmeasured, sample
from selftests.harness.patches import proves

pytestmark = [pytest.mark.usefixtures("state_allowed")]

language = proves("program-type")
memory = proves("user-memory")
storage = proves("task-storage")


def row(mode: str, filter_: str, **fields: Any) -> dict[str, Any]:
    """A row of a plan: 200 calls, of which half are refused."""
    base = {"mode": mode, "filter": filter_, "workload": "mixed", "calls": 200, "refused": 100}
    return {**base, "threads": 1, "copies": 1, **fields}


@pytest.mark.parametrize(
    "filter_",
    [
        pytest.param("pure", marks=language),
        pytest.param("array", marks=language),
        pytest.param("hash", marks=language),
        pytest.param("storage", marks=storage),
        pytest.param("user-string", marks=memory),
    ],
)
def test_a_filter_refuses_half_of_the_calls(filter_: str) -> None:
    """From one thread, from two, and under two filters; another number is no sample."""
    shelf = Shelf()
    for fields in ({}, {"threads": 2}, {"copies": 2}):
        assert sample(row("calls", filter_, **fields), shelf) > 0
    with pytest.raises(Unmeasured, match="100 of 200 calls were refused instead of 0"):
        sample(row("calls", filter_, refused=0), shelf)


@memory
def test_a_fault_and_a_log_are_measured() -> None:
    """The filters of the gallery."""
    shelf = Shelf()
    assert sample(row("calls", "inject-fault", workload="fault", refused=200), shelf) > 0
    assert sample(row("logged", "", refused=0), shelf) > 0


@language
def test_loads_and_attachments_are_measured() -> None:
    """Up to where a path of filters is too long."""
    shelf = Shelf()
    assert sample(row("load", "", length=4096), shelf) > 0
    assert sample(row("attach", "ebpf-list:1024"), shelf) > 0
    with pytest.raises(Unmeasured, match="Cannot allocate memory"):
        sample(row("attach", "ebpf-list:32769"), shelf)


@language
def test_the_memory_of_filters_is_counted() -> None:
    """One that is attached many times takes less than the page that its program has."""
    assert 0 < sample(row("memory", "pure", copies=400), Shelf()) < 4096
