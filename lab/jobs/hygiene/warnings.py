# SPDX-License-Identifier: MIT
"""W=1 and sparse on the objects that a patch touches: what is new against the base.

Base and series have a build directory each that is for this alone, since W=1 is part of kbuild's
commands: in the one that guests boot from it would have everything compiled again. What make said
is kept there, so that a patch which has not changed is not compiled again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core import records
from lab.core.cache import atomic_write
from lab.core.stamp import digest_of
from lab.jobs.hygiene.messages import Message, new_messages
from lab.jobs.hygiene.objects import compile_objects, prepare, run_make, select
from lab.jobs.hygiene.result import NOT_RUN, NOTHING, CheckResult
from lab.jobs.hygiene.sparse import Sparse, find_sparse
from lab.jobs.hygiene.subject import Subject
from lab.kernel.config import RECORDS
from lab.kernel.pipeline import Configured, bring_config, bring_source, held
from lab.source.state import source_digest

W1, SPARSE = "W=1", "sparse"

KEPT = "warnings"
"""Directory below the lab's records in a build directory."""


@dataclass(frozen=True)
class Warnings:
    """What compiler and sparse said of objects; ``left_out`` are in no kernel so configured."""

    compiler: tuple[Message, ...]
    sparse: tuple[Message, ...]
    left_out: tuple[str, ...]

    def store(self, path: Path) -> None:
        """Write atomically."""
        atomic_write(path, json.dumps(records.plain(self)))

    @classmethod
    def load(cls, path: Path) -> Warnings | None:
        """None if there is no such file or it cannot be read."""
        try:
            return records.read(cls, json.loads(path.read_text()))
        except (OSError, ValueError):
            return None


def run(subject: Subject, number: int) -> dict[str, CheckResult]:
    """Columns ``W1`` and ``SPARSE`` for a patch. Raises what config and build raise."""
    everything = subject.everything()
    touched = select(subject.touched(number), everything)
    notes = [f"not compiled, no part of a kernel: {name}" for name in touched.elsewhere]
    if not touched.objects:
        return {W1: CheckResult(NOTHING, notes=tuple(notes)), SPARSE: CheckResult(NOTHING)}
    checker = find_sparse(subject.scripts)
    # All at once, and once for all patches: what a patch's own objects had is among it.
    before = _warnings(subject, 0, select(everything, ()).objects, checker)
    now = _warnings(subject, number, touched.objects, checker)
    notes += [f"not compiled, not in this configuration: {name}" for name in now.left_out]
    result = {W1: _new(now.compiler, before.compiler, notes)}
    if checker.why:
        result[SPARSE] = CheckResult(NOT_RUN, notes=(checker.why,))
    else:
        result[SPARSE] = _new(now.sparse, before.sparse, filter(None, (checker.note,)))
    return result


def _new(now: Sequence[Message], before: Sequence[Message], notes: Iterable[str]) -> CheckResult:
    return CheckResult.of((m.finding() for m in new_messages(now, before)), notes)


def _warnings(subject: Subject, number: int, objects: tuple[str, ...], checker: Sparse) -> Warnings:
    plan = subject.plan_at(number, "warnings")
    source = bring_source(subject.session, plan)
    with held(subject.session, plan, source) as build_dir:
        configured = bring_config(subject.session, plan, source, build_dir)
        kept = build_dir / RECORDS / KEPT / f"{_key(configured, objects, checker)}.json"
        known = Warnings.load(kept)
        if known is None:
            subject.session.ui.say(f"compiling {len(objects)} objects of {source.tree.head[:12]}")
            known = _make(configured, objects, checker)
            known.store(kept)
    return known


def _key(configured: Configured, objects: tuple[str, ...], checker: Sparse) -> str:
    parts = (
        source_digest(configured.source.tree),
        configured.config.digest,
        configured.toolchain.key,
        checker.version,
        *checker.flags,
        *objects,
    )
    return digest_of(*parts)[:32]


def _make(configured: Configured, objects: tuple[str, ...], checker: Sparse) -> Warnings:
    """Compiled first and then checked, so that it is known who said what."""
    prepare(configured, (W1,))
    compiled = compile_objects(configured, objects, (W1,))
    checked: tuple[Message, ...] = ()
    if checker.flags:
        there = [name for name in objects if (configured.build_dir / name).is_file()]
        checked = run_make(configured, there, (W1, *checker.flags))
    return Warnings(compiled.messages, checked, compiled.left_out)
