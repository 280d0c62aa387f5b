# SPDX-License-Identifier: MIT
"""Whether KVM works: by running a guest, since ``/dev/kvm`` may open and still be useless.

The guest is a boot sector that does what every kernel's first steps are, writes a marker to the
serial port and ends QEMU through its debug exit device. Where it gives no sign of life in time, KVM
is not used. The same guest without KVM shows that the probe itself works, so that a broken QEMU is
not taken for a broken KVM.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.core import proc
from lab.core.cache import Cache, atomic_write
from lab.errors import LabError

MARKER = b"seccomp-lab guest alive"

CODE = bytes.fromhex(
    "fa 31c0 8ed8 8ec0"  # cli; xor ax,ax; mov ds,ax; mov es,ax
    "bf0010 6631c0 b9000c fc 66f3ab"  # mov di,0x1000; xor eax,eax; mov cx,0xc00; cld; rep stosd
    # Page tables at 0x1000, 0x2000 and 0x3000: the first two megabytes, where they are.
    "c70600100320 c70600200330 c70600308300"
    "66b820000000 0f22e0"  # mov eax,0x20; mov cr4,eax: PAE
    "66b800100000 0f22d8"  # mov eax,0x1000; mov cr3,eax
    "66b9800000c0 66b800010000 6631d2 0f30"  # EFER.LME
    "0f0116907c"  # lgdt [0x7c90]: the table below
    "66b811000080 0f22c0"  # mov eax,0x80000011; mov cr0,eax: paging and protection
    "ea5c7c 0800"  # jmp 8:0x7c5c, which is the next instruction and 64 bits wide
    # SLUB's (mm/slub.c). Where the host has no virtual machines in hardware, but KVM interprets
    # kernels (the module kvm_pvm), it is one that KVM does not know.
    "31c0 31d2 bf00400000 f0480fc70f"  # xor eax,eax; xor edx,edx; lock cmpxchg16b [0x4000]
    "beb07c0000 66baf803"  # mov esi,0x7cb0: the marker; mov dx,0x3f8: the first serial port
    "ac 84c0 7403 ee ebf8"  # next: lodsb; test al,al; jz done; out dx,al; jmp next
    "66baf400 b02a ee"  # done: mov dx,0xf4; mov al,0x2a; out dx,al: QEMU's debug exit
    "f4 ebfd"  # halt: hlt; jmp halt
)

TABLE = struct.pack("=HIHQQ", 15, 0x7C98, 0, 0, 0x00209A0000000000)
"""What lgdt takes: size and place of the segments behind it, which are none and a 64-bit one."""

TABLE_AT, MARKER_AT = 0x90, 0xB0
"""Where the code looks for them, in a sector that is loaded at 0x7c00."""

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
    code = CODE.ljust(TABLE_AT, b"\0") + TABLE
    return (code.ljust(MARKER_AT, b"\0") + MARKER).ljust(510, b"\0") + b"\x55\xaa"


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
        log = Path(scratch) / "qemu.log"
        try:
            done = proc.run(command, log=log, check=False, timeout=seconds)
            status = done.returncode if done.seconds < seconds else None
        except LabError:
            status = None
        said = serial.read_bytes() if serial.exists() else b""
        words = qemu_words(log.read_text(errors="backslashreplace"))
    if status == EXIT_STATUS and MARKER in said:
        return None
    if status is None:
        return f"a guest gave no sign of life within {seconds:.0f} s" + f"; {words}" * bool(words)
    return f"QEMU ended without running a guest: {words or f'status {status}'}"


def qemu_words(log: str) -> str:
    """The line of what QEMU said that tells most; "" if there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # Who stopped it knows that.
    lines = [line for line in lines if ": terminating on signal" not in line]
    # Registers follow (accel/kvm/kvm-all.c).
    gave_up = [line for line in lines if line.startswith("KVM internal error")]
    return (gave_up or lines[-1:] or [""])[0]


def _key(qemu: str, device: Path) -> str:
    """The answer holds for one guest, boot and QEMU, and for one state of the device."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    path = shutil.which(qemu)
    stamp = Path(path).stat().st_mtime_ns if path else 0
    guest = hashlib.sha256(boot_sector()).hexdigest()[:16]
    return f"{guest} {boot} {path} {stamp} {os.access(device, os.R_OK | os.W_OK)}"
