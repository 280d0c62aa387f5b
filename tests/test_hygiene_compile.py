# SPDX-License-Identifier: MIT
"""W=1 and sparse: what is compiled, and what of it is new."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import ExitCode, LabError
from lab.jobs.hygiene import check, sparse, warnings
from lab.jobs.hygiene.messages import Message
from lab.jobs.hygiene.objects import compile_objects
from lab.jobs.hygiene.result import FINDINGS, NOT_RUN, NOTHING, OK, CheckResult
from lab.jobs.hygiene.sparse import SUBSTITUTE, Sparse, find_sparse
from lab.jobs.hygiene.subject import Subject
from lab.kernel.config import ConfigResult
from lab.kernel.pipeline import Configured
from tests.fakes import Workshop, make_workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return make_workshop(tmp_path / "shop", monkeypatch)


def configured(workshop: Workshop) -> Configured:
    """The workshop as the stages hand it on."""
    source = SimpleNamespace(tree=workshop.tree)
    config = ConfigResult(workshop.build_dir / ".config", "digest", False, 0)
    return Configured(cast(Any, source), workshop.build_dir, workshop.toolchain, config)


def sources(workshop: Workshop, **texts: str) -> list[str]:
    """Sources in kernel/; their objects."""
    for name, text in texts.items():
        (workshop.tree.path / f"kernel/{name}.c").write_text(text)
    return [f"kernel/{name}.o" for name in texts]


def test_objects_are_compiled_anew_and_the_rest_is_named(workshop: Workshop) -> None:
    objects = sources(workshop, a="WARN one\n", b="UNBUILT", c="BROKEN\n")
    for _ in range(2):
        done = compile_objects(configured(workshop), [*objects, "kernel/gone.o"])
        assert done.messages == (
            Message("kernel/a.c", 1, "warning: WARN one"),
            Message("kernel/c.c", 1, "error: BROKEN"),
        )
        assert done.left_out == ("kernel/b.o",)


def test_a_make_that_fails_for_no_source_of_ours(workshop: Workshop) -> None:
    objects = sources(workshop, a="CRASH\n")
    with pytest.raises(LabError, match="make failed"):
        compile_objects(configured(workshop), objects)


# --- sparse ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "flags", "words"),
    [
        ("echo 1", ["C=2"], ""),
        (f'case "$*" in *{SUBSTITUTE}*) echo 1;; *) echo 0;; esac', ["C=2"], "was told to read"),
        ("echo 0", [], "too old for this tree"),
    ],
)
def test_the_tree_is_asked_about_sparse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: str, flags: list[str], words: str
) -> None:
    for name, text in ((sparse.VALID, asks), ("bin/sparse", "echo 0.6.4")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = find_sparse(tmp_path)
    assert [flag for flag in found.flags if flag.startswith("C=")] == flags
    assert words in found.note + found.why
    assert bool(found.why) is not bool(found.flags)


# --- W=1 and sparse, of a patch -------------------------------------------------------------


class Compiling:
    """A subject whose trees are directories, base and patch, and a make that is a stand-in."""

    def __init__(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workshop = workshop
        self.files: tuple[str, ...] = ("kernel/a.c",)
        self.checker = Sparse("0.6.5", ("C=2", "CF=-x"))
        self.at = ""
        self.texts = {0: "WARN old\nSPARSE old\n", 1: "\nWARN old\nSPARSE old\n"}
        monkeypatch.setattr(warnings, "bring_source", lambda _, plan: self._source(plan))
        monkeypatch.setattr(warnings, "bring_config", lambda *_: configured(self.workshop))
        monkeypatch.setattr(warnings, "held", lambda *_: _Held(self.workshop.build_dir))
        monkeypatch.setattr(warnings, "source_digest", lambda _: self.at)
        monkeypatch.setattr(warnings, "find_sparse", lambda _: self.checker)

    def _source(self, number: int) -> Any:
        self.at = self.texts[number]
        sources(self.workshop, a=self.at)
        return SimpleNamespace(tree=self.workshop.tree)

    def run(self) -> dict[str, CheckResult]:
        session = SimpleNamespace(ui=SimpleNamespace(say=lambda _: None))
        subject = SimpleNamespace(
            session=session,
            scripts=self.workshop.root,
            touched=lambda _: self.files,
            everything=lambda: self.files,
            plan_at=lambda number, _: number,
        )
        return warnings.run(cast(Subject, subject), 1)


class _Held:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def compiling(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Compiling:
    return Compiling(workshop, monkeypatch)


def test_old_warnings_at_new_lines_are_not_new(compiling: Compiling) -> None:
    assert [result.state for result in compiling.run().values()] == [OK, OK]


def test_new_warnings_are_found_each_by_its_tool(compiling: Compiling) -> None:
    compiling.texts[1] += "WARN new\nSPARSE new\n"
    results = compiling.run()
    assert [str(item) for item in results["W=1"].findings] == ["kernel/a.c:4: warning: WARN new"]
    assert [str(item) for item in results["sparse"].findings] == [
        "kernel/a.c:5: warning: SPARSE new"
    ]


def test_what_has_been_compiled_is_not_compiled_again(compiling: Compiling) -> None:
    compiling.run()
    made = compiling.workshop.made
    # Base and patch: prepare, compile, check.
    assert len(made) == 6
    compiling.run()
    assert compiling.workshop.made == made
    compiling.texts[1] += "WARN new\n"
    assert compiling.run()["W=1"].state == FINDINGS


def test_without_sparse_that_is_said(compiling: Compiling) -> None:
    compiling.checker = Sparse("0.5", why="too old")
    results = compiling.run()
    assert results["W=1"].state == OK
    assert results["sparse"] == CheckResult(NOT_RUN, notes=("too old",))
    assert check.judge([check.Row(1, "x", results)], []) == ExitCode.INFRA


def test_a_make_that_goes_on_without_sparse_is_no_pass(
    compiling: Compiling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCHECK", "1")
    with pytest.raises(LabError, match="sparse is not available"):
        compiling.run()


def test_a_patch_of_user_space_compiles_nothing(compiling: Compiling) -> None:
    compiling.files = ("tools/lib/bpf/libbpf.c",)
    results = compiling.run()
    assert results["W=1"].state == NOTHING
    assert results["W=1"].notes == ("not compiled, no part of a kernel: tools/lib/bpf/libbpf.c",)
    assert compiling.workshop.made == []


def test_what_the_configuration_lacks_is_named(compiling: Compiling) -> None:
    compiling.texts = {0: "UNBUILT 0", 1: "UNBUILT 1"}
    notes = compiling.run()["W=1"].notes
    assert notes == ("not compiled, not in this configuration: kernel/a.o",)
