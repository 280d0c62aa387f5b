# SPDX-License-Identifier: MIT
"""The sources that the series touches, compiled in kernels configured in other ways.

A row of VARIANTS is what is asked of Kconfig on top of the plan's own fragments, or alone. Whether
Kconfig grants it is part of the check: an option that is to be refused has to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from lab.core.cache import atomic_write
from lab.core.columns import aligned
from lab.core.session import Session
from lab.errors import ExitCode
from lab.jobs.hygiene.objects import compile_objects, prepare, select
from lab.jobs.hygiene.result import FINDINGS, NOTHING, CheckResult, Finding
from lab.jobs.hygiene.subject import Subject
from lab.kernel.config import RECORDS, ConfigRequest, explain, run_conf
from lab.kernel.fragments import Requested, dropped, read_config, read_fragment, read_fragments
from lab.kernel.kconfig import Kconfig
from lab.kernel.pipeline import Configured, bring_config, bring_source, held, plan_fragments
from lab.kernel.plan import Plan

EXTENDED = "SECCOMP_FILTER_EXTENDED"

NOT_POSSIBLE = "not possible"
"""The state of a row that Kconfig refuses, as it should."""


@dataclass(frozen=True)
class Variant:
    """``options`` are asked for, each with its value; nothing else if ``alone``. ``refused``:
    Kconfig has to refuse one of them.
    """

    name: str
    options: tuple[tuple[str, str], ...]
    alone: bool = False
    refused: bool = False

    @property
    def text(self) -> str:
        """As a fragment."""
        return "".join(f"CONFIG_{option}={value}\n" for option, value in self.options)


OFF: dict[str, tuple[str, ...]] = {
    "SECURITY": ("SECURITY",),
    # It has no prompt: it is on where something is that it depends on.
    "BPF_EVENTS": ("BPF_EVENTS", "KPROBE_EVENTS", "UPROBE_EVENTS"),
    "BPF_JIT": ("BPF_JIT",),
    "CHECKPOINT_RESTORE": ("CHECKPOINT_RESTORE",),
    "BPF_SYSCALL": ("BPF_SYSCALL",),
    "NET": ("NET",),
}
"""What is turned off, and the options that it takes."""

NEEDED = ("BPF_SYSCALL", "NET")
"""Without these no filter can be in eBPF."""

SMALLEST = (("SECCOMP", "y"), ("NET", "y"))
FILTERS_IN_EBPF = (("BPF_SYSCALL", "y"), (EXTENDED, "y"))

VARIANTS: tuple[Variant, ...] = (
    *(
        Variant(
            f"EXTENDED={value}, {name}=n",
            ((EXTENDED, value), *((option, "n") for option in options)),
            refused=value == "y" and name in NEEDED,
        )
        for value, (name, options) in product("yn", OFF.items())
    ),
    Variant("allnoconfig, SECCOMP", (("64BIT", "y"), *SMALLEST), alone=True),
    Variant(
        "allnoconfig, SECCOMP, EXTENDED",
        (("64BIT", "y"), *SMALLEST, *FILTERS_IN_EBPF),
        alone=True,
    ),
    Variant(
        "allnoconfig, SECCOMP, EXTENDED, 32 bits",
        (("64BIT", "n"), *SMALLEST, *FILTERS_IN_EBPF),
        alone=True,
    ),
)


@dataclass(frozen=True)
class Outcome:
    """A row of the table."""

    number: int
    variant: Variant
    result: CheckResult


def run_variants(session: Session, plan: Plan, first: int, last: int | None) -> ExitCode:
    """Every variant at each of the patches, and what was found. FAILED if anything was.

    Raises what the stages raise.
    """
    subject = Subject.open(session, plan)
    numbers = subject.numbers(first, last)
    outcomes: list[Outcome] = []
    total = len(numbers) * len(VARIANTS)
    with session.ui.progress("variants", total, "configurations") as progress:
        for number in numbers:
            for outcome in at_patch(subject, number):
                outcomes.append(outcome)
                progress.advance()
    for line in report(outcomes):
        session.ui.out(line)
    found = any(outcome.result.state == FINDINGS for outcome in outcomes)
    return ExitCode.FAILED if found else ExitCode.PASSED


def at_patch(subject: Subject, number: int) -> Iterator[Outcome]:
    """Every variant, one after the other in one build directory."""
    session = subject.session
    plan = subject.plan_at(number, "variants")
    source = bring_source(session, plan)
    with held(session, plan, source) as build_dir:
        configured = bring_config(session, plan, source, build_dir)
        kconfig = Kconfig(source.tree.path, plan.arch.srcarch)
        objects = select(subject.everything(), ()).objects
        for variant in VARIANTS:
            yield Outcome(number, variant, _try(plan, configured, kconfig, variant, objects))


def _try(
    plan: Plan, configured: Configured, kconfig: Kconfig, variant: Variant, objects: tuple[str, ...]
) -> CheckResult:
    """Configure and compile one variant."""
    unknown = [option for option, _ in variant.options if not kconfig.knows(option)]
    if unknown:
        return CheckResult(NOTHING, notes=(f"this tree has no option {', '.join(unknown)}",))
    config, wrong = _configure(plan, configured, variant)
    reasons = [(line.option, explain(line, kconfig, config)) for line in wrong]
    if variant.refused and wrong:
        return CheckResult(NOT_POSSIBLE, notes=tuple(reason for _, reason in reasons))
    if variant.refused:
        reasons = [(EXTENDED, f"{variant.name} is granted, and has to be refused")]
    if reasons:
        return CheckResult.of(_at_option(kconfig, option, text) for option, text in reasons)
    prepare(configured)
    done = compile_objects(configured, objects)
    notes = [f"{len(objects) - len(done.left_out)} objects compiled"]
    notes += [f"not in this configuration: {' '.join(done.left_out)}"] if done.left_out else []
    return CheckResult.of((message.finding() for message in done.messages), notes)


def _configure(
    plan: Plan, configured: Configured, variant: Variant
) -> tuple[dict[str, str], list[Requested]]:
    """Put the variant's .config in place; its options, and what Kconfig did not grant.

    What the plan's own fragments ask for may go with what is turned off.
    """
    tree, build_dir = configured.source.tree, configured.build_dir
    fragment = build_dir / RECORDS / f"{variant.name.replace(' ', '-')}.config"
    atomic_write(fragment, variant.text)
    asked = {line.option: line for line in read_fragment(fragment)}
    common = {} if variant.alone else read_fragments(plan_fragments(plan, tree))
    request = ConfigRequest(tree, plan.arch, (fragment,), build_dir, configured.toolchain)
    text = run_conf(request, {**common, **asked})
    config = read_config(text)
    wrong = dropped(asked, config)
    if not wrong:
        atomic_write(configured.config.path, text)
    return config, wrong


def _at_option(kconfig: Kconfig, option: str, text: str) -> Finding:
    """Something to mend where an option is defined."""
    definition = kconfig.definitions[option][0]
    return Finding(definition.file, definition.line, text)


def report(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A table, then what is to be mended."""
    cells = [("patch", "configuration", "result", "")]
    for item in outcomes:
        notes = "; ".join(item.result.notes)
        cells.append((str(item.number), item.variant.name, str(item.result), notes))
    yield from aligned(cells)
    for item in outcomes:
        for finding in item.result.findings:
            yield f"{finding} [patch {item.number}, {item.variant.name}]"
