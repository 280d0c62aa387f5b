# SPDX-License-Identifier: MIT
"""``lab size``: three kernels are built (or are there), and the series is measured on and off.

The base's configuration is that of the series but for the series' own option, so the base is built
once. A kernel is held until what is measured of it has been copied; the copies are compared.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.core.cache import atomic_write
from lab.core.session import Session
from lab.jobs.hygiene.objects import select
from lab.jobs.hygiene.variants import EXTENDED
from lab.jobs.size import told
from lab.jobs.size.measure import CONFIG, Kept, keep, measure
from lab.kernel.arches import Arch
from lab.kernel.pipeline import (
    Plan,
    Source,
    bring_build,
    bring_config,
    bring_source,
    early_manifest,
    held,
)
from lab.kernel.profiles import find_profile
from lab.report.files import write_all
from lab.report.text import summary
from lab.runs import manifest, rundir, size_figures
from lab.runs.journal import Journal
from lab.runs.run import Run
from lab.runs.rundir import HTML
from lab.runs.size_figures import OFF, ON, Pair, Sizes
from lab.runs.verdict import verdict_of, write_verdict
from lab.source.git import Git

KIND = "size"
TABLE = "size.txt"
SCRATCH = "kernels"
BASE = "base"

PROFILES = {BASE: "default", ON: "default", OFF: "no-extended"}
"""What is built, by profile; the base without the series."""


@dataclass(frozen=True)
class SizeRequest:
    """Which series, on which base."""

    base: str
    newer: bool
    patches: Path
    arch: Arch

    @property
    def command(self) -> list[str]:
        """The one command that does it again."""
        return ["scripts/lab", "size", *self.plan(ON).options(profile=False)]

    def plan(self, name: str) -> Plan:
        """The plan of a kernel, a key of PROFILES."""
        profile = find_profile(PROFILES[name])
        return Plan(self.base, self.newer, self.patches, name == BASE, profile, self.arch)


def run_size(session: Session, request: SizeRequest) -> int:
    """Build, measure, report; the exit code: 1 if the series adds something with its option off.

    Raises LabError if a stage fails; the run directory says so too.
    """
    directory = rundir.create(session.cache, KIND).path
    record = Journal(directory)
    command = request.command

    with session.cache.lock_entry(directory, "measuring", session.ui.say):
        try:
            early = early_manifest(session, request.plan(ON), directory.name, command)
            manifest.write(directory, **{**early, "kind": KIND})
            record.write("run", id=directory.name, kind=KIND, command=command)
            sizes = _sizes(session, request, directory)
            size_figures.write(directory, sizes)
            atomic_write(directory / TABLE, "\n".join(told.text(sizes)) + "\n")
            verdict = told.decide(sizes)
        except BaseException as error:
            write_verdict(record, verdict_of(error))
            raise
        else:
            write_verdict(record, verdict)
        finally:
            record.close()
            shutil.rmtree(directory / SCRATCH, ignore_errors=True)
            write_all(Run.load(directory))
    for line in (*told.text(sizes), *summary(Run.load(directory))):
        session.ui.out(line)
    session.ui.out(f"  report: {directory / HTML}")
    return int(verdict.code)


def _sizes(session: Session, request: SizeRequest, directory: Path) -> Sizes:
    source = bring_source(session, request.plan(ON), lambda _, fields: _note(directory, **fields))
    objects = touched(source)
    kernels = {
        name: _kernel(session, request.plan(name), name, objects, directory) for name in PROFILES
    }
    tree, prefix = source.tree.path, request.arch.toolchain_prefix
    pairs: list[Pair] = []
    for name in (ON, OFF):
        session.ui.say(f"measuring: {name}")
        pairs.append(measure(name, kernels[BASE], kernels[name], objects, tree, prefix))
    warn = re.search(r"^CONFIG_FRAME_WARN=(\d+)$", (kernels[ON].path / CONFIG).read_text(), re.M)
    return Sizes(f"CONFIG_{EXTENDED}", int(warn[1]) if warn else 0, tuple(pairs))


def _note(directory: Path, **fields: Any) -> None:
    manifest.write(directory, **fields)


def touched(source: Source) -> tuple[str, ...]:
    """The objects of the C sources that the series changes or adds."""
    git = Git(source.tree.path)
    args = ("diff", "--name-only", "--no-renames", "--diff-filter=d", str(source.base.commit))
    return select(git.out(*args).splitlines(), ()).objects


def _kernel(
    session: Session, plan: Plan, name: str, objects: Sequence[str], directory: Path
) -> Kept:
    """Have a kernel, and copy what is measured of it."""
    source = bring_source(session, plan)

    def done(stage: str, fields: dict[str, Any]) -> None:
        if name == ON and stage in ("config", "build"):
            _note(directory, **fields)

    with held(session, plan, source) as build_dir:
        configured = bring_config(session, plan, source, build_dir, done)
        bring_build(session, plan, configured, done)
        prefix = plan.arch.toolchain_prefix
        return keep(build_dir, objects, directory / SCRATCH, name, prefix)
