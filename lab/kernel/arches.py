# SPDX-License-Identifier: MIT
"""Guest architectures: one row each. Everything that differs between them is a field."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from lab.errors import UsageError


@dataclass(frozen=True)
class Arch:
    """How to build a kernel for an architecture and boot it.

    ``name`` is what ``uname -m`` says in the guest and what virtme-ng calls it. ``srcarch`` is the
    directory below ``arch/``. ``image`` is made by ``target``, relative to the build directory;
    ``debug_info`` says that it carries DWARF, which is left out of the copy that is booted.
    ``audit_arch`` names the system call table (include/uapi/linux/audit.h).
    """

    name: str
    make_arch: str
    srcarch: str
    cross_compile: str
    target: str
    image: str
    debug_info: bool
    qemu: str
    console: str
    fragment: str
    bpf_target: str
    kernel_args: tuple[str, ...] = ()

    @property
    def native(self) -> bool:
        """Whether guests of this architecture can run the host's programs (and use KVM)."""
        return platform.machine() == self.name

    @property
    def toolchain_prefix(self) -> str:
        """``CROSS_COMPILE``: empty where the host's own compiler does."""
        return "" if self.native else self.cross_compile


ARCHES: tuple[Arch, ...] = (
    Arch(
        name="x86_64",
        make_arch="x86",
        srcarch="x86",
        cross_compile="x86_64-linux-gnu-",
        # QEMU enters an ELF image by its PVH note (arch/x86/platform/pvh/head.S): no bzImage to
        # compress when building, none to unpack, slowly under emulation, when booting.
        target="vmlinux",
        image="vmlinux",
        debug_info=True,
        qemu="qemu-system-x86_64",
        console="ttyS0",
        fragment="arch/x86_64.config",
        bpf_target="x86",
    ),
)

DEFAULT_ARCH = ARCHES[0].name
"""Used when --arch is not given."""


def find_arch(name: str) -> Arch:
    """The row called ``name``. Raises UsageError if there is none."""
    for arch in ARCHES:
        if arch.name == name:
            return arch
    known = ", ".join(arch.name for arch in ARCHES)
    raise UsageError(f"There is no architecture {name!r}.", hint=f"The lab knows: {known}.")
