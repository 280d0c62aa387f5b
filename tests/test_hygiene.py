# SPDX-License-Identifier: MIT
"""What is said of patches without booting them: messages, exceptions, objects, the table."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab import PROJECT_ROOT
from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, LabError
from lab.host import tools
from lab.jobs.hygiene import check, checkpatch, sparse, warnings
from lab.jobs.hygiene.checkpatch import Accepted, Report, load_exceptions
from lab.jobs.hygiene.messages import Message, compiler_messages, document_messages, new_messages
from lab.jobs.hygiene.objects import Touched, compile_objects, select
from lab.jobs.hygiene.result import FINDINGS, NOT_RUN, NOTHING, OK, CheckResult
from lab.jobs.hygiene.sparse import SUBSTITUTE, Sparse, find_sparse
from lab.jobs.hygiene.subject import Subject
from lab.kernel.config import ConfigResult
from lab.kernel.pipeline import Configured
from lab.source.series import Series
from tests.fakes import Workshop, make_workshop
from tests.support import CHANGES, Change, make_kernel, make_patches, make_repository

CHECKPATCH = r"""
open(my $mail, "<", $ARGV[-1]) or die; my $n = 0; my $bad = 0;
while (<$mail>) {
	$n++;
	print STDERR "no module\n" if /^\+.*TRACEBACK/;
	next unless /^\+.*UGLY/;
	$bad = 1;
	print "WARNING:UGLY: not nice\n#$n: FILE: kernel/seccomp.c:7:\n$_\n";
}
print "$ARGV[-1] has style problems, please review.\n" if $bad;
exit $bad;
"""

MAINTAINERS = r"""
my ($path) = map { /^--mpath=(.*)/ } @ARGV;
open(my $file, "<", $path) or die; print grep { /</ } <$file>;
"""

KERNEL_DOC = """\
#!/bin/sh
shift
grep -n UNDOCUMENTED "$@" /dev/null | sed 's/^\\([^:]*:[0-9]*\\):.*/Warning: \\1 not described/' >&2
"""


class World:
    """A toy base with the kernel's scripts, and patches."""

    def __init__(self, cache: Cache, root: Path) -> None:
        self.cache = cache
        self.root = root
        self.kernel = make_kernel(root / "kernel")
        for name, text in (
            ("scripts/checkpatch.pl", CHECKPATCH),
            ("scripts/get_maintainer.pl", MAINTAINERS),
            ("tools/docs/kernel-doc", KERNEL_DOC),
            ("MAINTAINERS", "Somebody <somebody@example.org> (maintainer:SECCOMP)\n"),
            ("kernel/other.c", "/* UNDOCUMENTED */\nWARN old\n"),
        ):
            path = self.kernel / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        make_repository(self.kernel)
        self.patches = root / "patches"

    def series(self, *changes: Change) -> None:
        make_patches(self.kernel, self.patches, changes)

    def check(self, *arguments: str) -> int:
        options = ["--base", f"path:{self.kernel}", "--patches", str(self.patches)]
        cache = ["--cache", str(self.cache.root), "--quiet"]
        return run_cli(["series", "check", *options, *cache, *arguments])


@pytest.fixture
def world(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(checkpatch, "load_exceptions", lambda: ())
    return World(cache, tmp_path)


def adding(text: str, file: str = "kernel/seccomp.c") -> Change:
    """A patch that adds a line."""
    return Change(file, "", text, f"seccomp: Add {text.split()[0]}")


# --- the whole command ----------------------------------------------------------------------


def test_clean_patches_pass(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.series(*CHANGES)
    assert world.check("--no-compile") == ExitCode.PASSED
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["patch", "checkpatch", "sign-off", "kernel-doc", "maintainers"]
    assert [row.split()[-4:] for row in rows] == [[OK] * 4] * 2
    assert rows[1].startswith("2 seccomp: Add after line 30")


def test_findings_are_listed_after_the_table(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.series(CHANGES[0], adding("UGLY\n"))
    assert world.check("--no-compile") == ExitCode.FAILED
    table, last = capsys.readouterr().out.splitlines()[:-1], "kernel/seccomp.c:7: WARNING:UGLY"
    assert "1 found" in table[2]
    assert "1 found" not in table[1]
    world.check("--no-compile")
    assert capsys.readouterr().out.splitlines()[-1] == f"{last}: not nice [patch 2, checkpatch]"


def test_some_patches_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.series(CHANGES[0], adding("UGLY\n"))
    assert world.check("--no-compile", "--patch", "1") == ExitCode.PASSED
    assert "UGLY" not in capsys.readouterr().out
    assert world.check("--no-compile", "--patch", "2..3") == ExitCode.USAGE


def test_what_lies_beside_the_patches(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.series(*CHANGES)
    (world.patches / "ports").mkdir()
    assert world.check("--no-compile") == ExitCode.PASSED
    (world.patches / "0003-more.patch~").write_text("")
    assert world.check("--no-compile") == ExitCode.FAILED
    assert "series:1: 0003-more.patch~ lies beside" in capsys.readouterr().out
    (world.patches / "0003-more.patch").write_text("")
    assert world.check("--no-compile") == ExitCode.USAGE


def test_a_cover_letter_is_wrapped(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.series(*CHANGES)
    letter = world.patches / "0000-cover-letter.patch"
    header = "Subject: [PATCH 0/2] " + 60 * "long "
    letter.write_text(f"{header}\n\nshort\nhttps://example.org/{80 * 'a'}\n{75 * 'a'}\n")
    assert world.check("--no-compile") == ExitCode.PASSED
    letter.write_text(letter.read_text() + 76 * "a" + "\n")
    assert world.check("--no-compile") == ExitCode.FAILED
    assert "0000-cover-letter.patch:6: 76 characters" in capsys.readouterr().out


def test_maintainers_are_listed_if_asked_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.series(*CHANGES)
    world.check("--no-compile", "--maintainers")
    assert "patch 1, maintainers: Somebody <somebody@example.org>" in capsys.readouterr().out


def test_a_patch_for_nobody(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.series(Change("MAINTAINERS", "Somebody <", "Somebody ", "MAINTAINERS: Nobody"))
    assert world.check("--no-compile") == ExitCode.FAILED
    assert "names nobody for this patch [patch 1, maintainers]" in capsys.readouterr().out


def test_a_patch_that_its_author_has_not_signed_off(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.series(*CHANGES)
    for path in world.patches.glob("0002*"):
        path.write_text(path.read_text().replace("<a@example.org>\n---", "<b@example.org>\n---"))
    assert world.check("--no-compile") == ExitCode.FAILED
    out = capsys.readouterr().out
    assert "A \u00dc <a@example.org> has not signed it off; signed off only by A \u00dc <b@" in out
    assert "[patch 2, sign-off]" in out


def test_kernel_doc_counts_what_is_new(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.series(
        Change("kernel/other.c", "/* UNDOC", "/* moved */\n/* UNDOC", "other: Move"),
        adding("/* UNDOCUMENTED */\n"),
    )
    assert world.check("--no-compile") == ExitCode.FAILED
    found = [line for line in capsys.readouterr().out.splitlines() if "not described" in line]
    assert found == ["kernel/seccomp.c:1: not described [patch 2, kernel-doc]"]


def test_a_checkpatch_that_lacks_something_is_no_pass(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.series(adding("TRACEBACK\n"))
    assert world.check("--no-compile") == ExitCode.INFRA
    assert "did not run as it should (status 0): no module" in capsys.readouterr().err


def test_sparse_is_asked_for_before_anything_is_compiled(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(stage: str, _: Cache) -> None:
        raise LabError(f"no tools for {stage}")

    monkeypatch.setattr(tools, "need", lacking)
    world.series(*CHANGES)
    assert world.check() == ExitCode.INFRA
    assert "no tools for series check" in capsys.readouterr().err


# --- exceptions -----------------------------------------------------------------------------


def accepted(pattern: str) -> Accepted:
    return Accepted("seccomp: x", "UGLY", re.compile(pattern), "it is meant so")


UGLY = Report("WARNING", "UGLY", "not nice", "kernel/seccomp.c", 7, "+int ugly;")


@pytest.mark.parametrize("pattern", [r"^kernel/seccomp\.c$", "int ugly"])
def test_an_exception_accepts_by_file_or_by_line(pattern: str) -> None:
    result = checkpatch.judge([UGLY, UGLY], [accepted(pattern)])
    assert result.state == OK
    assert "(it is meant so)" in result.notes[0]


def test_an_exception_that_accepts_nothing_is_a_finding() -> None:
    result = checkpatch.judge([UGLY], [accepted("pretty")])
    assert [finding.text for finding in result.findings] == [
        "WARNING:UGLY: not nice",
        "the exception for UGLY and pretty in 'seccomp: x' matches nothing",
    ]


def test_reports_are_read() -> None:
    output = (PROJECT_ROOT / "tests/golden/checkpatch.txt").read_text()
    places = [(r.type, r.file, r.line) for r in checkpatch.parse(output, "0001-x.patch")]
    assert places == [
        ("COMMIT_LOG_LONG_LINE", "0001-x.patch", 15),
        ("BIT_MACRO", "samples/bpf/test_seccomp_user.c", 21),
        ("MISSING_SIGN_OFF", "0001-x.patch", 1),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[exception]]\npatch = 'x'\n", "has to have patch, pattern, reason, type"),
        ("[[exception]]\npatch='x'\ntype='X'\npattern='('\nreason='r'\n", "no regular expression"),
        ("[[exception]]\npatch='x'\ntype='X'\npattern='a'\nreason=''\n", "has to have"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_understood(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "checkpatch.toml"
    path.write_text(text)
    with pytest.raises(LabError, match=words):
        load_exceptions(path)


def test_the_projects_own_exceptions_are_for_its_own_patches() -> None:
    subject = SimpleNamespace(series=Series.read(PROJECT_ROOT / "patches"))
    assert load_exceptions()
    assert checkpatch.strangers(cast(Subject, subject)) == []
    nothing = SimpleNamespace(series=SimpleNamespace(patches=()))
    assert len(checkpatch.strangers(cast(Subject, nothing))) == len(load_exceptions())


# --- messages -------------------------------------------------------------------------------

SPARSE_SAYS = """\
  CHECK   kernel/seccomp.c
/tree/kernel/seccomp.c:580:27: warning: incorrect type in argument 1 (different address spaces)
/tree/kernel/seccomp.c:580:27:    expected struct spinlock *lock
/tree/kernel/seccomp.c:580:27:    got struct spinlock [noderef] __rcu *
/tree/kernel/seccomp.c: note: in included file (through /tree/include/linux/mm.h):
/tree/include/linux/sched.h:7:1: error: bad
/tree/include/linux/sched.h:7:1: error: bad
make[5]: *** No rule to make target 'kernel/bpf/x.o'.
"""


def test_messages_with_what_belongs_to_them() -> None:
    assert compiler_messages(SPARSE_SAYS, "/tree") == (
        Message(
            "kernel/seccomp.c",
            580,
            "warning: incorrect type in argument 1 (different address spaces); expected struct "
            "spinlock *lock; got struct spinlock [noderef] __rcu *",
        ),
        Message("include/linux/sched.h", 7, "error: bad"),
    )


def test_kernel_docs_messages() -> None:
    said = "Warning: kernel/x.c:4 function parameter 'c' not described in 'foo'\nelse\n"
    assert document_messages(said) == (
        Message("kernel/x.c", 4, "function parameter 'c' not described in 'foo'"),
    )


def test_new_is_what_the_other_side_has_not_as_often() -> None:
    def at(*lines: int, text: str = "warning: x") -> tuple[Message, ...]:
        return tuple(Message("a.c", line, text) for line in lines)

    assert new_messages(at(5, 9), at(3, 4)) == ()
    assert new_messages(at(5, 9, 12), at(3, 4)) == at(12)
    assert new_messages(at(5, text="warning: y"), at(5)) == at(5, text="warning: y")
    assert new_messages(at(1, text="error: see b.h:9"), at(1, text="error: see b.h:7")) == ()


# --- objects --------------------------------------------------------------------------------

SERIES = ("kernel/seccomp.c", "include/linux/bpf.h", "kernel/ptrace.c", "tools/lib/bpf/libbpf.c")


@pytest.mark.parametrize(
    ("files", "touched"),
    [
        (("kernel/seccomp.c", "MAINTAINERS"), Touched(("kernel/seccomp.o",), ())),
        (("include/linux/bpf.h",), Touched(("kernel/ptrace.o", "kernel/seccomp.o"), ())),
        (("tools/b.h", "samples/a.c"), Touched((), ("tools/b.h", "samples/a.c"))),
        (("Documentation/a.rst",), Touched((), ())),
    ],
)  # fmt: skip
def test_objects_of_a_patch(files: tuple[str, ...], touched: Touched) -> None:
    assert select(files, SERIES) == touched


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
