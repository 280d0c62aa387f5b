# SPDX-License-Identifier: MIT
"""b4, as the lab calls it: on mail that is here, without the caller's configuration or identity.

What b4 does for a maintainer at a keyboard (ask, look up DKIM keys, remember what was applied, read
a message on standard input) is off: the same mailbox gives the same patches on every machine.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab.core import proc
from lab.source.git import ISOLATION

COMMAND = (sys.executable, "-P", "-m", "b4.command", "--no-interactive", "--no-stdin")
"""``-P``: a directory of the kernel tree that b4 works in must not stand in for a Python package.
"""


def run(*args: str | os.PathLike[str], cwd: Path, home: Path, check: bool = True) -> proc.Completed:
    """Run one b4 command offline. ``home`` takes what b4 stores. Raises LabError as proc.run."""
    command = (*COMMAND, "--offline-mode", "-c", "b4.attestation-policy=off", *args)
    return proc.run(command, cwd=cwd, env={**ISOLATION, **_storage(home)}, check=check)


def download(message_id: str, maildir: Path) -> proc.Completed:
    """``b4 mbox``: a whole thread, from where the caller's b4.midmask says, else lore.kernel.org.

    A failure is in the result's status.
    """
    where = ("-o", maildir.parent, "--mbox-name", maildir.name, "--save-as-maildir")
    return proc.run(
        (*COMMAND, "mbox", *where, message_id),
        cwd=maildir.parent,
        env=_storage(maildir.parent),
        check=False,
    )


def _storage(home: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(home / "b4-data"), "XDG_CACHE_HOME": str(home / "b4-cache")}


def said(completed: proc.Completed) -> list[str]:
    """What b4 told its user: it logs to standard error."""
    return [line.rstrip() for line in completed.stderr.splitlines() if line.strip()]
