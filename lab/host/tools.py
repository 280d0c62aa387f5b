# SPDX-License-Identifier: MIT
"""What this host must have: the table in tools.toml, checked by asking the tools themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lab.core import proc
from lab.core.cache import Cache, atomic_write
from lab.core.columns import aligned
from lab.errors import LabError
from lab.host import container_profile, pahole
from lab.host.osrelease import OsRelease

LLVM_VERSIONS = tuple(range(26, 16, -1))
"""LLVM major versions that the lab looks for, newest first; 7.3 wants 17.0.1 or newer."""

LLVM = "{llvm}"
"""In a package name: the LLVM major version to install, see :func:`llvm_version`."""


@dataclass(frozen=True)
class Tool:
    """A thing the host must have.

    ``commands`` are names to try in turn (with ``llvm`` in the file: versioned ones as well),
    ``version_args`` what makes them state their version, ``pattern`` finds it there. A row with
    ``headers`` instead is a development library, one with ``files`` is those. ``packages`` maps a
    distribution family to what brings it. ``required`` False: the lab does without, or brings its
    own (OWN).
    """

    name: str
    why: str
    stage: str
    packages: Mapping[str, str]
    commands: tuple[str, ...] = ()
    version_args: tuple[str, ...] = ("--version",)
    pattern: str = r"(\d+(?:\.\d+)+)"
    minimum: str = ""
    headers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Family:
    """Distributions that share package names. ``ids``: ID or ID_LIKE of os-release(5)."""

    ids: frozenset[str]
    install: str


FAMILIES = {
    "debian": Family(frozenset({"debian", "ubuntu"}), "apt-get install"),
    "fedora": Family(frozenset({"fedora", "rhel", "centos"}), "dnf install"),
    "arch": Family(frozenset({"arch"}), "pacman -S --needed"),
    "suse": Family(frozenset({"suse", "opensuse"}), "zypper install"),
}


def load_tools() -> tuple[Tool, ...]:
    """The table, ``tools.toml`` beside this module."""
    with (Path(__file__).parent / "tools.toml").open("rb") as file:
        return tuple(_row(row) for row in tomllib.load(file)["tool"])


def _row(row: dict[str, Any]) -> Tool:
    commands = tuple(row.pop("commands", ()))
    if row.pop("llvm", False):
        # Debian's versioned names first: the unversioned one is its default, often an old one.
        commands = tuple(f"{name}-{version}" for name in commands for version in LLVM_VERSIONS) + (
            commands
        )
    lists: dict[str, Any] = {
        key: tuple(row.pop(key)) for key in ("version_args", "headers", "files") if key in row
    }
    return Tool(commands=commands, **lists, **row)


TOOLS = load_tools()

OWN: Mapping[str, Callable[[Cache], Path]] = {
    "pahole": pahole.private,
    "container profile": container_profile.private,
}
"""What the lab brings itself where the host's will not do, and where that lies."""

DISK_BYTES = 10 << 30
"""Base, two trees, two builds: what a first run and a control run leave in the cache."""

MEMORY_BYTES = 4 << 30
"""A guest with its 2 GiB beside the link of vmlinux."""


class Probe(Protocol):
    """How the checks look at a host; tests put another one in."""

    def which(self, command: str) -> str | None:
        """Path of a command."""

    def output(self, path: str, args: tuple[str, ...]) -> str:
        """What a command prints, stderr too; "" if it fails to run."""

    def header(self, name: str) -> bool:
        """Whether the C compiler would find a header."""

    def file(self, path: str) -> bool:
        """Whether there is such a file."""

    def release(self) -> OsRelease:
        """The distribution."""

    def offered_llvm(self) -> tuple[int, ...]:
        """LLVM major versions that the package manager can install."""


SYSTEM_PATHS = "/usr/sbin:/sbin"
"""Searched after PATH: an ordinary user's path on Debian lacks depmod."""


@dataclass
class HostProbe:
    """This host. Versions are remembered per executable, so that asking again costs one stat."""

    memory: Path | None = None
    _known: dict[str, str] = field(default_factory=dict)
    _changed: bool = False

    @classmethod
    def remembering(cls, cache: Cache) -> HostProbe:
        """With what earlier runs found out."""
        path = cache.root / "tools.json"
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError):
            known = {}
        return cls(path, known if isinstance(known, dict) else {})

    def save(self) -> None:
        """Keep what was found out."""
        if self.memory is not None and self._changed:
            atomic_write(self.memory, json.dumps(self._known, indent=1))

    def which(self, command: str) -> str | None:
        return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATHS}")

    def output(self, path: str, args: tuple[str, ...]) -> str:
        status = Path(path).stat()
        key = f"{path} {status.st_ino} {status.st_mtime_ns} {status.st_size} {' '.join(args)}"
        if key not in self._known:
            try:
                done = proc.run([path, *args], check=False, timeout=20)
            except LabError:
                return ""
            if done.returncode != 0:
                return ""
            self._known[key] = done.stdout + done.stderr
            self._changed = True
        return self._known[key]

    def header(self, name: str) -> bool:
        places = [Path("/usr/include"), Path("/usr/local/include")]
        places += Path("/usr/include").glob("*-linux-gnu*")
        return any((place / name).is_file() for place in places)

    def file(self, path: str) -> bool:
        return Path(path).is_file()

    def release(self) -> OsRelease:
        return OsRelease.read()

    def offered_llvm(self) -> tuple[int, ...]:
        if not proc.have("apt-cache"):
            return ()
        done = proc.run(["apt-cache", "--names-only", "search", r"^clang-[0-9]+$"], check=False)
        found = re.findall(r"^clang-(\d+) ", done.stdout, re.MULTILINE)
        return tuple(sorted((int(version) for version in found), reverse=True))


@dataclass(frozen=True)
class Finding:
    """A row of the table, checked. ``found``: version, "yes" where it has none, "" if missing."""

    tool: Tool
    command: str
    found: str
    ok: bool
    package: str

    @property
    def blocking(self) -> bool:
        """Whether the lab cannot work without this being mended."""
        return self.tool.required and not self.ok


def family_of(release: OsRelease) -> str:
    """Key of FAMILIES; "" for a distribution that the table does not know."""
    for name in release.ids:
        for family, row in FAMILIES.items():
            if name in row.ids or name.partition("-")[0] in row.ids:
                return family
    return ""


def check(probe: Probe, tools: Iterable[Tool] = TOOLS) -> tuple[Finding, ...]:
    """Look at every row."""
    tools = tuple(tools)
    found = [(tool, *_look(probe, tool)) for tool in tools]
    family = family_of(probe.release())
    llvm = ""
    if any(LLVM in tool.packages.get(family, "") for tool in tools):
        llvm = llvm_version(probe, {tool.name: version for tool, _, version, ok in found if ok})
    return tuple(
        Finding(tool, command, version, ok, tool.packages.get(family, "").replace(LLVM, llvm))
        for tool, command, version, ok in found
    )


def llvm_version(probe: Probe, versions: Mapping[str, str]) -> str:
    """LLVM to install: that of the clang which is there, else the newest on offer."""
    if "clang" in versions:
        return versions["clang"].partition(".")[0]
    offered = [version for version in probe.offered_llvm() if version in LLVM_VERSIONS]
    return str(max(offered)) if offered else "17"


def _look(probe: Probe, tool: Tool) -> tuple[str, str, bool]:
    """Command, version and whether it will do; of several candidates the first that will."""
    if tool.headers or tool.files:
        there = all(map(probe.header, tool.headers)) and all(map(probe.file, tool.files))
        return "", "yes" if there else "", there
    best = ("", "", False)
    for command in tool.commands:
        path = probe.which(command)
        if path is None:
            continue
        match = re.search(tool.pattern, probe.output(path, tool.version_args), re.MULTILINE)
        if match is None:
            continue
        if numbers(match[1]) >= numbers(tool.minimum):
            return command, match[1], True
        best = best if best[0] else (command, match[1], False)
    return best


def numbers(version: str) -> tuple[int, ...]:
    """ "17.0.1" as (17, 0, 1), for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def command(name: str, cache: Cache) -> str:
    """The command by which row ``name`` is called here, such as ``clang-19``.

    Raises LabError if the host lacks it.
    """
    probe = HostProbe.remembering(cache)
    finding = check(probe, [tool for tool in TOOLS if tool.name == name])[0]
    probe.save()
    if not finding.ok:
        raise LabError(
            f"{name} {finding.tool.minimum} or newer is needed: {finding.tool.why}; "
            f"found {finding.found or 'none'}.",
            hint=f"`lab doctor --install` installs it (package {finding.package or name}).",
        )
    return finding.command


def need(stage: str, cache: Cache) -> None:
    """What a stage cannot do without, though the lab can. Raises LabError naming the packages."""
    probe = HostProbe.remembering(cache)
    findings = check(probe, [tool for tool in TOOLS if tool.stage == stage])
    probe.save()
    lacking = [item for item in findings if not item.ok]
    if lacking:
        packages = " ".join(missing_packages(lacking, optional=True))
        reasons = "; ".join(f"{item.tool.name}, for {item.tool.why}" for item in lacking)
        raise LabError(
            f"This host lacks {reasons}.",
            hint=f"`lab doctor --install` installs what is missing ({packages}).",
        )


def versions(cache: Cache) -> dict[str, str]:
    """Tool versions for a run's manifest: name to version, those that are there."""
    probe = HostProbe.remembering(cache)
    found = {item.tool.name: item.found for item in check(probe) if item.found}
    probe.save()
    return found


def table(findings: Iterable[Finding], cache: Cache) -> list[str]:
    """The findings as aligned lines."""
    rows = [("", "tool", "found", "needed", "package", "for")]
    for item in findings:
        tool = item.tool
        mark = "ok" if item.ok else ("MISSING" if tool.required else "-")
        found = item.found or "none"
        own = OWN.get(tool.name)
        if own and not item.ok and own(cache).exists():
            found, mark = f"{found}, lab's own", "ok"
        name = item.command if item.command and item.command != tool.name else tool.name
        needed = tool.minimum or "any"
        rows.append((mark, name, found, needed, item.package or "?", f"{tool.stage}: {tool.why}"))
    return aligned(rows)


def missing_packages(findings: Iterable[Finding], optional: bool = False) -> tuple[str, ...]:
    """Packages to install, each once; those of rows that the lab can do without if ``optional``."""
    wanted = [
        item.package or item.tool.name
        for item in findings
        if item.blocking or (optional and not item.ok and item.tool.name not in OWN)
    ]
    return tuple(sorted(set(wanted)))


def install(packages: tuple[str, ...], release: OsRelease, refresh: bool = True) -> None:
    """Install packages through apt, as root or by sudo.

    Raises LabError with the exact package list where that is not possible.
    """
    family = family_of(release)
    listed = " ".join(packages)
    if family != "debian" or not proc.have("apt-get"):
        known = FAMILIES.get(family)
        advice = f"`{known.install} {listed}`" if known else f"the packages that bring: {listed}"
        raise LabError(
            f"The lab installs packages on Debian and Ubuntu only; this is {release.name}.",
            hint=f"Install {advice}, then run `lab doctor` again.",
        )
    prefix: tuple[str, ...] = ()
    if os.geteuid() != 0:
        if not proc.have("sudo"):
            raise LabError(
                f"Packages are missing ({listed}), and this user cannot install any: not root, "
                "no sudo.",
                hint=f"As root: apt-get install {listed}",
            )
        prefix = ("sudo",)
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")
    steps = [(*prefix, *quiet, "update")] if refresh else []
    steps.append((*prefix, *quiet, "install", "--no-install-recommends", *packages))
    for step in steps:
        # In the foreground: sudo may have to ask for a password.
        status = subprocess.run(step, stdin=None, check=False).returncode
        if status != 0 and "update" not in step:
            raise LabError(
                f"apt-get could not install {listed} (status {status}).",
                hint=f"Its messages above say why. By hand: apt-get install {listed}",
            )
