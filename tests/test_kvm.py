# SPDX-License-Identifier: MIT
"""Whether KVM is used: found out with the kernel that is to be booted, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.core.session import Session
from lab.guest import boot, kvm, request
from lab.guest import session as guests
from lab.guest.kvm import KvmResult
from lab.guest.launch import GuestRequest
from lab.guest.request import KVM, TCG, Ready, Wish, prepare
from lab.guest.script import GuestCommand
from lab.kernel.arches import ARCHES
from lab.kernel.plan import Plan
from lab.kernel.profiles import find_profile
from tests.fakes import launcher
from tests.support import Recorder
from tests.worlds import made_kernel

COMMAND = GuestCommand(("true",), Path("/"), {})
BANNER = ("console.log", "[    0.0] Linux version 7.3.4 (toy)\n")
WORKS: list[tuple[str, object]] = [BANNER, ("on", 0), ("status", 0)]
ABORTS: list[tuple[str, object]] = [
    ("say", "qemu: kvm_buf_set_msrs: Assertion"),
    ("exit", 1),
]
INTERPRETS: list[tuple[str, object]] = [("say", "KVM internal error.\nRAX=0"), ("sleep", 60)]
SPINS: list[tuple[str, object]] = [("sleep", 60)]


class Host:
    """A host whose guests play steps, by accelerator."""

    def __init__(self, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device = tmp_path / "kvm"
        self.device.touch()
        self.recorder = Recorder()
        self.session = Session(cache, self.recorder.ui)
        self.runs = tmp_path / "runs"
        self.steps = {KVM: WORKS, TCG: WORKS}
        self.booted: list[str] = []
        monkeypatch.setattr(boot, "virtme_command", self._launch)
        monkeypatch.setattr(kvm, "SIGN_ON_SECONDS", 1.0)
        monkeypatch.setattr(request, "REASON_WIDTH", 1000)
        self._at_device(monkeypatch)

    def _at_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The functions as they are, with another device."""
        closed, remembered, remember = kvm.closed, kvm.remembered, kvm.remember
        monkeypatch.setattr(kvm, "closed", lambda: closed(self.device))
        monkeypatch.setattr(kvm, "remembered", lambda c, q: remembered(c, q, self.device))
        monkeypatch.setattr(kvm, "remember", lambda c, q, r: remember(c, q, r, self.device))
        monkeypatch.setattr(kvm, "DEVICE", self.device)

    def _launch(self, asked: GuestRequest, **_: object) -> list[str]:
        self.booted.append(asked.accelerator)
        return launcher(asked.run_dir, self.steps[asked.accelerator])

    def prepare(self) -> Ready:
        """A guest, whose directory is new."""
        plan = Plan("linux-7.3", False, Path("/p"), False, find_profile("default"), ARCHES[0])
        directory = self.runs / str(len(self.booted))
        # The reader of the answer must not wait for a guest that spins.
        return prepare(self.session, plan, made_kernel(), directory, Wish({"boot": 5.0}))

    def boot(self) -> str:
        """Prepare and boot it; its accelerator."""
        ready = self.prepare()
        guests.session(ready, COMMAND)
        return ready.accelerator.name


@pytest.fixture
def host(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("platform.machine", lambda: ARCHES[0].name)
    return Host(tmp_path, cache, monkeypatch)


def test_a_guest_that_signs_on_under_kvm_is_asked_once(host: Host) -> None:
    assert [host.boot(), host.boot()] == [KVM, KVM]
    assert host.booted == [KVM, KVM, KVM], "the trial, and two guests"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (ABORTS, "QEMU said: qemu: kvm_buf_set_msrs: Assertion"),
        (INTERPRETS, "QEMU said: KVM internal error."),
        (SPINS, "did not sign on within 1 s"),
    ],
    ids=["aborts", "interprets", "spins"],
)
def test_where_kvm_runs_no_kernel_guests_are_emulated(
    host: Host, steps: list[tuple[str, object]], said: str
) -> None:
    host.steps[KVM] = steps
    assert [host.boot(), host.boot()] == [TCG, TCG]
    assert host.booted == [KVM, TCG, TCG], "one trial"
    assert said in host.recorder.said


def test_a_kernel_that_boots_nowhere_says_nothing_about_kvm(host: Host) -> None:
    """An author's kernel that dies at boot must not cost a day of KVM."""
    host.steps = {KVM: ABORTS, TCG: ABORTS}
    assert host.boot() == TCG
    host.steps = {KVM: WORKS, TCG: WORKS}
    assert host.boot() == KVM


def test_a_device_that_is_not_there_is_not_tried(host: Host) -> None:
    host.device.unlink()
    assert host.boot() == TCG
    assert host.booted == [TCG]
    assert f"there is no {host.device}" in host.recorder.said


def test_a_device_of_others_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as denied:
        denied.setattr("os.access", lambda *_: False)
        assert kvm.closed(tmp_path) == f"{tmp_path} may not be opened by this user (group kvm)"
    assert kvm.closed(tmp_path) == ""


def test_a_foreign_architecture_is_emulated(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert host.boot() == TCG
    assert host.booted == [TCG]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"time": row["time"] - kvm.EXPIRY_SECONDS},
        lambda row: row | {"time": row["time"] + 3600},
        lambda row: row | {"key": "another boot"},
        lambda _: [],
    ],
    ids=["a day old", "of the future", "of another boot", "damaged"],
)
def test_an_answer_that_does_not_hold_any_more_is_asked_again(
    host: Host, cache: Cache, change: Callable[[dict[str, float]], object]
) -> None:
    kvm.remember(cache, ARCHES[0].qemu, KvmResult(False, "it was so"))
    file = cache.root / "kvm.json"
    assert host.boot() == TCG
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    assert host.boot() == KVM
