# SPDX-License-Identifier: MIT
"""What runs inside the guest around the lab's command: a shell script, written per run.

It needs a shell and mount(8), nothing else, so that foreign and small guests run it too. It finds
its streams through sysfs and not by the links that udev makes: a guest without udev has no such
links, and virtme-ng's own script output vanishes there without a word.

The share, a 9p directory of the run, carries what must be right even when the guest dies the next
moment: ``events.ndjson``, ``signed-on``, and ``status``, the lab's own marker for the exit status.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SHARE_TAG = "seccomp-lab"
GUEST_SHARE = "/run/seccomp-lab"
STDOUT_PORT, STDERR_PORT = "lab.stdout", "lab.stderr"

SCRIPT = "guest.sh"
EVENTS = "events.ndjson"
SIGNED_ON = "signed-on"
STATUS = "status"

SHIMS = ("systemd-tmpfiles", "udevadm")
"""Programs that virtme-ng's init runs and the lab's guests do not need: half of the time from power
on to the first command. An empty program of that name comes first in the guest's PATH.
"""

TEMPLATE = """\
#!/bin/sh
# Written by the lab for this run.
say() {{ echo "seccomp-lab: $*" > /dev/kmsg; }}
share={share}
mkdir -p "$share"
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 {tag} "$share" || {{
	say "cannot mount the share"
	exit 1
}}
for port in /sys/class/virtio-ports/*; do
	read -r name 2>/dev/null < "$port/name"
	case $name in
	{stdout}) out=/dev/${{port##*/}} ;;
	{stderr}) err=/dev/${{port##*/}} ;;
	esac
	name=
done
[ -c "$out" ] && [ -c "$err" ] || {{
	say "no virtio ports for the streams"
	exit 1
}}
exec < /dev/null > "$out" 2> "$err"
{environment}
{binds}
{sysctls}
cd {directory} || exit 1
say "signed on"
: > "$share/{signed_on}"
{command}
status=$?
say "status $status"
echo "$status" > "$share/{status}.new" && mv "$share/{status}.new" "$share/{status}"
"""


@dataclass(frozen=True)
class GuestCommand:
    """A command for the guest: ``argv`` run in ``directory`` with ``environment`` laid over the
    guest's own; ``sysctls`` are set first. ``binds`` are (directory, where it is seen instead of
    what is there).
    """

    argv: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    sysctls: Sequence[tuple[str, str]] = ()
    binds: Sequence[tuple[Path, Path]] = ()


def script(command: GuestCommand) -> str:
    """The text of the script."""
    exports = [f"export {name}={shlex.quote(v)}" for name, v in command.environment.items()]
    sysctls = [
        f"echo {shlex.quote(value)} > /proc/sys/{name.replace('.', '/')} || exit 1"
        for name, value in command.sysctls
    ]
    binds = [
        shlex.join(["mount", "--bind", str(source), str(target)]) + " || exit 1"
        for source, target in command.binds
    ]
    return TEMPLATE.format(
        share=GUEST_SHARE,
        tag=SHARE_TAG,
        stdout=STDOUT_PORT,
        stderr=STDERR_PORT,
        environment="\n".join(exports),
        binds="\n".join(binds),
        sysctls="\n".join(sysctls),
        directory=shlex.quote(str(command.directory)),
        command=shlex.join(command.argv),
        signed_on=SIGNED_ON,
        status=STATUS,
    )


def write_share(share: Path, command: GuestCommand) -> None:
    """Fill the directory that host and guest share."""
    share.mkdir(parents=True, exist_ok=True)
    (share / EVENTS).touch()
    write_shims(share)
    (share / SCRIPT).write_text(script(command), encoding="utf-8")


def write_shims(share: Path) -> Path:
    """The directory that comes first in the guest's PATH."""
    directory = share / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    for name in SHIMS:
        shim = directory / name
        shim.write_text("#!/bin/sh\nexit 0\n")
        shim.chmod(0o755)
    return directory


def read_status(share: Path) -> int | None:
    """The exit status that the guest reported; None if it has not."""
    try:
        return int((share / STATUS).read_text())
    except (OSError, ValueError):
        return None
