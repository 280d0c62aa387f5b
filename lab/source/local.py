# SPDX-License-Identifier: MIT
"""Bases that are directories of the caller's: a git tree as it is committed, or plain files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.core.cache import atomic_write
from lab.core.ui import Ui
from lab.errors import UsageError
from lab.source.git import Git, init_bare
from lab.source.importer import import_directory
from lab.source.room import (
    BaseRequest,
    BaseResult,
    Room,
    import_commit,
    makefile_version,
    source_version,
)

TREE_FILES = ("Makefile", "Kconfig", "MAINTAINERS")
"""What makes a directory a kernel tree (scripts/checkpatch.pl, top_of_kernel_tree, looks for more;
these are enough to tell a mistyped path)."""


@dataclass(frozen=True)
class PathBase:
    """The caller's own tree. Nothing is written into it."""

    directory: Path

    def ensure(self, name: str, request: BaseRequest, ui: Ui) -> BaseResult:
        """See :func:`ensure_base`. A git tree gives its HEAD, another its files as they are."""
        missing = [file for file in TREE_FILES if not (self.directory / file).is_file()]
        if missing:
            raise UsageError(
                f"{self.directory} is no kernel source tree: there is no {', '.join(missing)}.",
                hint="Name the top directory of a Linux tree: --base path:DIR.",
            )
        room = Room.of(request.cache, name)
        common = self._git_common_dir()
        if common is None:
            return self._import(room, ui)
        return self._borrow(room, common)

    def _git_common_dir(self) -> Path | None:
        """The tree's git directory; None if it is no git tree (or a part of somebody else's)."""
        git = Git(self.directory)
        top = git.run("rev-parse", "--show-toplevel", check=False)
        if top.returncode != 0 or Path(top.stdout.strip()).resolve() != self.directory.resolve():
            return None
        if git.resolve("HEAD") is None:
            return None
        return Path(git.out("rev-parse", "--path-format=absolute", "--git-common-dir"))

    def _borrow(self, room: Room, common: Path) -> BaseResult:
        """Use the objects where they are, through git's alternates (gitrepository-layout(5))."""
        git = init_bare(room.git_dir)
        info = room.git_dir / "objects" / "info"
        atomic_write(info / "alternates", f"{common / 'objects'}\n")
        if (common / "shallow").is_file():
            shutil.copyfile(common / "shallow", room.git_dir / "shallow")
        theirs = Git(self.directory)
        commit = theirs.out("rev-parse", "HEAD")
        changed = theirs.out(
            "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"
        ).splitlines()
        notes: tuple[str, ...] = ()
        if changed:
            names = ", ".join(line[3:] for line in changed[:3]) + (", ..." if changed[3:] else "")
            notes = (
                f"{self.directory} has uncommitted changes ({names}): its last commit is used "
                "without them",
            )
        git.run("update-ref", f"refs/lab/base/{commit}", commit)
        return BaseResult(
            name=room.name,
            version=source_version(git, commit),
            git_dir=room.git_dir,
            commit=commit,
            digest=f"git:{commit}",
            origin=f"path {self.directory}",
            notes=notes,
        )

    def _import(self, room: Room, ui: Ui) -> BaseResult:
        if (self.directory / ".config").exists() or (self.directory / "include/generated").exists():
            raise UsageError(
                f"{self.directory} has been built in: its build products would become source.",
                hint="`make mrproper` there, or name a clean copy.",
            )
        git = init_bare(room.git_dir)
        index = room.directory / "index"
        if index.exists():
            git = Git(room.git_dir, index=index, work_tree=self.directory)
            git.run("-c", "core.looseCompression=0", "add", "--force", "--all")
            tree = git.out("write-tree")
        else:
            tree = import_directory(room.git_dir, self.directory, index, ui)
        version = makefile_version((self.directory / "Makefile").read_text(errors="replace"))
        commit = import_commit(Git(room.git_dir), tree, version, f"tree:{tree}")
        return BaseResult(
            name=room.name,
            version=version,
            git_dir=room.git_dir,
            commit=commit,
            digest=f"tree:{tree}",
            origin=f"path {self.directory}",
        )
