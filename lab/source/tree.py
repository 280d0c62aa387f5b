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

from dataclasses import replace
from pathlib import Path

from lab.core.ui import Ui
from lab.errors import LabError, UsageError
from lab.source.apply import apply_series
from lab.source.git import Counted, Git, run_with_progress
from lab.source.worktree import State, TreeRequest, TreeResult, made_from, some


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
    return state is not None and state.key == made_from(request)


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
    if state is None or state.moving or state.key != made_from(request):
        return None
    if not Git(request.base.git_dir).has_commit(state.head) or _local_changes(path, state):
        return None
    return TreeResult(path, state.head, request.kind, state.patches)


def _ensure(request: TreeRequest, ui: Ui) -> TreeResult:
    path = request.path
    repository = Git(request.base.git_dir)
    state_file = _state_file(request)
    state = State.load(state_file) if (path / ".git").exists() else None
    key = made_from(request)
    if state is not None and state.moving:
        state = _finish_move(path, state, state_file)
    local = _local_changes(path, state) if state is not None else ()
    if state is not None and state.key == key and repository.has_commit(state.head):
        target = state
    else:
        target = apply_series(request, repository, key, ui)
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
