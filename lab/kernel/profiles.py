# SPDX-License-Identifier: MIT
"""Kernel configurations and guest profiles: one row each.

A configuration is what a kernel is built from. A profile is a configuration, a way to boot it, and
what to run. What a kernel argument or a sysctl can do is a profile and needs no build of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import PROJECT_ROOT
from lab.errors import LabError, UsageError
from lab.kernel.arches import Arch

KCONFIGS = PROJECT_ROOT / "kconfigs"


@dataclass(frozen=True)
class Configuration:
    """``fragments`` are files below kconfigs/, without ``.config``; the architecture's own is added
    to them. ``series_fragments`` are asked for on a patched tree only. ``memory`` is in MiB.
    ``slowness`` is how many times longer than with the default one things may take in a guest.
    """

    name: str
    fragments: tuple[str, ...]
    series_fragments: tuple[str, ...] = ("series",)
    memory: int = 1024
    slowness: float = 1.0

    def fragment_files(self, arch: Arch, series: bool) -> tuple[Path, ...]:
        """The fragments for an architecture, in the order in which they are merged.

        Raises LabError if a file is missing.
        """
        names = self.fragments + (self.series_fragments if series else ())
        files = tuple(KCONFIGS / file for file in (*(f"{n}.config" for n in names), arch.fragment))
        for file in files:
            if not file.is_file():
                raise LabError(
                    f"Configuration {self.name} needs the fragment {file}, which is missing."
                )
        return files


COMMON = ("core", "guest", "namespaces", "bpf", "trace", "seccomp", "attacks")
DEBUG = ("memory", "undefined", "locking", "hang", "faults", "seccomp", "triggers")

PLAIN = (*COMMON, "kselftest")
"""Without debugging. What the tree's own selftests ask for is in all of these, since it changes
structures that everything includes: one kernel more to build is dearer than sixty objects.
"""

DEFAULT = Configuration("default", (*PLAIN, "lsm", "checkpoint"))

CONFIGURATIONS: tuple[Configuration, ...] = (
    DEFAULT,
    Configuration(
        "no-extended", (*PLAIN, "lsm", "checkpoint"), series_fragments=("without/extended",)
    ),
    Configuration("no-checkpoint", (*PLAIN, "lsm", "without/checkpoint")),
    Configuration("no-security", (*PLAIN, "without/security", "checkpoint")),
    Configuration(
        "debug",
        (*COMMON, "lsm", "checkpoint", *(f"debug/{name}" for name in DEBUG)),
        # KASAN's shadow takes an eighth, and freed memory is kept for a while.
        memory=4096,
        slowness=6.0,
    ),
)


def absent_file(base: str) -> Path | None:
    """What the fragments ask for and a base has not, as a fragment with the reasons; None if there
    is nothing like that.
    """
    file = KCONFIGS / "absent" / f"{base}.config"
    return file if file.is_file() else None


YAMA, BPF_LSM, JIT = "yama", "bpf-lsm", "jit"
SWITCH, RETRIEVAL = "unprivileged-switch", "checkpoint-restore"
"""What a guest can lack, by the names in selftests/harness/lacks.py."""


@dataclass(frozen=True)
class Profile:
    """A row. ``sysctls`` are set before the tests start, ``selection`` are arguments for pytest.

    A test that needs something may be skipped only if its name is in ``lacks``. ``control``: on the
    unpatched base. ``off``: the kernel is not meant to have the series' features, and what runs
    proves that everything else is as it was. ``apart`` says why the profile is not part of "all".
    ``environment`` is for the suite; ``patience`` is how many times longer than usual it may take.
    """

    name: str
    what: str
    configuration: Configuration = DEFAULT
    kernel_args: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    selection: tuple[str, ...] = ("selftests",)
    lacks: tuple[str, ...] = ()
    control: bool = False
    off: bool = False
    apart: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    patience: float = 1.0
    cpus: int = 2


def _configuration(name: str) -> Configuration:
    return next(row for row in CONFIGURATIONS if row.name == name)


UNPRIVILEGED = "kernel.unprivileged_bpf_disabled"

PROFILES: tuple[Profile, ...] = (
    Profile("default", "the smallest kernel that runs the whole suite"),
    # security/security.c: the list replaces CONFIG_LSM; capabilities are always there.
    Profile("no-lsm", "booted without any LSM", kernel_args=("lsm=",), lacks=(YAMA, BPF_LSM)),
    Profile("yama", "Yama is the only LSM", kernel_args=("lsm=yama",), lacks=(BPF_LSM,)),
    Profile("bpf-lsm", "BPF-LSM is the only LSM", kernel_args=("lsm=bpf",), lacks=(YAMA,)),
    Profile(
        "interpreter",
        "programs are interpreted, the JIT is off",
        sysctls=(("net.core.bpf_jit_enable", "0"),),
        lacks=(JIT,),
    ),
    Profile("unprivileged-0", "ordinary users load programs", sysctls=((UNPRIVILEGED, "0"),)),
    Profile(
        "unprivileged-1",
        "ordinary users never load again",
        sysctls=((UNPRIVILEGED, "1"),),
        lacks=(SWITCH,),
    ),
    Profile("unprivileged-2", "ordinary users do not load", sysctls=((UNPRIVILEGED, "2"),)),
    Profile(
        "no-checkpoint",
        "CONFIG_CHECKPOINT_RESTORE=n: no retrieval",
        configuration=_configuration("no-checkpoint"),
        lacks=(RETRIEVAL,),
    ),
    Profile(
        "no-security",
        "CONFIG_SECURITY=n: no hook, so nobody denies",
        configuration=_configuration("no-security"),
        lacks=(YAMA, BPF_LSM),
    ),
    Profile(
        "no-extended",
        "CONFIG_SECCOMP_FILTER_EXTENDED=n: as if unpatched",
        configuration=_configuration("no-extended"),
        selection=("selftests/off",),
        off=True,
    ),
    Profile(
        "before",
        "the same on the base, to see what no-extended has to equal",
        selection=("selftests/off",),
        control=True,
        off=True,
    ),
    Profile("control", "the whole suite on the base: each feature is absent", control=True),
    Profile(
        "debug",
        "KASAN, UBSAN, lockdep, kmemleak, allocations that fail",
        configuration=_configuration("debug"),
        environment=(("SECCOMP_LAB_ALSO", "debug"),),
        apart="takes many times as long",
    ),
    Profile(
        "endurance",
        "a hundred thousand loads, installations, and failures of both",
        selection=("selftests/attacks/test_reference_counts.py",),
        apart="takes some ten minutes, emulated",
        patience=6.0,
        environment=(("SECCOMP_LAB_ROUNDS", "100000"), ("SECCOMP_LAB_LIMIT", "3600")),
    ),
    Profile(
        "triggers",
        "the kernel misbehaves on purpose; for `lab splat-gate`",
        configuration=_configuration("debug"),
        selection=("selftests/triggers",),
        off=True,
        apart="is meant to fail",
    ),
)

ALL = "all"


def find_profile(name: str) -> Profile:
    """The row called ``name``. Raises UsageError if there is none."""
    for profile in PROFILES:
        if profile.name == name:
            return profile
    known = ", ".join(f"{profile.name} ({profile.what})" for profile in PROFILES)
    raise UsageError(f"There is no profile {name!r}.", hint=f"The lab knows: {known}.")


def find_profiles(names: str) -> tuple[Profile, ...]:
    """Several rows, each once: "all", or names with commas between. Raises UsageError."""
    if names == ALL:
        return tuple(profile for profile in PROFILES if not profile.apart)
    return tuple(dict.fromkeys(find_profile(name.strip()) for name in names.split(",")))
