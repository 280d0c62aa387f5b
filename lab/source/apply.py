# SPDX-License-Identifier: MIT
"""The patches of a series as commits on a base: git am, three ways, in the index alone."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.core.ui import Ui
from lab.errors import UsageError
from lab.source.bases import MAIN_BASE, ready_base
from lab.source.git import Git, identity
from lab.source.series import Patch
from lab.source.worktree import PatchRef, State, TreeRequest, made_from


def series_commit(request: TreeRequest, ui: Ui) -> str:
    """The commit that the series is on its base, made if it is not there. Touches no worktree.

    Raises UsageError if a patch does not apply.
    """
    return apply_series(request, Git(request.base.git_dir), made_from(request), ui).head


def apply_series(request: TreeRequest, repository: Git, key: str, ui: Ui) -> State:
    """Make the commits. Touches no worktree."""
    patches = request.series.patches if request.series else ()
    head = request.base.commit
    if request.series is None or not patches:
        return State(key, head, ())
    if request.base.name != MAIN_BASE:
        lend(request, ui)
    refs = []
    with (
        tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch,
        ui.progress(f"apply series to {request.base.name}", len(patches), "patches") as progress,
    ):
        git = Git(repository.directory, index=Path(scratch) / "index")
        git.run("read-tree", head)
        for patch in patches:
            check_port(git, patch)
            mail = Mail.split(git, patch.content, Path(scratch))
            if not bring(git, head, mail.diff):
                raise _does_not_apply(git, patch, mail.diff)
            head = mail.commit(git, git.out("write-tree"), head)
            refs.append(
                PatchRef(patch.number, patch.title, patch.file, patch_id(git, patch.content))
            )
            progress.advance()
    # A ref, so that no garbage collection takes the commits while the worktree is elsewhere.
    repository.run("update-ref", f"refs/lab/series/{key[:16]}", head)
    return State(key, head, tuple(refs))


@dataclass(frozen=True)
class Mail:
    """A mail taken apart by git-mailinfo(1)."""

    fields: Mapping[str, str]
    message: str
    diff: Path

    @classmethod
    def split(cls, git: Git, content: bytes, scratch: Path) -> Mail:
        """The diff is written to a file in ``scratch``, which the next mail overwrites."""
        message, diff = scratch / "message", scratch / "diff"
        info = git.run("mailinfo", "--encoding=UTF-8", message, diff, input=content).stdout
        fields = dict(line.split(": ", 1) for line in info.splitlines() if ": " in line)
        body = message.read_text(encoding="utf-8").strip()
        return cls(fields, fields["Subject"] + (f"\n\n{body}" if body else "") + "\n", diff)

    def commit(self, git: Git, tree: str, parent: str) -> str:
        """A commit as git-am(1) makes it, but for the committer: that is the lab at the author's
        date, so that the same mail gives the same commit id.
        """
        env = identity(self.fields["Date"], (self.fields["Author"], self.fields["Email"]))
        args = ("commit-tree", tree, "-p", parent, "-F", "-")
        return git.run(*args, input=self.message, env=env).stdout.strip()


def apply_diff(git: Git, diff: Path, *options: str) -> bool:
    """Apply a diff to the index, by a merge if it does not fit as it is; whether that could be
    done. The index is of no use if not.
    """
    options = ("--cached", "--3way", "--whitespace=nowarn", *options)
    return git.ok("apply", *options, diff)


def bring(git: Git, head: str, diff: Path) -> bool:
    """Apply a diff to the index, which holds ``head``, if it has not been applied there already;
    whether the index has it now. It holds ``head`` if not.
    """
    if apply_diff(git, diff):
        return True
    git.run("read-tree", head)
    return git.ok("apply", "--cached", "--check", "--reverse", "--whitespace=nowarn", diff)


def patch_id(git: Git, content: bytes) -> str:
    """git-patch-id(1), ``--stable``: what a patch changes, whatever else its mail says."""
    return git.run("patch-id", "--stable", input=content).stdout.split(" ")[0]


PORT_OF = re.compile(rb"^Port-of: ([0-9a-f]{40})$", re.MULTILINE)
"""Below a port's ``---``: the patch-id of the patch that it was made from."""


def check_port(git: Git, patch: Patch) -> None:
    """Raises UsageError if a port was made from another version of its patch."""
    if patch.original is None:
        return
    made_from = PORT_OF.search(patch.content)
    now = patch_id(git, patch.original.content)
    if made_from is None or made_from[1].decode() != now:
        raise UsageError(
            f"{patch.path} is the port of another version of {patch.original.file}: that was "
            "changed since.",
            hint="`lab series port --edit` with this --base begins it anew; when it is resolved, "
            "--save.",
        )


def lend(request: TreeRequest, ui: Ui) -> None:
    """Copy the files that the patches were made from, out of the repository of MAIN_BASE, if that
    is there, into that of the base. They are named by the ``index`` lines (git-diff(1)).

    Copied and not shared by git's alternates: nothing that is made from them would be written a
    second time, and the base would be broken once the other one is gone.
    """
    assert request.series is not None
    originals = request.series.originals
    text = b"\n".join(patch.content for patch in originals.patches).decode("utf-8", "replace")
    named = set(re.findall(r"^index ([0-9a-f]{7,40})\.\.", text, re.MULTILINE))
    wanted = "".join(f"{name}\n" for name in sorted(named) if name.strip("0"))
    borrower = Git(request.base.git_dir)
    main = ready_base(request.cache, MAIN_BASE)
    there = borrower.run("cat-file", "--batch-check", input=wanted).stdout
    if " missing" not in there:
        return
    if main is None:
        ui.warn(
            f"{MAIN_BASE} is not here: a patch that does not fit {request.base.name} as it is "
            f"cannot be merged (`lab base {MAIN_BASE}` fetches it)"
        )
        return
    # A patch is made from what the patches before it have left. If the series does not fit there
    # either, there is less to lend.
    with suppress(UsageError):
        series_commit(TreeRequest(main, originals, request.cache), ui)
    found = Git(main.git_dir).run("cat-file", "--batch-check", input=wanted).stdout.splitlines()
    objects = "".join(f"{line.split()[0]}\n" for line in found if " blob " in line)
    if not objects:
        return
    # git renames the pack from its own directory, and /tmp can be another file system.
    with tempfile.TemporaryDirectory(dir=main.git_dir, prefix="lent-") as scratch:
        packed = Path(scratch) / "lent"
        name = Git(main.git_dir).run("pack-objects", "-q", packed, input=objects).stdout.strip()
        pack = Path(f"{packed}-{name}.pack").read_bytes()
    borrower.run("unpack-objects", "-q", input=pack)


def _does_not_apply(git: Git, patch: Patch, diff: Path) -> UsageError:
    """Say which hunks do not fit. Asks again without ``--3way``, whose messages name none."""
    result = git.run("apply", "--cached", "--check", "--whitespace=nowarn", diff, check=False)
    reasons = []
    for line in result.stderr.splitlines():
        if failed := re.match(r"error: patch failed: (.*):(\d+)$", line):
            reasons.append(_hunk_name(patch, failed[1], int(failed[2])))
        elif line.startswith("error: ") and not line.endswith(": patch does not apply"):
            reasons.append(line.removeprefix("error: "))
    what = "; ".join(reasons) or "it conflicts with what is there"
    return UsageError(
        f"Patch {patch.file} ({patch.title!r}) does not apply: {what}. The tree is as it was.",
        hint="`lab series port` with this --base says of each patch what does not fit; the series "
        f"is made for {MAIN_BASE}.",
    )


def _hunk_name(patch: Patch, file: str, line: int) -> str:
    for hunk in patch.hunks():
        if hunk.file == file and hunk.line == line:
            return f"{file}, hunk #{hunk.number} (line {line})"
    return f"{file}, hunk at line {line}"
