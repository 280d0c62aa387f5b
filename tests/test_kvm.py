# SPDX-License-Identifier: MIT
"""The KVM probe, with programs that behave as QEMU does where KVM works and where it does not."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from lab.core.cache import Cache
from lab.guest import kvm

FAKE = """#!/bin/sh
for word in "$@"; do
    case $word in
    file:*) serial=${word#file:} ;;
    kvm) accelerator=kvm ;;
    tcg) accelerator=tcg ;;
    esac
done
echo $accelerator >> CALLS
alive() { printf 'seccomp-lab guest alive' > "$serial"; exit 85; }
case $accelerator in
kvm) KVM ;;
tcg) TCG ;;
esac
"""

BEHAVIOUR = {
    "works": "alive",
    "spins without a byte": "exec sleep 60",
    "interprets": "printf 'KVM internal error.\\nRAX=0\\n' >&2; exec sleep 60",
    "ends when stopped": "trap 'echo q: terminating on signal 15; exit 0' TERM; sleep 60 & wait",
    "aborts": "echo 'qemu: kvm_buf_set_msrs: Assertion failed' >&2; exit 134",
    "ends without a guest": "exit 0",
    "ends as a guest would, but says nothing": "exit 85",
}


class FakeQemu:
    """A program in QEMU's place."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "qemu-fake"
        self.calls = directory / "calls"
        self.device = directory / "kvm"
        self.device.write_text("")
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")

    def behave(self, under_kvm: str, without: str = "works") -> None:
        text = FAKE.replace("CALLS", str(self.calls))
        text = text.replace("KVM ;;", f"{BEHAVIOUR[under_kvm]} ;;")
        self.path.write_text(text.replace("TCG ;;", f"{BEHAVIOUR[without]} ;;"))
        self.path.chmod(0o755)

    def accelerators(self) -> list[str]:
        return self.calls.read_text().split() if self.calls.exists() else []


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    monkeypatch.setattr(kvm, "KVM_SECONDS", 0.5)
    monkeypatch.setattr(kvm, "TCG_SECONDS", 2.0)
    (tmp_path / "bin").mkdir()
    return FakeQemu(tmp_path / "bin", monkeypatch)


def test_boot_sector_is_one() -> None:
    sector = kvm.boot_sector()
    assert len(sector) == 512
    assert sector[510:] == b"\x55\xaa"
    assert len(kvm.CODE) <= kvm.TABLE_AT
    # Table and marker lie where the code looks for them, loaded at 0x7c00.
    assert bytes.fromhex("0f0116") + struct.pack("<H", 0x7C00 + kvm.TABLE_AT) in kvm.CODE
    assert b"\xbe" + struct.pack("<I", 0x7C00 + kvm.MARKER_AT) in kvm.CODE
    assert sector[kvm.TABLE_AT :].startswith(kvm.TABLE)
    assert sector[kvm.MARKER_AT :].startswith(kvm.MARKER + b"\0")


def test_guest_that_signs_on_means_kvm_works(qemu: FakeQemu) -> None:
    qemu.behave("works")
    assert kvm.try_now("qemu-fake", qemu.device) == kvm.KvmResult(True, "a guest ran")
    assert qemu.accelerators() == ["kvm"]


@pytest.mark.parametrize(("behaviour", "words"), [
    ("spins without a byte", "no sign of life within"),
    ("ends when stopped", "no sign of life within"),
    ("interprets", "no sign of life within 0 s; KVM internal error."),
    ("aborts", "Assertion failed"),
    ("ends without a guest", "without running a guest"),
    ("ends as a guest would, but says nothing", "without running a guest"),
])  # fmt: skip
def test_device_that_opens_and_is_useless(qemu: FakeQemu, behaviour: str, words: str) -> None:
    qemu.behave(behaviour)
    result = kvm.try_now("qemu-fake", qemu.device)
    assert (result.works, result.emulation) == (False, True)
    assert words in result.reason
    assert qemu.accelerators() == ["kvm", "tcg"]


def test_qemu_that_never_runs_a_guest_is_told_from_a_broken_kvm(qemu: FakeQemu) -> None:
    qemu.behave("aborts", "aborts")
    result = kvm.try_now("qemu-fake", qemu.device)
    assert not result.emulation
    assert "without KVM too" in result.reason


def test_absent_device_and_absent_qemu(qemu: FakeQemu, tmp_path: Path) -> None:
    qemu.behave("works")
    result = kvm.try_now("qemu-fake", tmp_path / "absent")
    assert (result.works, result.emulation) == (False, True)
    assert qemu.accelerators() == ["tcg"]
    assert not kvm.try_now("no-qemu-here", qemu.device).emulation


def test_answer_is_kept_until_it_expires(qemu: FakeQemu, cache: Cache) -> None:
    qemu.behave("works")
    for _ in range(3):
        assert kvm.probe(cache, "qemu-fake", qemu.device).works
    assert qemu.accelerators() == ["kvm"]
    file = cache.root / "kvm.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "time": kept["time"] - kvm.EXPIRY_SECONDS - 1}))
    kvm.probe(cache, "qemu-fake", qemu.device)
    assert qemu.accelerators() == ["kvm", "kvm"]


def test_answer_of_another_boot_or_qemu_does_not_count(qemu: FakeQemu, cache: Cache) -> None:
    qemu.behave("works")
    kvm.probe(cache, "qemu-fake", qemu.device)
    file = cache.root / "kvm.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "key": "another boot"}))
    kvm.probe(cache, "qemu-fake", qemu.device)
    file.write_text("{broken")
    kvm.probe(cache, "qemu-fake", qemu.device)
    assert qemu.accelerators() == ["kvm"] * 3


@pytest.mark.skipif(shutil.which(kvm.QEMU) is None, reason="QEMU is not installed")
def test_real_qemu_runs_the_boot_sector(tmp_path: Path) -> None:
    result = kvm.try_now(device=tmp_path / "absent")
    assert result.emulation
