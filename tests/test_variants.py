# SPDX-License-Identifier: MIT
"""Configuration variants: what Kconfig grants, what it has to refuse, what the compiler says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode
from lab.jobs.hygiene import variants
from lab.jobs.hygiene.result import FINDINGS, NOTHING, OK, CheckResult, Finding
from lab.jobs.hygiene.variants import (
    EXTENDED,
    NOT_POSSIBLE,
    OFF,
    VARIANTS,
    Outcome,
    Variant,
    report,
)
from lab.kernel.config import ConfigResult
from lab.kernel.kconfig import Kconfig
from lab.kernel.pipeline import Configured
from tests.fakes import ARCH, Workshop, make_workshop
from tests.support import CHANGES, make_kernel, make_patches, make_repository


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = make_workshop(tmp_path / "shop", monkeypatch)
    (made.tree.path / "Kconfig").open("a").write(f"\nconfig {EXTENDED}\n\tbool 'Extended'\n")
    common = made.fragment("common.config", "CONFIG_FUTEX=y\nCONFIG_NET=y\n")
    monkeypatch.setattr(variants, "plan_fragments", lambda *_: (common,))
    return made


def attempt(workshop: Workshop, variant: Variant) -> CheckResult:
    """What becomes of a variant of the toy tree."""
    config = ConfigResult(workshop.build_dir / ".config", "", False, 0)
    source = cast(Any, SimpleNamespace(tree=workshop.tree))
    configured = Configured(source, workshop.build_dir, workshop.toolchain, config)
    (workshop.build_dir / ".lab").mkdir(parents=True, exist_ok=True)
    kconfig = Kconfig(workshop.tree.path, ARCH.srcarch)
    plan = cast(Any, SimpleNamespace(arch=ARCH))
    return variants._try(plan, configured, kconfig, variant, ("kernel/seccomp.o",))


def lines(workshop: Workshop) -> list[str]:
    """The options of the .config that was compiled."""
    return (workshop.build_dir / ".config").read_text().splitlines()[1:]


def test_what_is_asked_for_goes_on_top_of_the_plans_own(workshop: Workshop) -> None:
    result = attempt(workshop, Variant("x", (("NET", "n"), (EXTENDED, "y"))))
    assert result == CheckResult(OK, notes=("1 objects compiled",))
    wanted = ["CONFIG_FUTEX=y", "# CONFIG_NET is not set", f"CONFIG_{EXTENDED}=y"]
    assert lines(workshop) == wanted
    assert workshop.made == ["allnoconfig", "prepare", "kernel/seccomp.o"]


def test_alone_nothing_else_is_asked_for(workshop: Workshop) -> None:
    assert attempt(workshop, Variant("x", (("NET", "y"),), alone=True)).state == OK
    assert lines(workshop) == ["CONFIG_NET=y"]


def test_what_goes_with_an_option_that_is_off_is_no_matter(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DROPS", "CONFIG_FUTEX=")
    assert attempt(workshop, Variant("x", (("NET", "n"),))).state == OK


def test_a_refusal_that_has_to_be_says_why(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DROPS", "CONFIG_INET=")
    asked = Variant("x y", (("NET", "n"), ("INET", "y")), refused=True)
    result = attempt(workshop, asked)
    assert result.state == NOT_POSSIBLE
    assert "CONFIG_INET=y (x-y.config, line 2): it is n; unmet dependency: NET" in result.notes[0]
    assert workshop.made == ["allnoconfig"]


def test_a_refusal_that_has_not_to_be_is_a_finding(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DROPS", "CONFIG_INET=")
    (finding,) = attempt(workshop, Variant("x", (("INET", "y"),))).findings
    assert (finding.file, finding.line) == ("Kconfig", 9)


def test_a_grant_that_has_not_to_be_is_a_finding(workshop: Workshop) -> None:
    (finding,) = attempt(workshop, Variant("x", ((EXTENDED, "y"),), refused=True)).findings
    assert finding.text == "x is granted, and has to be refused"


def test_an_option_that_the_tree_does_not_have_yet(workshop: Workshop) -> None:
    result = attempt(workshop, Variant("x", (("NOPE", "y"),)))
    assert result == CheckResult(NOTHING, notes=("this tree has no option NOPE",))


def test_any_warning_is_a_finding(workshop: Workshop) -> None:
    workshop.edit("WARN\n")
    for _ in range(2):
        result = attempt(workshop, Variant("x", (("NET", "y"),)))
        assert [str(item) for item in result.findings] == ["kernel/seccomp.c:1: warning: WARN"]


def test_objects_that_are_not_built_are_named(workshop: Workshop) -> None:
    workshop.edit("UNBUILT\n")
    notes = attempt(workshop, Variant("x", (("NET", "n"),))).notes
    assert notes == ("0 objects compiled", "not in this configuration: kernel/seccomp.o")


def test_both_values_with_each_thing_off() -> None:
    names = [variant.name for variant in VARIANTS if not variant.alone]
    assert names == [f"EXTENDED={value}, {name}=n" for value in "yn" for name in OFF]
    refused = [variant.name for variant in VARIANTS if variant.refused]
    assert refused == ["EXTENDED=y, BPF_SYSCALL=n", "EXTENDED=y, NET=n"]


def test_the_table_and_what_is_to_be_mended() -> None:
    good, bad = Variant("good", ()), Variant("bad", ())
    finding = Finding("a.c", 7, "warning: x")
    table = list(
        report(
            [
                Outcome(12, good, CheckResult(OK, notes=("11 objects compiled",))),
                Outcome(12, bad, CheckResult.of([finding])),
            ]
        )
    )
    assert [row.split() for row in table[1:3]] == [
        ["12", "good", "ok", "11", "objects", "compiled"],
        ["12", "bad", "1", "found"],
    ]
    assert table[3:] == ["a.c:7: warning: x [patch 12, bad]"]


@pytest.mark.parametrize(("state", "code"), [(OK, 0), (NOT_POSSIBLE, 0), (FINDINGS, 1)])
def test_the_last_patch_alone_unless_told_otherwise(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    kernel = make_kernel(tmp_path / "kernel")
    make_repository(kernel)
    patches = make_patches(kernel, tmp_path / "patches", CHANGES)
    seen: list[int] = []

    def at_patch(_: object, number: int) -> list[Outcome]:
        seen.append(number)
        return [Outcome(number, VARIANTS[0], CheckResult(state))]

    monkeypatch.setattr(variants, "at_patch", at_patch)
    options = ["--base", f"path:{kernel}", "--patches", str(patches), "--cache", str(cache.root)]
    assert run_cli(["series", "variants", *options]) == code
    assert seen == [2]
    assert run_cli(["series", "variants", *options, "--patch", "1.."]) == code
    assert seen == [2, 1, 2]
    assert run_cli(["series", "variants", *options, "--patch", "0"]) == ExitCode.USAGE
