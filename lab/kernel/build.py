# SPDX-License-Identifier: MIT
"""Stage 4, build: out of tree, stamped, with a count of objects, and warnings collected.

A stamp says what the image was built from. It is taken away before make starts and put back when
make has succeeded, so an interrupted build leaves none.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab.core import proc
from lab.core import records as record
from lab.core.cache import atomic_write
from lab.core.stamp import Stamp, digest_of
from lab.core.ui import Ui
from lab.errors import LabError
from lab.kernel.arches import Arch
from lab.kernel.config import RECORDS, ConfigResult
from lab.kernel.toolchain import Toolchain
from lab.source.state import source_digest
from lab.source.worktree import TreeResult

STAMP = "build.json"
COUNTS = "objects.json"
LOG = "build.log"

STEP = re.compile(r"  (?:[A-Z][A-Z0-9_]*)(?: \[M\])? +\S")
"""A line of kbuild's short output: ``  CC      kernel/seccomp.o``."""

WARNING = re.compile(r"(?:\S+:\d+:(?:\d+:)? warning: |\S*[Ww]arning: |WARNING: |\S+: warning: )")
ERROR = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: ")
LINK_ERROR = re.compile(r"(?:\S*ld\S*: |.*undefined reference to|BTF: |FAILED: |make.*\*\*\* )")
EXCERPT_LINES = 6
SHOWN_ERRORS = 3


@dataclass(frozen=True)
class BuildRequest:
    """Build the image of ``arch`` from ``tree`` in ``build_dir``, which holds ``config``."""

    tree: TreeResult
    arch: Arch
    config: ConfigResult
    build_dir: Path
    toolchain: Toolchain
    jobs: int = os.cpu_count() or 1


@dataclass(frozen=True)
class BuildResult:
    """A built kernel. ``image`` is the file to boot. ``objects`` and ``seconds`` are those of the
    build that made it, ``fresh`` says whether that was this call. ``release`` is ``uname -r``.
    """

    image: Path
    build_dir: Path
    warnings: tuple[str, ...]
    objects: int
    seconds: float
    release: str
    fresh: bool
    log: Path


def ensure_build(request: BuildRequest, ui: Ui) -> BuildResult:
    """Have the image built from exactly this tree, configuration and toolchain.

    Nothing changed: make is not run. Raises LabError with an excerpt if it does not compile.
    """
    records = request.build_dir / RECORDS
    stamp = Stamp(records / STAMP)
    key = _key(request)
    kept = stamp.read(key)
    if kept is not None:
        result = record.read(
            BuildResult, {**kept, "build_dir": request.build_dir, "log": records / LOG}
        )
        result = replace(result, fresh=False)
        if _identity(result.image) == kept["identity"]:
            return result
    stamp.remove()
    result = _build(request, ui)
    stamp.write(
        key,
        **asdict(result),
        identity=_identity(result.image),
        commit="" if request.tree.local else request.tree.head,
    )
    return result


def built_commit(build_dir: Path) -> str:
    """The commit that a finished build was made from; "" if there is none, or if an author's
    changes were built.
    """
    return str(Stamp(build_dir / RECORDS / STAMP).fields().get("commit", ""))


def _key(request: BuildRequest) -> str:
    parts = (
        source_digest(request.tree),
        request.config.digest,
        request.toolchain.key,
        request.arch.target,
    )
    return digest_of(*parts)


def _identity(image: Path) -> list[int]:
    """Changes when somebody else writes the image."""
    try:
        status = image.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


class _Watch:
    """Reads make's output as it comes: counts steps, keeps warnings."""

    def __init__(self) -> None:
        self.steps = 0
        self.warnings: list[str] = []

    def line(self, text: str) -> bool:
        """Take in a line; whether it was a step."""
        if STEP.match(text):
            self.steps += 1
            return True
        if WARNING.match(text):
            self.warnings.append(text.strip())
        return False


def _build(request: BuildRequest, ui: Ui) -> BuildResult:
    records = request.build_dir / RECORDS
    log = records / LOG
    log.unlink(missing_ok=True)
    fresh = not (request.build_dir / "vmlinux.o").exists()
    counts = Stamp(records / COUNTS).fields()
    expected = counts.get("cold" if fresh else "last") or _others(request.build_dir, fresh)
    watch = _Watch()
    started = time.monotonic()
    command = make_command(request)
    label = f"build {request.build_dir.name}"
    with ui.progress(label, expected if isinstance(expected, int) else None, "steps") as progress:

        def on_line(text: str) -> None:
            if watch.line(text):
                progress.advance()

        done = proc.run(
            command, env=request.toolchain.environment, log=log, check=False, on_line=on_line
        )
    if done.returncode != 0:
        raise _failed(log, command)
    seconds = time.monotonic() - started
    counts.update({"last": watch.steps, **({"cold": watch.steps} if fresh else {})})
    atomic_write(records / COUNTS, json.dumps(counts))
    for warning in watch.warnings:
        ui.warn(warning)
    release = request.build_dir / "include/config/kernel.release"
    return BuildResult(
        image=_boot_image(request),
        build_dir=request.build_dir,
        warnings=tuple(watch.warnings),
        objects=watch.steps,
        seconds=round(seconds, 1),
        release=release.read_text().strip(),
        fresh=True,
        log=log,
    )


def make_command(request: BuildRequest) -> list[str]:
    """The make that builds the image."""
    return [
        "make",
        "-C",
        str(request.tree.path),
        f"O={request.build_dir}",
        *request.toolchain.make_args,
        f"-j{request.jobs}",
        request.arch.target,
    ]


def _others(build_dir: Path, fresh: bool) -> int | None:
    """Steps of a full build in a neighbouring build directory, where this one has no past."""
    if not fresh:
        return None
    found = [
        count
        for file in build_dir.parent.glob(f"*/{RECORDS}/{COUNTS}")
        if isinstance(count := Stamp(file).fields().get("cold"), int)
    ]
    return max(found, default=None)


def _boot_image(request: BuildRequest) -> Path:
    """The image to boot: a copy without debug information, which QEMU would read for nothing.

    A file of its own that is replaced by renaming: a guest that is just starting keeps the image it
    opened while the next build writes a new one.
    """
    built = request.build_dir / request.arch.image
    if not request.arch.debug_info:
        return built
    image = request.build_dir / RECORDS / f"boot-{Path(request.arch.image).name}"
    temporary = image.with_suffix(".new")
    strip = f"{request.arch.toolchain_prefix}strip"
    proc.run([strip, "--strip-debug", "-o", temporary, built])
    temporary.replace(image)
    return image


def _failed(log: Path, command: Sequence[str]) -> LabError:
    lines = log.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    excerpts = list(_errors(lines))[:SHOWN_ERRORS]
    if not excerpts:
        interesting = [line for line in lines if LINK_ERROR.match(line)]
        excerpts = [interesting[:EXCERPT_LINES] or lines[-EXCERPT_LINES:]]
    text = "".join(f"\n  {line}" for excerpt in excerpts for line in excerpt)
    return LabError(
        f"The kernel does not build:{text}",
        hint=f"The whole log is {log}. By hand: {shlex.join(command)}",
    )


def _errors(lines: Sequence[str]) -> list[list[str]]:
    """Compiler errors with the source lines that the compiler quotes after them."""
    found = []
    for index, line in enumerate(lines):
        if not ERROR.match(line):
            continue
        excerpt = [line]
        for following in lines[index + 1 : index + EXCERPT_LINES]:
            if not re.match(r" +\d* *\|", following):
                break
            excerpt.append(following)
        found.append(excerpt)
    return found
