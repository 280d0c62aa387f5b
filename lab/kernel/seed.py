# SPDX-License-Identifier: MIT
"""A build directory need not start empty: another configuration's objects are mostly the same, and
so are those of another tree.

kbuild knows of each object which options it depends on (scripts/basic/fixdep.c). A copy of a
finished build, given another .config, therefore compiles what the options change and nothing else.
The commands name the tree, and those of tools/ the build directory, and every object depends on
objtool: in a copy both names are replaced.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lab.core import proc
from lab.core.cache import Cache
from lab.core.ui import Ui
from lab.kernel.build import LOG, STAMP, built_commit
from lab.kernel.config import RECORDS
from lab.kernel.userspace import GUEST_FILES
from lab.source.git import Git
from lab.source.worktree import TreeResult

PARTIAL = ".seeding"


def seed(cache: Cache, build_dir: Path, name: str, ui: Ui) -> bool:
    """Put a copy of the build directory ``name``, which is one of the same tree, below the
    configuration in ``build_dir``, if nothing was built in the one yet and the other is whole;
    whether it was done. The caller holds ``build_dir``.

    Raises LabError if the copy fails, for want of space for instance.
    """
    finished = cache.builds / name
    if build_dir == finished or (build_dir / RECORDS / LOG).exists():
        return False
    # Not while somebody builds there.
    with cache.share_entry(finished, f"copied for {build_dir.name}", ui.say):
        if not (finished / RECORDS / STAMP).is_file():
            return False
        ui.say(f"{build_dir.name}: starting from a copy of {name}")
        _copy(finished, build_dir)
    return True


def _copy(finished: Path, build_dir: Path) -> None:
    partial = build_dir.with_name(build_dir.name + PARTIAL)
    proc.run(["rm", "-rf", str(partial)])
    proc.run(["cp", "-a", "--reflink=auto", str(finished), str(partial)])
    # Stamps, log and counts are those of the other build.
    proc.run(["rm", "-rf", str(partial / RECORDS)])
    _rename(partial, finished, build_dir)
    kept = [build_dir / name for name in (RECORDS, ".config", GUEST_FILES)]
    proc.run(["cp", "-a", *(str(path) for path in kept if path.exists()), str(partial)])
    # make compares it with include/config/auto.conf.
    (partial / ".config").touch()
    proc.run(["rm", "-rf", str(build_dir)])
    partial.rename(build_dir)


def _rename(directory: Path, old: Path, new: Path) -> None:
    """Replace a directory's name in the text files of a build directory: kbuild's commands and
    dependencies, Makefiles. Objects keep it, and all files their age.
    """
    name = f"{old}/"
    listed = proc.run(["grep", "-rlIF", "--", name, str(directory)], check=False).stdout
    for file in map(Path, listed.splitlines()):
        times = file.stat()
        file.write_bytes(file.read_bytes().replace(name.encode(), f"{new}/".encode()))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def graft(
    cache: Cache, build_dir: Path, tree: TreeResult, donors: Mapping[str, Path], ui: Ui
) -> bool:
    """Put a copy of a finished build of another tree of the same base below the configuration in
    ``build_dir``, as if it had been built from ``tree``; whether it was done. ``donors``: name of a
    build directory of the same configuration to its tree. Of several it is the one from whose tree
    the fewest files differ, and none if what was built in ``build_dir`` is as near; one in which
    somebody is building is passed over. The caller holds ``build_dir`` and ``tree``.

    Raises LabError if the copy fails.
    """
    own = _differing(build_dir, tree)
    if own is None and (build_dir / RECORDS / LOG).exists():
        return False
    if own is not None and not any(name.endswith(".h") for name in own):
        # A few sources are compiled sooner than a build is copied.
        return False
    candidates = ((name, _differing(cache.builds / name, tree)) for name in donors)
    found = {
        name: files
        for name, files in candidates
        if files is not None and (own is None or len(files) < len(own))
    }
    for name in sorted(found, key=lambda name: len(found[name])):
        finished = cache.builds / name
        # Not while somebody builds there, which is not waited for: he may want a copy of this one.
        with cache.try_lock(cache.entry_name(finished)) as free:
            if not free or _differing(finished, tree) != found[name]:
                continue
            cache.mark_used(finished)
            ui.say(f"{build_dir.name}: starting from a copy of {name}")
            (build_dir / RECORDS / STAMP).unlink(missing_ok=True)
            _copy(finished, build_dir)
        _rename(build_dir, donors[name], tree.path)
        # make compares times, and the sources of the new tree are younger than the objects: all of
        # the copy is made one age, and only what differs in the new tree is younger.
        proc.run(["find", str(build_dir), "-exec", "touch", "-h", "-r", str(build_dir), "{}", "+"])
        for file in map(tree.path.joinpath, found[name]):
            if file.exists():
                file.touch()
        (build_dir / ".config").touch()
        return True
    return False


def _differing(finished: Path, tree: TreeResult) -> list[str] | None:
    """Files of the worktree that are not what the build was made from; None if it is not whole, or
    if what it was made from is not in the repository.
    """
    commit = built_commit(finished)
    if not commit:
        return None
    done = Git(tree.path).run("diff", "--name-only", "--no-renames", commit, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else None
