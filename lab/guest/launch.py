# SPDX-License-Identifier: MIT
"""The launcher's command line, and its processes.

``virtme.commands.run`` is called and not ``vng``: it takes arguments as they are, where ``vng``
passes one string through a shell.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect

from lab.core import proc
from lab.core.deadline import Limits
from lab.errors import LabError
from lab.guest.script import SCRIPT, SHARE_TAG, STDERR_PORT, STDOUT_PORT
from lab.kernel.arches import Arch

CONSOLE_LOG, STDOUT_LOG, STDERR_LOG = "console.log", "stdout.log", "stderr.log"
LAUNCHER_LOG = "vng.log"
"""What virtme-ng and QEMU themselves say: nothing, if all is well."""

SHARE = "share"


ROOT_FLAGS = "version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose"
"""virtme-ng's mount options for the root, with a cache: the host's files do not change while the
guest runs, and each start of Python reads the same few hundred files.
"""

OVERLAYS = ("/etc", "/lib", "/home", "/opt", "/srv", "/usr", "/var", "/tmp")
"""Writable in the guest, as with plain ``vng``; nothing of it reaches the host."""

SEARCH_WINDOW = 4096


@dataclass(frozen=True)
class GuestRequest:
    """A guest to boot. ``accelerator``: "kvm" or "tcg"; ``memory`` in MiB. ``run_dir`` gets the
    streams. ``name`` is the guest's host name. ``one_thread``: its processors, which are
    emulated, take turns.
    """

    image: Path
    arch: Arch
    accelerator: str
    cpus: int
    memory: int
    kernel_args: tuple[str, ...]
    run_dir: Path
    name: str
    limits: Limits
    one_thread: bool = False


def virtme_command(request: GuestRequest, *, shell: bool) -> list[str]:
    """The launcher's command line; with ``shell`` for an interactive guest."""
    run_dir = request.run_dir
    share = run_dir / SHARE
    command = [sys.executable, "-m", "virtme.commands.run"]
    command += ["--kimg", str(request.image), "--mods", "none", "--force-9p"]
    command += ["--arch", request.arch.name, "--qemu-bin", _qemu(request.arch)]
    command += ["--name", request.name, "--cpus", str(request.cpus)]
    command += ["--memory", f"{request.memory}M"]
    command += ["--disable-kvm"] if request.accelerator != "kvm" else []
    for directory in OVERLAYS:
        command += ["--overlay-rwdir", directory]
    arguments = [
        f"PATH={share / 'bin'}",
        f"rootflags={ROOT_FLAGS}",
        # After virtme-ng's own "quiet": the console is for everything.
        "loglevel=7",
        # Test names and the lab's own marks are more than the rate limit lets through.
        "printk.devkmsg=on",
        *request.arch.kernel_args,
        *request.kernel_args,
    ]
    for argument in arguments:
        command += ["--kopt", argument]
    if shell:
        # A panic ends the guest, as it does a command's.
        options = ["--pwd", "--disable-monitor", "--qemu-opts", "-no-reboot"]
        return [*command, *options, *_redirect("dmesg", run_dir)]
    command += ["--script-sh", shlex.join(["exec", "/bin/sh", str(share / SCRIPT)])]
    command += ["--qemu-opts", *_redirect("console", run_dir), *_ports(run_dir, share)]
    if request.one_thread:
        command += ["-accel", "tcg,thread=single"]
    return command


def _qemu(arch: Arch) -> str:
    path = shutil.which(arch.qemu)
    if path is None:
        raise LabError(f"There is no {arch.qemu}.", hint="`lab doctor --install` installs it.")
    return path


def _redirect(chardev: str, run_dir: Path) -> list[str]:
    """Send a character device that virtme-ng has set up to a file of ours."""
    return [
        *("-set", f"chardev.{chardev}.path={run_dir / CONSOLE_LOG}"),
        *("-set", f"chardev.{chardev}.append=on"),
    ]


def _ports(run_dir: Path, share: Path) -> list[str]:
    """The command's streams and the share."""
    options = ["-device", "virtio-serial-pci,id=lab"]
    for port, log in ((STDOUT_PORT, STDOUT_LOG), (STDERR_PORT, STDERR_LOG)):
        path = _quote(run_dir / log)
        options += ["-chardev", f"file,id={port},path={path},append=on"]
        options += ["-device", f"virtserialport,bus=lab.0,name={port},chardev={port}"]
    options += ["-fsdev", f"local,id=labshare,path={_quote(share)},security_model=none"]
    options += ["-device", f"virtio-9p-pci,fsdev=labshare,mount_tag={SHARE_TAG}"]
    return options


def _quote(path: Path) -> str:
    """A path in one of QEMU's comma separated options."""
    return str(path).replace(",", ",,")


@contextmanager
def launch(command: list[str], run_dir: Path, **options: Any) -> Iterator[pexpect.spawn[str]]:
    """Start the launcher on a terminal of its own; its process group is gone when this is left."""
    scratch = run_dir / "tmp"
    scratch.mkdir(exist_ok=True)
    # virtme-ng leaves temporary files behind when it is killed: let them be ours.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    log = (run_dir / LAUNCHER_LOG).open("w", encoding="utf-8", errors="backslashreplace")
    try:
        with proc.guarded(command) as (program, *arguments):
            child = pexpect.spawn(
                program,
                arguments,
                env=environment,
                encoding="utf-8",
                codec_errors="backslashreplace",
                searchwindowsize=SEARCH_WINDOW,
                timeout=None,
                **options,
            )
            child.logfile_read = log
            child.delaybeforesend = None
            try:
                yield child
            finally:
                _end(child)
    finally:
        log.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _group(child: pexpect.spawn[str]) -> int:
    """The process group of the launcher and of the QEMU that it starts."""
    assert child.pid is not None
    return child.pid


def _end(child: pexpect.spawn[str]) -> None:
    """End the launcher and QEMU. Raises LabError if something survives SIGKILL."""
    group = _group(child)

    def reap() -> None:
        child.isalive()

    if proc.group_alive(group):
        proc.end_group(group, reap)
    child.close(force=True)
    if proc.group_alive(group):
        raise LabError(f"Processes of group {group} (QEMU) are left and cannot be killed.")


def qemu_words(log: str) -> str:
    """The line of what QEMU said that tells most; "" if there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    # Whoever stopped it knows that.
    lines = [line for line in lines if ": terminating on signal" not in line]
    # Registers follow (accel/kvm/kvm-all.c).
    gave_up = [line for line in lines if line.startswith("KVM internal error")]
    return (gave_up or lines[-1:] or [""])[0]
