# SPDX-License-Identifier: MIT
"""git, as the lab calls it: without the caller's configuration, identity or environment.

A signing key, a hook path or ``core.autocrlf`` of the caller must not change what a base or a
series commit looks like: the same input gives the same commit id on every machine.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.core import proc
from lab.core.ui import Ui
from lab.errors import LabError

IDENTITY_NAME = "seccomp-ebpf lab"
IDENTITY_EMAIL = "lab@seccomp-ebpf.invalid"

ISOLATION: dict[str, str | None] = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
    # Set when the lab is called from a git hook or alias.
    "GIT_DIR": None,
    "GIT_WORK_TREE": None,
    "GIT_INDEX_FILE": None,
    "GIT_OBJECT_DIRECTORY": None,
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": None,
    "GIT_NAMESPACE": None,
    "GIT_PREFIX": None,
}

REPOSITORY_CONFIG = {
    # The objects of a base lie in few large packs already; repacking them would take minutes.
    "gc.auto": "0",
    "maintenance.auto": "false",
    # `git status` over 90 000 files: do not list what is not tracked, look at files in parallel.
    "core.untrackedCache": "false",
    "core.preloadIndex": "true",
    "index.threads": "true",
    "advice.detachedHead": "false",
}


@dataclass(frozen=True)
class Git:
    """A repository: ``directory`` is a worktree or a bare repository."""

    directory: Path
    index: Path | None = None
    work_tree: Path | None = None

    def run(
        self,
        *args: str | os.PathLike[str],
        check: bool = True,
        input: bytes | str | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> proc.Completed:
        """Run one git command. Raises LabError if it fails and ``check``."""
        environment: dict[str, str | None] = {**ISOLATION, **(env or {})}
        if self.index is not None:
            environment["GIT_INDEX_FILE"] = str(self.index)
        where: list[str | os.PathLike[str]] = ["-C", self.directory]
        if self.work_tree is not None:
            where = [f"--git-dir={self.directory}", f"--work-tree={self.work_tree}"]
        # The tree may belong to somebody else than root, who runs the lab in a container.
        command = ["git", "-c", "safe.directory=*", *where, *args]
        return proc.run(command, check=check, input=input, env=environment)

    def out(self, *args: str | os.PathLike[str]) -> str:
        """Output of a git command, without the last newline."""
        return self.run(*args).stdout.rstrip("\n")

    def ok(self, *args: str | os.PathLike[str]) -> bool:
        """Whether a git command succeeds."""
        return self.run(*args, check=False).returncode == 0

    def has_commit(self, commit: str) -> bool:
        """Whether the commit and its top-level tree are there."""
        return self.ok("cat-file", "-e", f"{commit}^{{tree}}")

    def resolve(self, revision: str) -> str | None:
        """Commit id of a revision; None if there is no such commit."""
        result = self.run("rev-parse", "-q", "--verify", f"{revision}^{{commit}}", check=False)
        return result.stdout.strip() if result.returncode == 0 else None

    def commit_tree(
        self, tree: str, message: str | bytes, *, date: str, parent: str | None = None
    ) -> str:
        """Make a commit of the lab's own identity at ``date``; its id."""
        parents = ("-p", parent) if parent else ()
        env = identity(date)
        args = ("commit-tree", tree, *parents, "-F", "-")
        return self.run(*args, input=message, env=env).stdout.strip()


def identity(
    date: str, author: tuple[str, str] = (IDENTITY_NAME, IDENTITY_EMAIL)
) -> dict[str, str | None]:
    """Environment for a commit by ``author`` (name, address), committed by the lab, both at
    ``date``.
    """
    return {
        "GIT_AUTHOR_NAME": author[0],
        "GIT_AUTHOR_EMAIL": author[1],
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": IDENTITY_NAME,
        "GIT_COMMITTER_EMAIL": IDENTITY_EMAIL,
        "GIT_COMMITTER_DATE": date,
    }


def init_bare(directory: Path) -> Git:
    """A bare repository with the lab's settings; an existing one is kept.

    Raises LabError if git is too old to be kept from reading the caller's configuration.
    """
    git = Git(directory)
    if not (directory / "HEAD").is_file():
        directory.mkdir(parents=True, exist_ok=True)
        git.run("init", "-q", "--bare", "--template=", ".")
        for name, value in REPOSITORY_CONFIG.items():
            git.run("config", name, value)
    if not (directory / "objects").is_dir():
        raise LabError(
            f"{directory} is no git repository.", hint="Remove it; the lab makes it anew."
        )
    return git


@dataclass(frozen=True)
class Counted:
    """Progress that a git command draws: a regular expression with groups done and total."""

    label: str
    pattern: str
    unit: str


def fetch_with_progress(git: Git, url: str, what: str, depth: int | None, ui: Ui) -> str:
    """``git fetch``; the reason if it fails, "" if not."""
    counted = Counted(
        f"git fetch {what[:24]}", r"Receiving objects: +\d+% \((\d+)/(\d+)\)", "objects"
    )
    limit = (f"--depth={depth}",) if depth else ()
    return run_with_progress(
        git, ("fetch", "--no-tags", "--progress", *limit, url, what), counted, ui
    )


def run_with_progress(git: Git, args: tuple[str, ...], counted: Counted, ui: Ui) -> str:
    """Run a git command that draws progress on stderr; the reason if it fails, "" if not.

    git draws with carriage returns: ``Receiving objects:  45% (450/1000), ...``.
    """
    command = ["git", "-c", "safe.directory=*", "-C", str(git.directory), *args]
    last = ""
    with (
        ui.progress(counted.label, None, counted.unit) as progress,
        proc.spawn(command, env=ISOLATION, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr is not None
        buffer = b""
        while chunk := os.read(process.stderr.fileno(), 1 << 12):
            *lines, buffer = re.split(rb"[\r\n]", buffer + chunk)
            for line in lines:
                count = re.match(counted.pattern.encode(), line)
                if count:
                    progress.update(int(count[1]), int(count[2]))
                elif line.strip() and not line.startswith(b"remote:"):
                    last = line.decode("utf-8", "backslashreplace")
    return "" if process.returncode == 0 else last or f"status {process.returncode}"
