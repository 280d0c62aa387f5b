"""Whether KVM works: by running a guest, since ``/dev/kvm`` may open and still be useless.

The guest is a boot sector that writes a marker to the serial port and ends QEMU through its debug
exit device. Where it gives no sign of life in time, KVM is not used. The same guest without KVM
shows that the probe itself works, so that a broken QEMU is not taken for a broken KVM.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import proc
from lab.cache import Cache, atomic_write
from lab.errors import LabError

MARKER = b"seccomp-lab guest alive"

CODE = bytes.fromhex(
    "fa"  # cli
    "31c0 8ed8"  # xor ax,ax; mov ds,ax
    "be1c7c"  # mov si,0x7c1c: the marker, 28 bytes into the sector, which is loaded at 0x7c00
    "baf803"  # mov dx,0x3f8: first serial port
    "ac 84c0 7403"  # next: lodsb; test al,al; jz done
    "ee ebf8"  # out dx,al; jmp next
    "baf400 b02a ee"  # done: mov dx,0xf4; mov al,0x2a; out dx,al: QEMU's debug exit
    "f4 ebfd"  # halt: hlt; jmp halt
)

EXIT_STATUS = (0x2A << 1) | 1
"""How isa-debug-exit ends QEMU when 0x2a is written to it (hw/misc/debugexit.c)."""

KVM_SECONDS = 5.0
TCG_SECONDS = 20.0
EXPIRY_SECONDS = 24 * 3600.0

QEMU = "qemu-system-x86_64"


@dataclass(frozen=True)
class KvmResult:
    """``works``, and ``reason`` in words; ``emulation`` says whether QEMU runs without KVM."""

    works: bool
    reason: str
    emulation: bool = True


def boot_sector() -> bytes:
    """The guest: 512 bytes that a PC's firmware runs."""
    return (CODE + MARKER + b"\0").ljust(510, b"\0") + b"\x55\xaa"


def probe(cache: Cache, qemu: str = QEMU, device: Path = Path("/dev/kvm")) -> KvmResult:
    """Whether guests can use KVM here. The answer is kept for a day, this boot and this QEMU."""
    key = _key(qemu, device)
    file = cache.root / "kvm.json"
    try:
        kept = json.loads(file.read_text())
        if kept["key"] == key and 0 <= time.time() - kept["time"] < EXPIRY_SECONDS:
            return KvmResult(**kept["result"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with cache.lock("kvm", "probing KVM"):
        result = try_now(qemu, device)
    atomic_write(file, json.dumps({"key": key, "time": time.time(), "result": asdict(result)}))
    return result


def try_now(qemu: str = QEMU, device: Path = Path("/dev/kvm")) -> KvmResult:
    """Run the guest, under KVM if the device can be opened at all."""
    if shutil.which(qemu) is None:
        return KvmResult(False, f"there is no {qemu}", emulation=False)
    if not device.exists():
        return _without(qemu, f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return _without(qemu, f"{device} may not be opened by this user (group kvm)")
    # The CPU model that virtme-ng uses under KVM.
    failure = _run_guest(qemu, ("-accel", "kvm", "-cpu", "host"), KVM_SECONDS)
    if failure is None:
        return KvmResult(True, "a guest ran")
    return _without(qemu, f"{device} opens, but {failure}")


def _without(qemu: str, reason: str) -> KvmResult:
    failure = _run_guest(qemu, ("-accel", "tcg"), TCG_SECONDS)
    if failure is None:
        return KvmResult(False, reason)
    return KvmResult(False, f"{reason}; without KVM too {failure}", emulation=False)


def _run_guest(qemu: str, accelerator: tuple[str, ...], seconds: float) -> str | None:
    """None if the guest signed on; else what happened instead."""
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-kvm-") as scratch:
        image = Path(scratch) / "boot.img"
        image.write_bytes(boot_sector())
        serial = Path(scratch) / "serial"
        command = [qemu, *accelerator, "-machine", "pc", "-m", "16", "-nodefaults", "-no-reboot"]
        command += ["-display", "none", "-monitor", "none", "-serial", f"file:{serial}"]
        command += ["-drive", f"file={image},format=raw,if=ide,snapshot=on"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        try:
            done = proc.run(command, check=False, timeout=seconds)
        except LabError:
            return f"a guest gave no sign of life within {seconds:.0f} s"
        said = serial.read_bytes() if serial.exists() else b""
    if done.returncode == EXIT_STATUS and MARKER in said:
        return None
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return f"QEMU ended without running a guest: {last}"


def _key(qemu: str, device: Path) -> str:
    """The answer holds for one boot, one QEMU and one state of the device."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    path = shutil.which(qemu)
    stamp = Path(path).stat().st_mtime_ns if path else 0
    return f"{boot} {path} {stamp} {os.access(device, os.R_OK | os.W_OK)}"
