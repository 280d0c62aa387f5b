# SPDX-License-Identifier: MIT
"""Where the lab keeps what it fetched and made, and how several runs share it.

Layout below the root: ``downloads/`` (verified archives), ``bases/`` (one git repository per base),
``trees/`` (worktrees that are built), ``builds/`` (kernel build directories), ``tools/`` (private
prefixes), ``runs/`` (run directories), ``locks/``, ``used/`` (when each entry was last used).

Whoever works in an entry holds its lock (:meth:`Cache.lock_entry`) for as long; ``lab prune``
removes only what it can lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lab.errors import UsageError

ENVIRONMENT = "SECCOMP_LAB_CACHE"
APP_NAME = "seccomp-lab"
POLL_SECONDS = 0.2
DOWNLOADS_LOCK = "downloads"
"""Held by whoever fetches into ``downloads/``."""


def atomic_write(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content`` in one step: a reader sees the old or the new, never half."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _stderr(message: str) -> None:
    import sys

    print(message, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Cache:
    """A cache directory. Equal roots are the same cache, also across processes."""

    root: Path

    @classmethod
    def default(cls, override: Path | None = None) -> Cache:
        """The cache to use: option, else ``$SECCOMP_LAB_CACHE``, else the XDG cache directory.

        Raises UsageError if it cannot be created or is no directory.
        """
        chosen = override or (Path(value) if (value := os.environ.get(ENVIRONMENT)) else None)
        if chosen is None:
            import platformdirs

            chosen = Path(platformdirs.user_cache_dir(APP_NAME))
        root = chosen.expanduser().absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The cache directory {root} cannot be used: {error.strerror}.",
                hint=f"Name another one with --cache DIR or ${ENVIRONMENT}.",
            ) from error
        return cls(root)

    @property
    def downloads(self) -> Path:
        """Verified archives and the partial ones that are resumed."""
        return self.root / "downloads"

    @property
    def bases(self) -> Path:
        """One git repository per base."""
        return self.root / "bases"

    @property
    def trees(self) -> Path:
        """Worktrees that kernels are built from."""
        return self.root / "trees"

    @property
    def builds(self) -> Path:
        """Kernel build directories, ``O=``."""
        return self.root / "builds"

    @property
    def tools(self) -> Path:
        """Private prefixes of tools that the host lacks."""
        return self.root / "tools"

    @property
    def runs(self) -> Path:
        """Run directories."""
        return self.root / "runs"

    @property
    def locks(self) -> Path:
        """Lock files. They are never removed: a removed lock file is two locks."""
        return self.root / "locks"

    @contextmanager
    def lock(
        self, name: str, why: str = "", say: Callable[[str], None] = _stderr
    ) -> Iterator[None]:
        """Hold lock ``name``; wait for it, saying for what, if another process has it.

        ``why`` is what the holder tells those who wait. Taking a lock that this process already
        holds succeeds at once. The kernel drops the lock when its holder dies, however it dies.
        """
        lock = self._file_lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting for lock {name}{self._holder(name)}")
            lock.acquire(poll_interval=POLL_SECONDS)
        try:
            note = self._note(name)
            with suppress(OSError):
                note.write_text(json.dumps({"pid": os.getpid(), "why": why}))
            yield
        finally:
            lock.release()

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold lock ``name`` if it is free. The value says whether it was."""
        lock = self._file_lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def entry_name(self, path: Path) -> str:
        """The lock name of an entry such as ``trees/linux-7.3-series`` (two levels below root)."""
        return "/".join(path.relative_to(self.root).parts[:2])

    @contextmanager
    def lock_entry(
        self, path: Path, why: str = "", say: Callable[[str], None] = _stderr
    ) -> Iterator[None]:
        """Work in the entry that ``path`` lies in: hold its lock and record the use."""
        with self.lock(self.entry_name(path), why, say):
            self.mark_used(path)
            yield

    @contextmanager
    def share_entry(
        self, path: Path, why: str = "", say: Callable[[str], None] = _stderr
    ) -> Iterator[None]:
        """Read the entry that ``path`` lies in, beside others who read it: nobody has its lock
        meanwhile. Must not be called by who holds that lock, nor the reverse.
        """
        name = self.entry_name(path)
        self.locks.mkdir(parents=True, exist_ok=True)
        # filelock takes flock(2) on the same file, which is what keeps the two apart. POSIX locks,
        # fcntl(2), as fasteners takes them, would not do: a process does not exclude itself, and
        # drops its lock when it closes any descriptor of the file.
        descriptor = os.open(self._lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for lock {name}{self._holder(name)}")
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            with suppress(OSError):
                self._note(name).write_text(json.dumps({"pid": os.getpid(), "why": why}))
            self.mark_used(path)
            yield
        finally:
            os.close(descriptor)

    def mark_used(self, path: Path) -> None:
        """Record that the entry was used now, for ``lab prune``."""
        stamp = self._used(path)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()

    def last_used(self, path: Path) -> float:
        """When the entry was last used, in seconds since the epoch (its mtime if unrecorded)."""
        for candidate in (self._used(path), path):
            with suppress(FileNotFoundError):
                return candidate.stat().st_mtime
        return 0.0

    def forget(self, path: Path) -> None:
        """Drop the record of use of an entry that is gone."""
        self._used(path).unlink(missing_ok=True)

    def _used(self, path: Path) -> Path:
        return self.root / "used" / self.entry_name(path).replace("/", "--")

    def _file_lock(self, name: str) -> FileLock:
        self.locks.mkdir(parents=True, exist_ok=True)
        path = self._lock_path(name)
        # One object per path and process: taking a lock twice in one process must not hang.
        return FileLock(path, is_singleton=True)

    def _lock_path(self, name: str) -> Path:
        return self.locks / f"{name.replace('/', '--')}.lock"

    def _note(self, name: str) -> Path:
        return self.locks / f"{name.replace('/', '--')}.holder"

    def _holder(self, name: str) -> str:
        try:
            note = json.loads(self._note(name).read_text())
            return f", held by process {note['pid']}" + (f" ({note['why']})" if note["why"] else "")
        except (OSError, ValueError, KeyError, TypeError):
            return ""
