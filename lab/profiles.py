"""Guest profiles: one row each. A profile is a configuration, a way to boot it, and what to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import PROJECT_ROOT
from lab.arches import Arch
from lab.errors import LabError, UsageError

KCONFIGS = PROJECT_ROOT / "kconfigs"


@dataclass(frozen=True)
class Profile:
    """``fragments`` are files below kconfigs/, without ``.config``; the architecture's own is added
    to them. ``series_fragments`` are asked for on a patched tree only. ``sysctls`` are set before
    the tests start, ``selection`` are arguments for pytest. ``memory`` is in MiB. ``slowness`` is
    how many times longer than with the default profile things may take (debug configurations).
    """

    name: str
    what: str
    fragments: tuple[str, ...]
    series_fragments: tuple[str, ...] = ("series",)
    kernel_args: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    selection: tuple[str, ...] = ("selftests",)
    cpus: int = 2
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
                raise LabError(f"Profile {self.name} needs the fragment {file}, which is missing.")
        return files


PROFILES: tuple[Profile, ...] = (
    Profile(
        name="default",
        what="the smallest kernel that runs the whole suite",
        fragments=("core", "guest", "namespaces", "bpf", "trace", "lsm", "seccomp", "attacks"),
    ),
)


def find_profile(name: str) -> Profile:
    """The row called ``name``. Raises UsageError if there is none."""
    for profile in PROFILES:
        if profile.name == name:
            return profile
    known = ", ".join(f"{profile.name} ({profile.what})" for profile in PROFILES)
    raise UsageError(f"There is no profile {name!r}.", hint=f"The lab knows: {known}.")
