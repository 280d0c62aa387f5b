# SPDX-License-Identifier: MIT
"""What is said of patches: exceptions, messages, objects."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import PROJECT_ROOT
from lab.errors import LabError
from lab.jobs.hygiene import checkpatch
from lab.jobs.hygiene.checkpatch import Accepted, Report, load_exceptions
from lab.jobs.hygiene.messages import Message, compiler_messages, document_messages, new_messages
from lab.jobs.hygiene.objects import Touched, select
from lab.jobs.hygiene.result import OK
from lab.jobs.hygiene.subject import Subject
from lab.source.series import Series

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
