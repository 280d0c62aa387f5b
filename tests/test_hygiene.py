# SPDX-License-Identifier: MIT
"""`lab series check`: the whole command."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cli.app import run_cli
from lab.core.cache import Cache
from lab.errors import ExitCode, LabError
from lab.host import tools
from lab.jobs.hygiene import checkpatch
from lab.jobs.hygiene.result import OK
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
