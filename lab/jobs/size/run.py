# SPDX-License-Identifier: MIT
"""``lab size``: three kernels are built (or are there), and the series is measured on and off.

The base's configuration is that of the series but for the series' own option, so the base is built
once. A kernel is held until what is measured of it has been copied; the copies are compared.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.core.session import Session
from lab.jobs import engine
from lab.jobs.engine import Again
from lab.jobs.hygiene.objects import select
from lab.jobs.hygiene.variants import EXTENDED
from lab.jobs.size import told
from lab.jobs.size.measure import CONFIG, Kept, keep, measure
from lab.kernel.arches import Arch
from lab.kernel.pipeline import Source, bring_build, bring_config, bring_source, held
from lab.kernel.plan import BASE, Plan
from lab.kernel.profiles import find_profile
from lab.runs import size_figures
from lab.runs.kinds import SIZE
from lab.runs.size_figures import OFF, ON, Pair, Sizes
from lab.runs.verdict import Verdict
from lab.runs.writing import OpenRun
from lab.source.git import Git

SCRATCH = "kernels"

PROFILES = {BASE: "default", ON: "default", OFF: "no-extended"}
"""What is built, by profile; the base without the series."""


@dataclass(frozen=True)
class SizeRequest:
    """Which series, on which base."""

    base: str
    newer: bool
    patches: Path
    arch: Arch

    def plan(self, name: str) -> Plan:
        """The plan of a kernel, a key of PROFILES."""
        profile = find_profile(PROFILES[name])
        return Plan(self.base, self.newer, self.patches, name == BASE, profile, self.arch)


def run_size(session: Session, request: SizeRequest, again: Again) -> int:
    """Build, measure, report; the exit code: 1 if the series adds something with its option off.

    Raises LabError if a stage fails; the run directory says so too.
    """

    def job(run: OpenRun) -> Verdict:
        try:
            sizes = _sizes(run, request)
        finally:
            shutil.rmtree(run.path / SCRATCH, ignore_errors=True)
        run.event("figures", **size_figures.document(sizes))
        run.table(told.text(sizes))
        return told.decide(sizes)

    return engine.run(session, SIZE, request.plan(ON), again, job)


def _sizes(run: OpenRun, request: SizeRequest) -> Sizes:
    source = bring_source(run.session, request.plan(ON), run.stage)
    objects = touched(source)
    kernels = {name: _kernel(run, request.plan(name), name, objects) for name in PROFILES}
    tree, prefix = source.tree.path, request.arch.toolchain_prefix
    pairs: list[Pair] = []
    for name in (ON, OFF):
        run.ui.say(f"measuring: {name}")
        pairs.append(measure(name, kernels[BASE], kernels[name], objects, tree, prefix))
    warn = re.search(r"^CONFIG_FRAME_WARN=(\d+)$", (kernels[ON].path / CONFIG).read_text(), re.M)
    return Sizes(f"CONFIG_{EXTENDED}", int(warn[1]) if warn else 0, tuple(pairs))


def touched(source: Source) -> tuple[str, ...]:
    """The objects of the C sources that the series changes or adds."""
    git = Git(source.tree.path)
    args = ("diff", "--name-only", "--no-renames", "--diff-filter=d", str(source.base.commit))
    return select(git.out(*args).splitlines(), ()).objects


def _kernel(run: OpenRun, plan: Plan, name: str, objects: Sequence[str]) -> Kept:
    """Have a kernel, and copy what is measured of it."""
    source = bring_source(run.session, plan)

    def done(stage: str, fields: Mapping[str, Any]) -> None:
        if name == ON:
            run.stage(stage, fields)

    with held(run.session, plan, source) as build_dir:
        configured = bring_config(run.session, plan, source, build_dir, done)
        bring_build(run.session, plan, configured, done)
        prefix = plan.arch.toolchain_prefix
        return keep(build_dir, objects, run.path / SCRATCH, name, prefix)
