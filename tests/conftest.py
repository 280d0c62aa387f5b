# SPDX-License-Identifier: MIT
"""Fixtures shared by the lab's tests: each test has a cache, a home and a server of its own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.core.cache import Cache
from tests.support import FakeSite, Recorder, make_kernel, serve

pytest_plugins = ["tests.post"]
"""A series that goes by mail, for the tests of both ways."""


MEMORY = Path("/dev/shm")
MEMORY_BYTES = 1 << 30
"""Of a file system in memory, from which on the tests use it: containers have 64 MiB."""


def pytest_configure() -> None:
    """Have Ctrl-C in the processes that tests start: a shell starts a background job, and so some
    CI runners start everything, with SIGINT ignored, which is inherited by whatever follows.

    Thousands of small files are made and removed, for which a disk takes longer than the tests.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's cache, settings or proxies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for name in ("SECCOMP_LAB_CACHE", "SECCOMP_LAB_KERNEL_ORG", "SECCOMP_LAB_KERNEL_ORG_KEYRING",
                 "SECCOMP_LAB_BPF_NEXT_URL", "http_proxy", "https_proxy", "HTTP_PROXY",
                 "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache.default(tmp_path / "cache")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    return make_kernel(tmp_path / "kernel")


@pytest.fixture
def site() -> Iterator[FakeSite]:
    with serve(FakeSite()) as running:
        yield running
