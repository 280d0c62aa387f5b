# SPDX-License-Identifier: MIT
"""The lab's verdict on one patch, for b4's review: a mail in, a JSON array out.

b4 runs what ``b4.review-perpatch-check-cmd`` in git's configuration says, with the patch on
standard input, and wants an array of objects with ``tool``, ``status`` (pass, warn, fail),
``summary``, ``url`` and ``details``: _run_external_cmd() in b4/review/checks.py of b4 0.16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from lab.core.cache import Cache
from lab.errors import ExitCode, UsageError
from lab.runs import rundir
from lab.runs.kinds import BAD, SUITE
from lab.runs.run import Run
from lab.source.git import Git

PASS, WARN, FAIL = "pass", "warn", "fail"
STATUS: dict[int | None, str] = {
    ExitCode.PASSED: PASS,
    ExitCode.FAILED: FAIL,
    ExitCode.KERNEL: FAIL,
}
"""The status for a run's exit code; other codes say nothing about the patch."""


@dataclass(frozen=True)
class Check:
    """A row of b4's."""

    tool: str
    status: str
    summary: str
    url: str = ""
    details: str = ""


def check(cache: Cache, mail: bytes) -> list[dict[str, str]]:
    """What the newest run that tested this very patch says of it, if it came to a verdict.

    The patch is known by git-patch-id(1), which mail headers and commit ids do not change. Raises
    UsageError if the mail holds no patch.
    """
    cache.root.mkdir(parents=True, exist_ok=True)
    printed = Git(cache.root).run("patch-id", "--stable", input=mail).stdout.split()
    if not printed:
        raise UsageError(
            "There is no patch on standard input.", hint="lab review-check < 0001-title.patch"
        )
    unsure = None
    for run, number in _runs_of(cache, printed[0]):
        judged = _judge(run, number)
        if judged.status != WARN:
            return [asdict(judged)]
        unsure = unsure or judged
    untested = Check("lab", WARN, "no run of the lab has tested this patch")
    return [asdict(unsure or untested)]


def _runs_of(cache: Cache, patch_id: str) -> Iterator[tuple[Run, int]]:
    """Runs with a verdict and tests about the patch, the newest first, and its number there."""
    for directory in reversed(rundir.known(cache)):
        try:
            run = Run.load(directory)
        except UsageError:
            continue
        if run.kind not in SUITE.values():
            continue
        for patch in run.manifest.applied:
            if patch.patch_id != patch_id:
                continue
            number = patch.number
            named = any(number in test.patches for test in run.view.tests.values())
            if run.code is not None and named:
                yield run, number


def _judge(run: Run, number: int) -> Check:
    tests = [test for test in run.view.tests.values() if number in test.patches]
    states = [test.state for test in tests]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    failed = [f"{test.state}: {test.id}" for test in tests if run.judge(test) == BAD]
    status, part = STATUS.get(run.code, WARN), ""
    if status == PASS and not run.manifest.guest.whole:
        # What was not chosen may fail.
        status, part = WARN, " in a part of the suite"
    return Check(
        "lab",
        status,
        f"{counts} for patch {number}{part}; {run.headline}",
        run.path.as_uri(),
        "\n".join([*run.reasons, *failed, f"again: {run.manifest.reproduce}"]),
    )
