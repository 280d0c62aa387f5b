# SPDX-License-Identifier: MIT
"""Fetch a file: resumable, verified, atomic.

The file grows as ``NAME.part``; a broken link or a killed run is continued from there by a Range
request (RFC 9110, section 14), this module's or apt's. It gets its name only once it is whole and
its SHA-256 is right.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.core.ui import Progress, Ui
from lab.errors import LabError, Unavailable

CHUNK = 1 << 18
TIMEOUT_SECONDS = 60.0
ATTEMPTS = 5
"""Attempts in a row without a new byte before giving up."""

PAUSE_SECONDS = 0.5
"""Before the second attempt; doubles with each further one."""

HINT = "Check the network; what has arrived is kept and continued from."

USER_AGENT = "seccomp-ebpf-lab"


class Mismatch(LabError):
    """A file is not the one that was asked for. ``kept`` is where it was put aside."""

    def __init__(self, name: str, expected: str, found: str, kept: Path) -> None:
        self.kept = kept
        super().__init__(
            f"{name} has the wrong SHA-256: expected {expected}, found {found}. "
            f"The bad file is kept as {kept}.",
            hint="A damaged or replaced download: run the command again to fetch it anew; if the "
            "digest stays the same, somebody changed the file upstream or on the way.",
        )


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str, name: str = "") -> None:
    """Check a file's SHA-256. A file that fails is moved to ``NAME.bad-SHA``: raises Mismatch."""
    found = sha256_of(path)
    if found == expected:
        return
    name = name or path.name
    kept = path.with_name(f"{name}.bad-{found}")
    path.replace(kept)
    raise Mismatch(name, expected, found, kept)


@dataclass(frozen=True)
class Request:
    """What to fetch. ``sha256`` None: somebody else verifies."""

    url: str
    target: Path
    sha256: str | None = None


Bring = Callable[[Request, Path, Progress], None]
"""A way to fetch: has the file grow at a path, and raises what :func:`fetch` does."""


def over_http(request: Request, part: Path, progress: Progress) -> None:
    """Fetch piece after piece until the file is whole."""
    pause, failures = PAUSE_SECONDS, 0
    while True:
        before = _size(part)
        try:
            _fetch_once(request, part, progress)
            return
        except urllib.error.HTTPError as error:
            if error.code in (403, 404, 410):
                raise Unavailable(f"{request.url}: {error.code} {error.reason}.") from error
            problem: Exception = error
        except (OSError, http.client.HTTPException) as error:
            problem = error
        failures = 0 if _size(part) > before else failures + 1
        if failures >= ATTEMPTS:
            reason = getattr(problem, "reason", problem)
            raise LabError(
                f"Cannot fetch {request.url}: {reason} ({ATTEMPTS} attempts without a new byte).",
                hint=HINT,
            ) from problem
        if failures:
            time.sleep(pause)
            pause *= 2


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Broken(OSError):
    """The connection ended before the file did."""


def _fetch_once(request: Request, part: Path, progress: Progress) -> None:
    """One connection. Returns when the file is whole, raises when the link breaks."""
    have = _size(part)
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(request.url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        # 416: nothing after what we have. Either all is here, or the file is another one now.
        if error.code == 416:
            if error.headers.get("Content-Range", "").endswith(f"/{have}"):
                return
            part.unlink()
            raise _Broken("the file on the server changed") from error
        raise
    with response:
        if have and response.status != 206:
            have = 0  # the server does not resume: it sends the file from its start
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        progress.update(have, total)
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.advance(len(chunk))
            done = file.tell()
    if total is not None and done < total:
        raise _Broken(f"connection closed at byte {done} of {total}")


def fetch(request: Request, ui: Ui, bring: Bring = over_http) -> Path:
    """The file, fetched unless it is there already; one that is there is verified again.

    Raises Unavailable if the server says that there is no such file, Mismatch on a wrong digest,
    LabError if the link does not hold. What has arrived stays for the next try.
    """
    target = request.target
    if target.is_file():
        if request.sha256 is not None:
            verify(target, request.sha256)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with ui.progress(f"download {target.name}", None, "bytes") as progress:
        bring(request, part, progress)
    if request.sha256 is not None:
        verify(part, request.sha256, target.name)
    part.replace(target)
    return target
