# SPDX-License-Identifier: MIT
"""Who signed a patch off, and whom it is to be sent to. Nothing is sent."""

from __future__ import annotations

import shlex
from pathlib import Path

from lab.core import proc
from lab.errors import LabError
from lab.jobs.hygiene.result import CheckResult, Finding
from lab.jobs.hygiene.subject import Subject, environment

FORMAT = "%an <%ae>%n%(trailers:key=Signed-off-by,valueonly)"
"""git-log(1): the author, then who signed off."""


def sign_off(subject: Subject, number: int, scratch: Path) -> CheckResult:  # noqa: ARG001
    """Whether the author of a patch is among those who signed it off."""
    printed = subject.git.out("show", "-s", f"--format={FORMAT}", subject.commits[number])
    author, *signed = filter(None, printed.splitlines())
    if author in signed:
        return CheckResult.of(())
    by = f"only by {', '.join(signed)}" if signed else "by nobody"
    text = f"the author {author} has not signed it off; signed off {by}"
    return CheckResult.of([Finding(subject.shown(number), 1, text)])


def maintainers(subject: Subject, number: int, scratch: Path) -> CheckResult:
    """scripts/get_maintainer.pl by the tree's MAINTAINERS as the patch leaves it: the notes are
    lines ``Name <address> (role:subsystem)``. A patch that concerns nobody is a finding.

    Raises LabError if the script fails.
    """
    tree = subject.unpack(number, ("MAINTAINERS",), scratch / "maintainers")
    # --no-git: who happened to commit to a file is not who takes care of it.
    command = ["perl", "scripts/get_maintainer.pl", "--no-git", "--no-git-fallback", "--roles"]
    command += ["--no-rolestats", f"--mpath={tree / 'MAINTAINERS'}"]
    command += [str(subject.patch(number).path.resolve())]
    done = proc.run(command, cwd=subject.scripts, env=environment(scratch), check=False)
    if done.returncode != 0:
        raise LabError(
            f"get_maintainer.pl failed (status {done.returncode}): {done.stderr.strip()}",
            hint=f"In {subject.scripts}: {shlex.join(command)}",
        )
    listed = done.stdout.splitlines()
    nobody = Finding(subject.shown(number), 1, "get_maintainer.pl names nobody for this patch")
    return CheckResult.of([] if listed else [nobody], listed)
