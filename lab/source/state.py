# SPDX-License-Identifier: MIT
"""Names the state of a source tree, or of parts of it, so that a stage can tell whether to run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lab.source.git import Git
from lab.source.worktree import TreeResult


def source_digest(tree: TreeResult, paths: Sequence[str] = ()) -> str:
    """A digest of the tree, or of what ``paths`` (git pathspecs) match in it.

    Without local changes it comes from git's object ids and reads no file of the tree.
    Raises LabError if git fails.
    """
    git = Git(tree.path)
    names = git.out(*(("ls-files", "-s", "--", *paths) if paths else ("rev-parse", "HEAD^{tree}")))
    digest = hashlib.sha256(names.encode())
    if tree.local:
        digest.update(git.out("diff", "--binary", "HEAD", "--", *(paths or (".",))).encode())
    return digest.hexdigest()


def files_digest(files: Sequence[Path]) -> str:
    """A digest of the names and contents of files. Raises OSError."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
