# SPDX-License-Identifier: MIT
"""Whether guests can use KVM here, found out with the kernel that is to be booted anyway.

``/dev/kvm`` can open and be useless all the same: QEMU aborts, spins without a byte of output, or
KVM refuses an instruction that every kernel needs. No smaller guest tells: one in real mode ran on
a host where each kernel died of cmpxchg16b. So a guest boots its own kernel under KVM once and has
a few seconds to sign on. The answer is kept for a day, this boot of the host and this QEMU.

That KVM does not work is kept only when the same kernel has signed on without it: a kernel that
boots nowhere says nothing about KVM.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.core import records
from lab.core.cache import Cache
from lab.core.stamp import Stamp

DEVICE = Path("/dev/kvm")

SIGN_ON_SECONDS = 5.0
"""For the trial, with the default configuration. A guest takes one or two under KVM."""

EXPIRY_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class KvmResult:
    """``works``, and ``reason`` in words."""

    works: bool
    reason: str


def closed(device: Path = DEVICE) -> str:
    """Why KVM cannot even be tried; "" if it can."""
    if not device.exists():
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} may not be opened by this user (group kvm)"
    return ""


def remembered(cache: Cache, qemu: str, device: Path = DEVICE) -> KvmResult | None:
    """The answer of an earlier guest, if it still holds."""
    kept = _stamp(cache).read(_key(qemu, device))
    try:
        if kept and 0 <= time.time() - kept["time"] < EXPIRY_SECONDS:
            return records.read(KvmResult, kept["result"])
    except (ValueError, KeyError, TypeError):
        pass
    return None


def remember(cache: Cache, qemu: str, result: KvmResult, device: Path = DEVICE) -> None:
    """Keep an answer for other guests."""
    _stamp(cache).write(_key(qemu, device), time=time.time(), result=asdict(result))


def _stamp(cache: Cache) -> Stamp:
    return Stamp(cache.root / "kvm.json")


def _key(qemu: str, device: Path) -> str:
    """The answer holds for one boot and QEMU, and for one state of the device."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    path = shutil.which(qemu)
    stamp = Path(path).stat().st_mtime_ns if path else 0
    return f"kernel {boot} {path} {stamp} {os.access(device, os.R_OK | os.W_OK)}"
