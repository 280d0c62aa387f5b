# SPDX-License-Identifier: MIT
"""Doctor's table, on simulated hosts."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import LabError
from lab.host import tools
from lab.host.osrelease import OsRelease
from lab.host.tools import HostProbe, check, family_of, install, missing_packages, numbers, table
from tests.worlds import without_kvm

DEBIAN = OsRelease({"ID": "debian", "VERSION_CODENAME": "bookworm", "PRETTY_NAME": "Debian 12"})
UBUNTU = OsRelease({"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_CODENAME": "noble"})
FEDORA = OsRelease({"ID": "fedora", "PRETTY_NAME": "Fedora"})
SUSE = OsRelease({"ID": "opensuse-tumbleweed", "ID_LIKE": "opensuse suse"})
GENTOO = OsRelease({"ID": "gentoo", "PRETTY_NAME": "Gentoo"})

VERSIONS = {
    "git": "git version 2.39.5", "tar": "tar (GNU tar) 1.34", "xz": "xz (XZ Utils) 5.4.1",
    "gpgv": "gpgv (GnuPG) 2.2.40", "flex": "flex 2.6.4", "bison": "bison (GNU Bison) 3.8.2",
    "gcc": "12.2.0", "make": "GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu",
    "ld": "GNU ld (GNU Binutils for Debian) 2.40", "bc": "bc 1.07.1",
    "perl": "\nThis is perl 5, version 36, subversion 0 (v5.36.0) built for x",
    "rsync": "rsync  version 3.2.7  protocol version 31", "pahole": "v1.24",
    "ccache": "ccache version 4.7.5", "clang-19": "Debian clang version 19.1.7 (3~deb12u1)",
    "llc-19": "Debian LLVM version 19.1.7\n  Optimized build.",
    "llvm-strip-19": "llvm-strip, compatible with GNU strip\nDebian LLVM version 19.1.7",
    "qemu-system-x86_64": "QEMU emulator version 7.2.22 (Debian 1:7.2)", "udevadm": "252",
    "depmod": "kmod version 30", "cpio": "cpio (GNU cpio) 2.13",
    "zstd": "*** zstd command line interface 64-bits v1.5.4, by Yann Collet ***",
    "openssl": "OpenSSL 3.0.19 27 Jan 2026", "sparse": "0.6.4 (Debian: 0.6.4-3)",
    "strace": "strace -- version 6.1\nCopyright (c) 1991-2022 The strace developers",
}  # fmt: skip


@dataclass
class FakeHost:
    """A host that has these commands, headers and packages on offer."""

    commands: dict[str, str] = field(default_factory=lambda: dict(VERSIONS))
    headers: set[str] = field(
        default_factory=lambda: {"gelf.h", "zlib.h", "openssl/ssl.h", "sys/capability.h"}
    )
    files: set[str] = field(default_factory=set)
    os: OsRelease = DEBIAN
    llvm: tuple[int, ...] = (19, 16, 15, 14)

    def which(self, command: str) -> str | None:
        return f"/usr/bin/{command}" if command in self.commands else None

    def output(self, path: str, args: tuple[str, ...]) -> str:
        del args
        return self.commands[path.rpartition("/")[2]]

    def header(self, name: str) -> bool:
        return name in self.headers

    def file(self, path: str) -> bool:
        return path in self.files

    def release(self) -> OsRelease:
        return self.os

    def offered_llvm(self) -> tuple[int, ...]:
        return self.llvm


def by_name(probe: FakeHost) -> dict[str, tools.Finding]:
    return {item.tool.name: item for item in check(probe)}


def test_host_with_everything_lacks_nothing_required() -> None:
    found = by_name(FakeHost())
    assert [name for name, item in found.items() if item.blocking] == []
    assert found["clang"].command == "clang-19"
    assert {name: item.found for name, item in found.items() if name in VERSIONS} == {
        "git": "2.39.5", "tar": "1.34", "xz": "5.4.1", "gpgv": "2.2.40", "flex": "2.6.4",
        "bison": "3.8.2", "gcc": "12.2.0", "make": "4.3", "ld": "2.40", "bc": "1.07.1",
        "perl": "5.36.0", "rsync": "3.2.7", "pahole": "1.24", "ccache": "4.7.5", "cpio": "2.13",
        "zstd": "1.5.4", "openssl": "yes", "sparse": "0.6.4", "strace": "6.1",
    }  # fmt: skip
    assert (found["udev"].found, found["kmod"].found) == ("252", "30")
    assert found["qemu"].found == "7.2.22"


def test_old_pahole_is_no_fault_since_the_lab_brings_its_own() -> None:
    item = by_name(FakeHost())["pahole"]
    assert (item.ok, item.blocking) == (False, False)
    assert "pahole" not in missing_packages(check(FakeHost()), optional=True)


def test_a_container_profile_is_looked_for_and_not_installed() -> None:
    item = by_name(FakeHost())["container profile"]
    assert (item.found, item.ok, item.blocking) == ("", False, False)
    assert item.package == "golang-github-containers-common"
    assert item.package not in missing_packages(check(FakeHost()), optional=True)
    there = FakeHost(files={"/usr/share/containers/seccomp.json"})
    assert by_name(there)["container profile"].ok


def test_old_default_clang_is_passed_over_for_a_versioned_one() -> None:
    probe = FakeHost()
    probe.commands["clang"] = "Debian clang version 14.0.6"
    assert by_name(probe)["clang"].command == "clang-19"
    for name in ("clang-19", "llc-19", "llvm-strip-19"):
        del probe.commands[name]
    item = by_name(probe)["clang"]
    assert (item.ok, item.found, item.package) == (False, "14.0.6", "clang-19")


@pytest.mark.parametrize(("missing", "packages"), [
    ("gcc", ("build-essential",)), ("bc", ("bc",)), ("udevadm", ("udev",)),
    ("qemu-system-x86_64", ("qemu-system-x86",)), ("llc-19", ("llvm-19",)),
    ("clang-19", ("clang-19",)), ("xz", ("xz-utils",)),
])  # fmt: skip
def test_missing_command_names_its_package(missing: str, packages: tuple[str, ...]) -> None:
    probe = FakeHost()
    del probe.commands[missing]
    assert missing_packages(check(probe)) == packages


def test_missing_header_names_its_package() -> None:
    probe = FakeHost(headers={"zlib.h", "openssl/ssl.h"})
    assert missing_packages(check(probe)) == ("libelf-dev",)


def test_llvm_tools_match_the_clang_that_is_there() -> None:
    probe = FakeHost(llvm=(21, 19))
    del probe.commands["llc-19"]
    assert missing_packages(check(probe)) == ("llvm-19",)


def test_newest_llvm_on_offer_is_chosen() -> None:
    probe = FakeHost(llvm=(18, 20, 17, 99))
    for name in ("clang-19", "llc-19", "llvm-strip-19"):
        del probe.commands[name]
    assert missing_packages(check(probe)) == ("clang-20", "llvm-20")


def test_too_old_a_tool_is_missing() -> None:
    probe = FakeHost()
    probe.commands["gcc"] = "7.5.0"
    item = by_name(probe)["gcc"]
    assert (item.blocking, item.found) == (True, "7.5.0")


def test_command_that_states_no_version_is_missing() -> None:
    probe = FakeHost()
    probe.commands["qemu-system-x86_64"] = ""
    assert by_name(probe)["qemu"].blocking


@pytest.mark.parametrize(("release", "family", "package"), [
    (DEBIAN, "debian", "libelf-dev"), (UBUNTU, "debian", "libelf-dev"),
    (FEDORA, "fedora", "elfutils-libelf-devel"), (SUSE, "suse", "libelf-devel"),
    (GENTOO, "", "libelf"),
])  # fmt: skip
def test_packages_by_family(release: OsRelease, family: str, package: str) -> None:
    assert family_of(release) == family
    assert missing_packages(check(FakeHost(os=release, headers={"zlib.h", "openssl/ssl.h"}))) == (
        package,
    )


def test_every_row_names_a_package_for_every_family() -> None:
    for tool in tools.TOOLS:
        assert set(tool.packages) == set(tools.FAMILIES), tool.name
        assert [tool.commands, tool.headers, tool.files].count(()) == 2, tool.name


def test_table_lines_up_and_marks_what_is_missing(cache: Cache) -> None:
    probe = FakeHost()
    del probe.commands["bc"]
    lines = table(check(probe), cache)
    assert len({line.index("build: ") for line in lines if "build: " in line}) == 1
    assert [line.split()[:2] for line in lines if "MISSING" in line] == [["MISSING", "bc"]]


def test_private_pahole_shows_in_the_table(cache: Cache) -> None:
    from lab.host import pahole

    own = pahole.private(cache)
    own.parent.mkdir(parents=True)
    own.write_text("")
    line = next(line for line in table(check(FakeHost()), cache) if " pahole " in line)
    assert line.startswith("ok")
    assert "1.24, lab's own" in line


def test_versions_compare_as_numbers() -> None:
    assert numbers("1.9") < numbers("1.10")
    assert numbers("17.0.1") <= numbers("17.0.6")
    assert numbers("081") == (81,)


# --- installing -------------------------------------------------------------------------------


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run to install."""
    asked: list[list[str]] = []

    def run(cmd: Any, **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(list(cmd))
        return subprocess.CompletedProcess(cmd, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr("lab.core.proc.have", lambda command: command in ("apt-get", "sudo"))
    return asked


def test_root_installs_through_apt(steps: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    install(("bc", "flex"), DEBIAN)
    assert steps[0][-1] == "update"
    assert steps[1][-4:] == ["install", "--no-install-recommends", "bc", "flex"]
    assert "sudo" not in steps[1]


def test_ordinary_user_installs_by_sudo(
    steps: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    install(("bc",), UBUNTU)
    assert all(step[0] == "sudo" for step in steps)


def test_without_root_and_sudo_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("lab.core.proc.have", lambda command: command == "apt-get")
    with pytest.raises(LabError) as caught:
        install(("bc", "flex"), DEBIAN)
    assert caught.value.hint == "As root: apt-get install bc flex"


@pytest.mark.parametrize(("release", "words"), [
    (FEDORA, "`dnf install bc flex`"), (GENTOO, "packages that bring: bc flex"),
])  # fmt: skip
def test_elsewhere_the_exact_list_is_named(
    release: OsRelease, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.core.proc.have", lambda _: False)
    with pytest.raises(LabError, match=release.name) as caught:
        install(("bc", "flex"), release)
    assert words in caught.value.hint


def test_failing_apt_is_an_infrastructure_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("lab.core.proc.have", lambda _: True)
    monkeypatch.setattr(subprocess, "run", lambda cmd, **_: subprocess.CompletedProcess(cmd, 100))
    with pytest.raises(LabError, match="could not install bc") as caught:
        install(("bc",), DEBIAN)
    assert caught.value.exit_code == 3


# --- the real probe ---------------------------------------------------------------------------


def test_version_is_asked_once_per_executable(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    tool, calls = tmp_path / "mytool", tmp_path / "calls"
    tool.write_text(f"#!/bin/sh\necho x >> {calls}\necho mytool 1.0\n")
    tool.chmod(0o755)
    for _ in range(2):
        probe = HostProbe.remembering(cache)
        path = probe.which("mytool")
        assert path == str(tool)
        assert probe.output(path, ("--version",)) == "mytool 1.0\n"
        probe.save()
    assert calls.read_text() == "x\n"
    tool.write_text("#!/bin/sh\necho mytool 2.0 is longer\n")
    probe = HostProbe.remembering(cache)
    assert probe.output(str(tool), ("--version",)) == "mytool 2.0 is longer\n"


def test_command_that_fails_states_no_version(cache: Cache, tmp_path: Path) -> None:
    tool = tmp_path / "broken"
    tool.write_text("#!/bin/sh\necho 1.0\nexit 1\n")
    tool.chmod(0o755)
    assert HostProbe.remembering(cache).output(str(tool), ()) == ""


def read_from(paths: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> OsRelease:
    """What is read where os-release(5) may be in these places."""
    monkeypatch.setattr(platform, "_os_release_candidates", tuple(map(str, paths)))
    monkeypatch.setattr(platform, "_os_release_cache", None)
    return OsRelease.read()


def test_os_release_falls_back_and_survives_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.write_text('ID="x"\n# ID=y\nNAME=\'a b\'\nID_LIKE="c d"\nbroken\n')
    release = read_from((first, second), monkeypatch)
    assert (release.ids, release.fields["NAME"]) == (("x", "c", "d"), "a b")
    assert read_from((first,), monkeypatch).name == "unknown distribution"
    first.write_bytes(b"NAME=\xff\n")
    assert read_from((first,), monkeypatch).name == "unknown distribution"


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """`lab doctor` looks at a fake host."""
    fake = FakeHost()

    class Probe(HostProbe):
        which = staticmethod(fake.which)
        output = staticmethod(fake.output)
        header = staticmethod(fake.header)
        offered_llvm = staticmethod(fake.offered_llvm)

        def release(self) -> OsRelease:
            return fake.os

    monkeypatch.setattr(tools, "HostProbe", Probe)
    without_kvm(monkeypatch, "there is no /dev/kvm")
    return fake


def test_doctor_passes_on_a_host_with_everything(
    simulated: FakeHost, cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    del simulated
    assert run_cli(["doctor", "--cache", str(cache.root)]) == 0
    out = capsys.readouterr().out
    assert "clang-19" in out
    assert "KVM: not used: there is no /dev/kvm." in out
    assert "disk: " in out
    assert "memory: " in out


def test_doctor_fails_on_a_host_that_lacks_something(
    simulated: FakeHost, cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    del simulated.commands["bc"]
    assert run_cli(["doctor", "--brief", "--cache", str(cache.root)]) == 3
    err = capsys.readouterr().err
    assert "lab: error: This host lacks bc." in err
    assert "apt-get install bc" in err


def test_brief_doctor_says_nothing_when_nothing_is_missing(
    simulated: FakeHost, cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    del simulated
    assert run_cli(["doctor", "--brief", "--install", "--cache", str(cache.root)]) == 0
    assert capsys.readouterr() == ("", "")


def test_doctor_installs_and_looks_again(
    simulated: FakeHost, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    del simulated.commands["bc"]

    def mend(packages: tuple[str, ...], release: OsRelease) -> None:
        del release
        assert packages == ("bc",)
        simulated.commands["bc"] = VERSIONS["bc"]

    monkeypatch.setattr(tools, "install", mend)
    assert run_cli(["doctor", "--install", "--cache", str(cache.root)]) == 0


def test_a_stage_says_what_it_cannot_do_without(
    simulated: FakeHost, cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    del simulated.commands["openssl"]
    simulated.headers.discard("sys/capability.h")
    assert run_cli(["kselftest", "seccomp", "--cache", str(cache.root)]) == 3
    err = capsys.readouterr().err
    assert "This host lacks libcap, for the kernel's own selftests of seccomp; openssl" in err
    assert "(libcap-dev openssl)" in err
