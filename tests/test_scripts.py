# SPDX-License-Identifier: MIT
"""The bootstrap scripts on hosts that lack things: what they would install, what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import PROJECT_ROOT

SCRIPTS = ("kernel-selftest", "unit-tests")
TOOLS = ("sh", "dirname", "basename", "id", "sed", "cat", "mkdir", "rm", "env", "grep", "uname")


class Host:
    """A PATH with chosen commands only."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.calls = directory / "calls"
        self.cache = directory / "cache"
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.bin / tool).symlink_to(found)

    def put(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def python(self, minor: int) -> None:
        """A python3 of this version; as a module it makes environments of itself."""
        self.put(
            "python3",
            f"""\
case "$*" in
*ensurepip*|*version_info*) [ {minor} -ge 11 ] ;;
--version) echo "Python 3.{minor}.0" ;;
"-m venv "*) mkdir -p "$3/bin"; cat "$0" > "$3/bin/python"; /bin/chmod 755 "$3/bin/python" ;;
*) echo "python $*" >> {self.calls} ;;
esac""",
        )

    def run(self, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROJECT_ROOT / "scripts" / script, *args],
            env={"PATH": str(self.bin), "SECCOMP_LAB_CACHE": str(self.cache), "HOME": "/nowhere"},
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_tox_is_brought_once_and_run(host: Host, script: str) -> None:
    host.python(12)
    for name in ("git", "xz", "gpg", "gpgv", "rsync"):
        host.put(name, "true")
    for _ in range(2):
        done = host.run(script, "-k", "a b")
        assert done.returncode == 0, done.stderr
    calls = host.called()
    assert [line for line in calls if "pip" in line] == [calls[0]]
    env = " -e kernel-selftest" if script == "kernel-selftest" else ""
    assert calls[1:] == [f"python -m tox run{env} -- -k a b"] * 2


def test_half_made_environment_is_made_anew(host: Host) -> None:
    host.python(12)
    host.put("git", "true")
    (host.cache / "bootstrap" / "bin").mkdir(parents=True)
    assert host.run("kernel-selftest").returncode == 0
    assert any("pip" in line for line in host.called())


def test_debian_gets_what_is_missing(host: Host) -> None:
    """As root, or through sudo: the fake sudo runs its arguments."""
    host.put("sudo", '"$@"')
    host.put("apt-cache", "echo '  Candidate: 3.11.2-1+b1'")
    host.put("apt-get", f'echo "apt-get $*" >> {host.calls}\ncase $* in *install*) mend ;; esac')
    host.put("mend", f"cp {host.bin}/later {host.bin}/python3")
    (host.bin / "cp").symlink_to(shutil.which("cp") or "/bin/cp")
    host.python(11)
    (host.bin / "python3").rename(host.bin / "later")
    done = host.run("kernel-selftest")
    assert done.returncode == 0, done.stderr
    calls = host.called()
    assert calls[0] == "apt-get -q update"
    assert calls[1].startswith("apt-get -q -y install --no-install-recommends")
    assert {"git", "python3", "python3-venv"} <= set(calls[1].split())


def test_other_distributions_are_told_the_packages(host: Host) -> None:
    done = host.run("unit-tests")
    assert done.returncode == 3
    for name in ("git", "xz-utils", "gnupg", "python3 (3.11 or newer"):
        assert name in done.stderr


def test_python_that_is_too_old_is_named(host: Host) -> None:
    host.python(9)
    host.put("git", "true")
    host.put("sudo", "true")
    host.put("apt-get", "true")
    host.put("apt-cache", "exit 100")
    done = host.run("kernel-selftest")
    assert done.returncode == 3
    assert "python 3.11 or newer is needed; python3 here is Python 3.9.0" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no sudo")
def test_no_root_and_no_sudo_names_the_command(host: Host) -> None:
    host.put("apt-get", "true")
    host.put("apt-cache", "exit 100")
    done = host.run("kernel-selftest")
    assert "as root: apt-get" in done.stderr


@pytest.mark.parametrize("script", [*SCRIPTS, "lab", "bootstrap.sh"])
def test_scripts_are_plain_sh(script: str) -> None:
    subprocess.run(["sh", "-n", PROJECT_ROOT / "scripts" / script], check=True)
