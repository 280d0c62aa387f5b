# SPDX-License-Identifier: MIT
"""The series on another base: what fits, patch by patch, and the way to make fit what does not.

What a base needs otherwise is a port of single patches, ``patches/ports/BASE/NAME`` (lab.series);
all other patches stay what they are. A port is made by an author in a worktree, with git am, and
written from the commits there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path

from lab.core.cache import atomic_write
from lab.core.ui import Ui
from lab.errors import UsageError
from lab.source.apply import Mail, apply_diff, bring, check_port, lend, patch_id
from lab.source.bases import MAIN_BASE
from lab.source.export import FORMAT, check_exportable
from lab.source.git import IDENTITY_EMAIL, IDENTITY_NAME, Git
from lab.source.series import PORTS, Patch, Series
from lab.source.worktree import PORT, TreeRequest

CLEAN, MERGED, PRESENT, CONFLICT, STALE = (
    "clean", "3-way", "already applied", "conflict", "stale port",
)  # fmt: skip
"""How a patch fits: as it is, by a merge, not needed, not, or by a port of an older version."""

GLOB = re.compile(r"[*?\[]")
"""What stands for more than itself where git apply wants a file."""

MARKER = re.compile(r"^(<<<<<<<|>>>>>>>) ")


@dataclass(frozen=True)
class Place:
    """Where a patch does not fit. ``hunks`` are the hunks of the patch that do not apply as they
    are; ``lines`` the first and last lines between conflict markers, in the file as git merges it,
    none if there is nothing to merge with. ``after``: an earlier patch was left out of this file.
    """

    file: str
    hunks: tuple[str, ...]
    lines: tuple[tuple[int, int], ...]
    after: int | None = None

    def __str__(self) -> str:
        text = self.file + (f", {', '.join(self.hunks)}" if self.hunks else "")
        if self.lines:
            spans = ", ".join(f"{first}-{last}" for first, last in self.lines)
            text += f": lines {spans} of the merged file"
        return text + (f" (where patch {self.after} is left out)" if self.after else "")


@dataclass(frozen=True)
class Outcome:
    """How a patch fits: one of CLEAN, MERGED, PRESENT, CONFLICT, STALE, and where it does not."""

    patch: Patch
    state: str
    places: tuple[Place, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the tree stage can apply it."""
        return self.state in (CLEAN, MERGED, PRESENT)

    def lines(self) -> Iterator[str]:
        """For people."""
        ported = ", ported" if self.patch.original is not None else ""
        yield f"{self.patch.number:04d} {self.state + ported:24} {self.patch.title}"
        for place in self.places:
            yield f"     {place}"


@dataclass(frozen=True)
class Trial:
    """Every patch tried, in order. ``good`` is the commit before the first that does not fit."""

    outcomes: tuple[Outcome, ...]
    good: str

    @property
    def fits(self) -> bool:
        """Whether all of them do."""
        return all(outcome.fits for outcome in self.outcomes)


def try_series(request: TreeRequest, ui: Ui) -> Trial:
    """Try each patch in an index. Touches no worktree.

    After a conflict it goes on without the files in conflict, so that what follows is tried against
    as much as there can be; a later conflict in such a file says so.
    """
    assert request.series is not None
    if request.base.name != MAIN_BASE:
        lend(request, ui)
    outcomes: list[Outcome] = []
    head = good = request.base.commit
    left_out: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        git = Git(request.base.git_dir, index=Path(scratch) / "index")
        git.run("read-tree", head)
        for patch in request.series.patches:
            mail = Mail.split(git, patch.content, Path(scratch))
            outcome = _try_patch(git, head, patch, mail.diff, left_out)
            head = mail.commit(git, git.out("write-tree"), head)
            outcomes.append(outcome)
            if all(earlier.fits for earlier in outcomes):
                good = head
            for place in outcome.places:
                left_out.setdefault(place.file, patch.number)
    return Trial(tuple(outcomes), good)


def _try_patch(
    git: Git, head: str, patch: Patch, diff: Path, left_out: Mapping[str, int]
) -> Outcome:
    """Bring what fits into the index."""
    try:
        check_port(git, patch)
    except UsageError:
        stale = STALE
    else:
        stale = ""
    as_it_is = git.ok("apply", "--cached", "--check", "--whitespace=nowarn", diff)
    if bring(git, head, diff):
        changed = git.out("write-tree") != git.out("rev-parse", f"{head}^{{tree}}")
        state = (CLEAN if as_it_is else MERGED) if changed else PRESENT
        return Outcome(patch, stale or state)
    places = []
    for file in dict.fromkeys(hunk.file for hunk in patch.hunks()):
        before = git.out("write-tree")
        if not apply_diff(git, diff, "--include=" + GLOB.sub(r"[\g<0>]", file)):
            lines = _marked(git, file)
            git.run("read-tree", before)
            hunks = _misfits(git, patch, file, diff)
            places.append(Place(file, hunks, lines, left_out.get(file)))
    return Outcome(patch, CONFLICT, tuple(places))


def _misfits(git: Git, patch: Patch, file: str, diff: Path) -> tuple[str, ...]:
    """The hunks for a file that do not apply as they are, each tried by itself."""
    if not git.out("ls-files", "--", file):
        return ("a file that is not there",)
    header, *hunks = re.split(r"^(?=@@ )", _part(diff, file), flags=re.MULTILINE)
    numbered = [hunk for hunk in patch.hunks() if hunk.file == file]
    alone = diff.with_name("hunk")
    found = []
    for hunk, text in zip(numbered, hunks, strict=True):
        alone.write_text(header + text, encoding="utf-8", errors="surrogateescape")
        if not git.ok("apply", "--cached", "--check", "--whitespace=nowarn", alone):
            found.append(f"hunk #{hunk.number} (line {hunk.line})")
    return tuple(found)


def _part(diff: Path, file: str) -> str:
    """What a diff has about one file."""
    text = diff.read_text(encoding="utf-8", errors="surrogateescape")
    parts = re.split(r"^(?=diff --git )", text, flags=re.MULTILINE)
    return next(part for part in parts if part.partition("\n")[0].endswith(f" b/{file}"))


def _marked(git: Git, file: str) -> tuple[tuple[int, int], ...]:
    """Where git has left conflict markers in a file that it could not merge in the index."""
    stages = re.findall(r"^\d+ ([0-9a-f]+) [123]\t", git.out("ls-files", "-u", "--", file), re.M)
    if len(stages) != 3:
        return ()
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        base, ours, theirs = (Path(scratch) / name for name in ("base", "ours", "theirs"))
        for stage, path in zip(stages, (base, ours, theirs), strict=True):
            path.write_text(git.run("cat-file", "blob", stage).stdout)
        merged = git.run("merge-file", "-p", ours, base, theirs, check=False).stdout
    marks = [number for number, line in enumerate(merged.splitlines(), 1) if MARKER.match(line)]
    return tuple(zip(marks[::2], marks[1::2], strict=True))


# --- resolving ------------------------------------------------------------------------------


def worktree(request: TreeRequest) -> Path:
    """Where an author resolves what does not fit."""
    return request.cache.trees / f"{request.base.name}-{PORT}"


def begin(request: TreeRequest, trial: Trial) -> bool:
    """Make a worktree with the patches before the first that does not fit, and have git am apply
    the rest there, not by a port where that does not fit; whether it has stopped at a conflict.

    Raises UsageError if there is such a worktree already, or if all patches fit.
    """
    path = worktree(request)
    if path.exists():
        raise UsageError(
            f"{path} is there already.",
            hint="Go on in it and save it with --save, or remove it with "
            f"`git -C {request.base.git_dir} worktree remove --force {path}`.",
        )
    if trial.fits:
        raise UsageError(
            f"All patches fit {request.base.name}: there is nothing to resolve.",
            hint="`lab series edit` with this --base has them in a worktree; what is amended there "
            "is saved with --save.",
        )
    git = Git(request.base.git_dir)
    git.run("worktree", "prune")
    git.run("worktree", "add", "-q", "--detach", path, trial.good)
    rest = list(dropwhile(lambda outcome: outcome.fits, trial.outcomes))
    mails = [
        outcome.patch.path if outcome.fits else (outcome.patch.original or outcome.patch).path
        for outcome in rest
    ]
    who = ("-c", f"user.name={IDENTITY_NAME}", "-c", f"user.email={IDENTITY_EMAIL}")
    return not Git(path).ok(*who, "am", "-q", "--3way", *(mail.resolve() for mail in mails))


def end(request: TreeRequest) -> bool:
    """Remove the worktree, unless there are files in it that git does not know; whether it went."""
    return Git(request.base.git_dir).ok("worktree", "remove", worktree(request))


@dataclass(frozen=True)
class Saved:
    """Ports by file name, as they have to be."""

    directory: Path
    files: Mapping[str, bytes] = field(repr=False)

    def write(self) -> dict[str, str]:
        """Bring the directory up to date; file name to "new", "changed" or "gone"."""
        changes = {}
        for path in sorted(self.directory.glob("*.patch")):
            if path.name not in self.files:
                path.unlink()
                changes[path.name] = "gone"
        for name, content in self.files.items():
            path = self.directory / name
            if not path.is_file() or path.read_bytes() != content:
                changes[name] = "changed" if path.is_file() else "new"
                self.directory.mkdir(parents=True, exist_ok=True)
                atomic_write(path, content)
        return changes


def render(request: TreeRequest, git: Git, ui: Ui) -> Saved:
    """The ports that a worktree's commits come to: of each patch that the lab would not itself turn
    into the commit that is there. Raises UsageError if the commits are not those of the series.
    """
    assert request.series is not None
    check_exportable(git, request.base)
    series = request.series.originals
    commits = git.out("rev-list", "--reverse", f"{request.base.commit}..HEAD").split()
    titles = [git.out("log", "-1", "--format=%s", commit) for commit in commits]
    if titles != [patch.title for patch in series.patches]:
        raise UsageError(
            f"The {len(titles)} commits in {git.directory} are not the {len(series.patches)} "
            f"patches of {series.directory}, in their order and with their subjects.",
            hint=f"`git -C {git.directory} log --oneline {request.base.commit[:12]}..HEAD` shows "
            "them.",
        )
    if request.base.name != MAIN_BASE:
        lend(request, ui)
    files = {}
    for commit, patch in zip(commits, series.patches, strict=True):
        if not _comes_by_itself(request, patch, commit):
            files[patch.path.name] = _mail(git, commit, patch, series)
    return Saved(series.directory / PORTS / request.base.name, files)


def _comes_by_itself(request: TreeRequest, patch: Patch, commit: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        git = Git(request.base.git_dir, index=Path(scratch) / "index")
        git.run("read-tree", f"{commit}^")
        diff = Mail.split(git, patch.content, Path(scratch)).diff
        wanted = git.out("rev-parse", f"{commit}^{{tree}}")
        return bring(git, f"{commit}^", diff) and git.out("write-tree") == wanted


def _mail(git: Git, commit: str, patch: Patch, series: Series) -> bytes:
    """A commit as a mail that says of which patch it is the port."""
    shown = re.search(rb"^Subject: \[([^]]*)\]", patch.content, re.MULTILINE)
    prefix = shown[1].decode() if shown else f"PATCH {patch.number}/{len(series.patches)}"
    options = (*FORMAT, f"--subject-prefix={prefix}", "-1", commit)
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
        path = Path(scratch) / "mail"
        git.run("format-patch", f"--output={path}", *options)
        mail = path.read_bytes()
    line = f"---\nPort-of: {patch_id(git, patch.content)}\n\n".encode()
    return mail.replace(b"\n---\n", b"\n" + line, 1)
