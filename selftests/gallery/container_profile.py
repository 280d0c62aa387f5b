# SPDX-License-Identifier: MIT
"""A container runtime's default profile, in C: the JSON that podman and buildah come with, or one
that is made for Docker or follows the OCI runtime specification, translated and not interpreted.

Runtimes hand the same JSON to libseccomp, which makes classic BPF of it: comparisons one after the
other, without a switch, in an order of its own. The two filters give the same verdict about each
call of each architecture that the profile names (test_container_profile.py). This one has no state:
it loads where an LSM denies that.

    python -m selftests.gallery.container_profile /usr/share/containers/seccomp.json CAP_NET_RAW

prints the filter for a container with these capabilities.

What an attacker can still do: all that the profile allows, some 310 calls on x86-64, and that is
what most escapes use. Arguments in memory (clone3's flags, what openat2 opens) are not looked at,
and so the profile refuses or allows such calls as a whole. Capabilities are those at the start: who
gains some later keeps his filter. Calls newer than the profile fall to its default, and names that
libseccomp does not know are left out as if they were not in it, which a runtime logs at most.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from selftests.gallery.container_profile_json import Container, ProfileError, read
from selftests.gallery.container_profile_source import source
from selftests.gallery.loaded import Loaded

PROGRAM = "container_profile"

PROFILE = "container_profile.json"
"""What the lab has translated, among its files for the guest."""

NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64",
          "riscv64": "SCMP_ARCH_RISCV64"}  # fmt: skip
"""A profile's name for what uname(2) says."""

PODMAN = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
          "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
          "CAP_SYS_CHROOT")  # fmt: skip
"""What a container has unless told otherwise: containers.conf(5), ``default_capabilities``."""

POWERS = ("CAP_AUDIT_WRITE", "CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_PERFMON",
          "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT",
          "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
          "CAP_SYS_BOOT", "CAP_WAKE_ALARM", "CAP_NET_RAW", "CAP_MKNOD")  # fmt: skip

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "default": PODMAN,
    "admin": ("CAP_SYS_ADMIN",),
    "all": (*PODMAN, *POWERS),
}
"""Containers that the lab translates the profile for, by their capabilities."""


def container(capabilities: Iterable[str], kernel: str = "", machine: str = "") -> Container:
    """A container on this machine's kernel, or on one of that release. Raises ProfileError."""
    machine = machine or platform.machine()
    if machine not in NATIVE:
        raise ProfileError(f"{machine} is not translated; what is: {', '.join(NATIVE)}")
    match = re.match(r"(\d+)\.(\d+)", kernel or os.uname().release)
    if match is None:
        raise ProfileError(f"a kernel's release is like 7.3.4, not {kernel}")
    version = int(match[1]), int(match[2])
    return Container(NATIVE[machine], frozenset(capabilities), version)


OPERATORS = Path(__file__).with_name("container_profile_operators.json")
"""A profile made for the tests: each operator, 64-bit values, each action, and one architecture."""


def object_name(variant: str) -> str:
    """What the lab calls the translation for a row of VARIANTS."""
    return f"{PROGRAM}_{variant}"


def translations(path: Path, kernel: str, machine: str) -> dict[str, str]:
    """The filter's source for each row of VARIANTS and for OPERATORS, by object name, for a kernel
    of that release. Raises ProfileError.
    """
    found = {
        object_name(variant): translated(path, container(capabilities, kernel, machine))
        for variant, capabilities in VARIANTS.items()
    }
    return {
        **found,
        object_name("operators"): translated(OPERATORS, container((), kernel, machine)),
    }


def translated(path: Path, whose: Container) -> str:
    """A profile as C for one container. Raises ProfileError, or OSError."""
    return source(read(path, whose), whose)


def load(variant: str) -> Loaded:
    """The translation for a row of VARIANTS, or for OPERATORS ("operators"), loaded."""
    return Loaded(object_name(variant), b"", PROGRAM)


def main() -> int:
    """Print a translation; 2 with a message if the profile is none."""
    parser = argparse.ArgumentParser(prog="container_profile", description="JSON profile to C")
    parser.add_argument("profile", type=Path)
    parser.add_argument("capabilities", nargs="*", metavar="CAP_NAME")
    parser.add_argument("--kernel", default="", metavar="RELEASE", help="for minKernel")
    arguments = parser.parse_args()
    try:
        whose = container(arguments.capabilities, arguments.kernel)
        sys.stdout.write(translated(arguments.profile, whose))
    except (ProfileError, OSError) as error:
        print(f"container_profile: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
