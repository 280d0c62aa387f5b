# SPDX-License-Identifier: MIT
"""Stage 2, tree: a worktree that holds the base, or the base with the series as commits.

The patches are applied in an index, without a worktree, and become commits whose ids depend on the
base and the patches alone. Then the worktree is moved there by ``git checkout``, which writes the
files that differ and leaves the rest, so that make rebuilds what the change touches.

What an author has changed in the worktree himself is never overwritten.

On another base than the series' own a patch that does not fit is merged, for which git wants the
files that the patch was made from: they are lent by the base that has them.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab.core.cache import Cache, atomic_write
from lab.core.ui import Ui
from lab.errors import LabError, UsageError
from lab.source.base import MAIN_BASE, BaseResult, ready_base
from lab.source.git import Counted, Git, identity, run_with_progress
from lab.source.series import Patch, Series

NAMED_FILES = 5
"""Files that a message names before it says "and N more"."""


@dataclass(frozen=True)
class PatchRef:
    """A patch that is in a tree. ``patch_id``: git-patch-id(1), ``--stable``."""

    number: int
    title: str
    file: str
    patch_id: str


BASE, SERIES, PART, PORT = "base", "series", "part", "port"
KINDS = (BASE, SERIES, PART, PORT)
"""The worktrees of a base: without the series, with all of it, with the first few patches, and the
one in which an author resolves what does not fit.
"""


def worktree(cache: Cache, base: str, kind: str) -> Path:
    """Where a base's worktree is, or is going to be. ``kind`` is one of KINDS."""
    return cache.trees / f"{base}-{kind}"


@dataclass(frozen=True)
class TreeRequest:
    """Which tree. ``series`` None: the base alone. ``part``: ``series`` is the beginning of one,
    for which there is a worktree beside the one that an author works in.
    """

    base: BaseResult
    series: Series | None
    cache: Cache
    part: bool = False

    @property
    def kind(self) -> str:
        """One of KINDS."""
        if self.series is None:
            return BASE
        return PART if self.part else SERIES

    @property
    def path(self) -> Path:
        """Where the worktree is, or is going to be."""
        return worktree(self.cache, self.base.name, self.kind)


@dataclass(frozen=True)
class TreeResult:
    """A tree, ready to be built.

    ``kind`` is one of KINDS. ``local`` names what the author changed on top of it himself
    (files, or commits as ``commit ID TITLE``); empty if the tree is exactly base plus ``patches``.
    """

    path: Path
    head: str
    kind: str
    patches: tuple[PatchRef, ...]
    local: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """What the lab put into a worktree.

    ``moving``: a move to ``head`` was begun and not ended; ``previous`` is where from, "" if the
    worktree was being made.
    """

    key: str
    head: str
    patches: tuple[PatchRef, ...]
    moving: bool = False
    previous: str = ""

    def store(self, path: Path) -> None:
        """Write atomically."""
        atomic_write(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> State | None:
        """None if there is none or it cannot be read."""
        try:
            row = json.loads(path.read_text())
            return cls(**{**row, "patches": tuple(PatchRef(**ref) for ref in row["patches"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def ensure_tree(request: TreeRequest, ui: Ui) -> TreeResult:
    """Have the worktree hold base and series. Nothing changed: a few git calls.

    Raises UsageError if a patch does not apply (the tree stays as it was) or if the author changed
    both the tree and the patches; LabError if git fails.
    """
    path = request.path
    why = f"preparing tree {path.name}"
    # Nothing to do, as mostly: then a build in this tree is no reason to wait for its end.
    with request.cache.share_entry(path, why, ui.say):
        current = _current(request)
    if current is not None:
        return current
    with request.cache.lock_entry(path, why, ui.say):
        return _ensure(request, ui)


def _state_file(request: TreeRequest) -> Path:
    return request.base.git_dir.parent / f"tree-{request.kind}.json"


def is_made_from(request: TreeRequest) -> bool:
    """Whether the tree that is there was made from this base and these patches."""
    state = State.load(_state_file(request))
    return state is not None and state.key == _key(request)


def local_changes(request: TreeRequest) -> tuple[str, ...]:
    """What an author changed in the worktree that is there, as TreeResult.local says it."""
    state = State.load(_state_file(request)) if (request.path / ".git").exists() else None
    return _local_changes(request.path, state) if state is not None else ()


def _current(request: TreeRequest) -> TreeResult | None:
    """The worktree as it is, if it is what is asked for, without changes of the author's."""
    path = request.path
    if not (path / ".git").exists():
        return None
    state = State.load(_state_file(request))
    if state is None or state.moving or state.key != _key(request):
        return None
    if not Git(request.base.git_dir).has_commit(state.head) or _local_changes(path, state):
        return None
    return TreeResult(path, state.head, request.kind, state.patches)


def _ensure(request: TreeRequest, ui: Ui) -> TreeResult:
    path = request.path
    repository = Git(request.base.git_dir)
    state_file = _state_file(request)
    state = State.load(state_file) if (path / ".git").exists() else None
    key = _key(request)
    if state is not None and state.moving:
        state = _finish_move(path, state, state_file)
    local = _local_changes(path, state) if state is not None else ()
    if state is not None and state.key == key and repository.has_commit(state.head):
        target = state
    else:
        target = _apply(request, repository, key, ui)
    if state is None:
        _create(request, path, target, state_file, ui)
        local = ()
    elif local:
        local = _keep_local(path, state, target, state_file, local, ui)
    elif state.head != target.head:
        _move(path, state, target, state_file)
    elif state != target:
        target.store(state_file)
    head = target.head if not local else Git(path).out("rev-parse", "HEAD")
    return TreeResult(path, head, request.kind, target.patches, local)


def _key(request: TreeRequest) -> str:
    """Names what the tree is made from."""
    series = request.series.digest if request.series else ""
    return hashlib.sha256(f"{request.base.commit}\0{series}".encode()).hexdigest()


# --- the worktree ---------------------------------------------------------------------------


def _create(request: TreeRequest, path: Path, target: State, state_file: Path, ui: Ui) -> None:
    """Make the worktree: take over the base's spare one, else check out."""
    repository = Git(request.base.git_dir)
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(
            f"{path} is in the way: the lab has no record of having made it.",
            hint="Move it away if something in it is yours, else remove it; then run again.",
        )
    repository.run("worktree", "prune")
    path.parent.mkdir(parents=True, exist_ok=True)
    spare = request.base.spare
    # Recorded before anything is made: a half made worktree is finished by the next run and not
    # mistaken for one with the author's changes.
    replace(target, moving=True, previous="").store(state_file)
    if (spare / ".git").exists() and Git(spare).resolve("HEAD") == request.base.commit:
        if path.is_dir():
            path.rmdir()
        repository.run("worktree", "move", spare, path)
    else:
        repository.run("worktree", "add", "-q", "--no-checkout", "--detach", path, target.head)
    failure = run_with_progress(
        Git(path),
        # As many workers as there are cores: 90 000 small files.
        ("-c", "checkout.workers=0", "checkout", "--progress", "-f", "--detach", target.head),
        Counted(f"check out {path.name}", r"Updating files: +\d+% \((\d+)/(\d+)\)", "files"),
        ui,
    )
    if failure:
        raise LabError(f"Cannot check out {path}: {failure}")
    target.store(state_file)


def _move(path: Path, state: State, target: State, state_file: Path) -> None:
    """Move a worktree without changes of the author's to ``target``."""
    replace(target, moving=True, previous=state.head).store(state_file)
    # A base may ignore everything in its .gitignore; that makes no file of the author's expendable.
    result = Git(path).run(
        "checkout", "-q", "--no-overwrite-ignore", "--detach", target.head, check=False
    )
    if result.returncode != 0:
        state.store(state_file)
        raise UsageError(
            f"The tree {path} cannot be moved to the new series: {result.stderr.strip()}",
            hint="Move the files that git names out of the tree, then run again.",
        )
    target.store(state_file)


def _finish_move(path: Path, state: State, state_file: Path) -> State:
    """End a move that was killed. Refuses if more has changed since than the move itself could."""
    git = Git(path)
    lock = Path(git.out("rev-parse", "--path-format=absolute", "--git-path", "index.lock"))
    lock.unlink(missing_ok=True)
    if state.previous:
        differs = set(git.out("diff", "--name-only", state.head).splitlines())
        moved = set(git.out("diff", "--name-only", state.previous, state.head).splitlines())
        if differs - moved:
            raise UsageError(
                f"A move of the tree {path} was interrupted, and {some(sorted(differs - moved))} "
                "changed since.",
                hint=f"Save your change, then `git -C {path} checkout -f {state.head}`.",
            )
    git.run("checkout", "-q", "-f", "--detach", state.head)
    done = replace(state, moving=False, previous="")
    done.store(state_file)
    return done


def _local_changes(path: Path, state: State) -> tuple[str, ...]:
    """What the author changed: tracked files, and commits of his own."""
    git = Git(path)
    status = git.out("status", "--porcelain", "--untracked-files=no", "--no-renames")
    files = [line[3:] for line in status.splitlines()]
    head = git.out("rev-parse", "HEAD")
    if head == state.head:
        return tuple(files)
    own = git.out("log", "--format=commit %h %s", f"{state.head}..{head}", "--max-count=20")
    commits = own.splitlines() or [f"HEAD is at {head[:12]}"]
    return (*commits, *files)


def _keep_local(
    path: Path, state: State, target: State, state_file: Path, local: tuple[str, ...], ui: Ui
) -> tuple[str, ...]:
    """Decide about an author's changes; what is left of them. Overwrites nothing."""
    if state.key == target.key:
        ui.warn(f"tree has local changes: building them: {some(local)}")
        return local
    git = Git(path)
    if git.ok("diff", "--quiet", target.head):
        # The author's change has become a part of patches/: contents agree, only git's own
        # bookkeeping moves. A branch of his stays where it is.
        git.run("checkout", "-q", "--detach")
        git.run("reset", "-q", target.head)
        target.store(state_file)
        ui.say(f"{path}: the local changes are what the series now holds")
        return ()
    raise UsageError(
        f"Both the patches (or the base) and the tree {path} have changed; in the tree: "
        f"{some(local)}. Nothing was overwritten.",
        hint="Keep one of the two: take the change of the patches back and `lab series export` "
        f"yours, or take yours out of the tree (`git -C {path} stash`, or for commits `git -C "
        f"{path} branch mine` and `git -C {path} checkout --detach {state.head[:12]}`).",
    )


def some(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    rest = len(names) - NAMED_FILES
    return ", ".join(names[:NAMED_FILES]) + (f" and {rest} more" if rest > 0 else "")


# --- the commits ----------------------------------------------------------------------------


def series_commit(request: TreeRequest, ui: Ui) -> str:
    """The commit that the series is on its base, made if it is not there. Touches no worktree.

    Raises UsageError if a patch does not apply.
    """
    return _apply(request, Git(request.base.git_dir), _key(request), ui).head


def _apply(request: TreeRequest, repository: Git, key: str, ui: Ui) -> State:
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


# --- ports to other bases -------------------------------------------------------------------

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
    with tempfile.TemporaryDirectory(prefix="seccomp-lab-") as scratch:
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
