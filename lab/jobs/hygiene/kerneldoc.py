# SPDX-License-Identifier: MIT
"""kernel-doc over the files that a patch touches: what it did not say of the base's."""

from __future__ import annotations

from pathlib import Path

from lab.core import proc
from lab.errors import LabError
from lab.jobs.hygiene.messages import Message, document_messages, new_messages
from lab.jobs.hygiene.result import NOTHING, CheckResult
from lab.jobs.hygiene.subject import Subject, environment

SCRIPTS = ("tools/docs/kernel-doc", "scripts/kernel-doc")
"""Where trees have it, the newer place first."""


def run(subject: Subject, number: int, scratch: Path) -> CheckResult:
    """Raises LabError if kernel-doc cannot run."""
    files = tuple(name for name in subject.touched(number) if name.endswith((".c", ".h")))
    if not files:
        return CheckResult(NOTHING)
    now, before = (_messages(subject, n, files, scratch / f"doc-{n}") for n in (number, 0))
    return CheckResult.of(message.finding() for message in new_messages(now, before))


def _messages(
    subject: Subject, number: int, files: tuple[str, ...], into: Path
) -> tuple[Message, ...]:
    tree = subject.unpack(number, files, into)
    there = [name for name in files if (tree / name).is_file()]
    if not there:
        return ()
    places = [subject.scripts / name for name in SCRIPTS]
    script = next((place for place in places if place.exists()), None)
    if script is None:
        raise LabError(f"{subject.scripts} has none of {', '.join(SCRIPTS)}.")
    command = [str(script), "-none", *there]
    done = proc.run(command, cwd=tree, env=environment(into), check=False)
    found = document_messages(done.stderr)
    # Its status is the number of errors; what it says otherwise is about itself.
    if done.returncode != 0 and not found:
        raise LabError(f"kernel-doc failed (status {done.returncode}): {done.stderr.strip()}")
    return found
