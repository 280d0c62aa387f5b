# SPDX-License-Identifier: MIT
"""The objects that a patch touches, compiled one by one in a build directory made for that.

A header has no object of its own: a patch that touches one is checked by the objects of all the
sources that the series touches.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from lab.core import proc
from lab.errors import LabError
from lab.jobs.hygiene.messages import Message, compiler_messages
from lab.kernel.build import EXCERPT_LINES
from lab.kernel.config import RECORDS
from lab.kernel.pipeline import Configured

ELSEWHERE = ("Documentation/", "samples/", "scripts/", "tools/", "usr/")
"""Sources below these are programs of user space or of the build, and no part of a kernel."""

JOBS = os.cpu_count() or 1

PRINT = (
    "lab-objects: ; @echo $(if $(CONFIG_CC_VERSION_TEXT),,$(error there is no configuration))"
    "$(real-obj-y) $(real-obj-m) $(addsuffix /,$(subdir-ym))"
)
"""What kbuild makes of a directory (scripts/Makefile.build): objects, also those that are linked to
others, and directories.
"""

CHECKER_LEFT_OUT = "is not available or not up to date"
"""What the tree's Makefile says when it goes on without sparse."""

TELLING = ("error: ", "***", CHECKER_LEFT_OUT)
"""Words in the lines that say why a make failed."""


@dataclass(frozen=True)
class Touched:
    """``objects`` are to be compiled, ``elsewhere`` are sources that are no part of a kernel."""

    objects: tuple[str, ...]
    elsewhere: tuple[str, ...]


def select(files: Sequence[str], series: Iterable[str]) -> Touched:
    """What to compile for the ``files`` of a patch, ``series`` being those of all patches."""
    sources = [name for name in files if name.endswith((".c", ".h"))]
    elsewhere = tuple(name for name in sources if name.startswith(ELSEWHERE))
    inside = [name for name in sources if name not in elsewhere]
    if any(name.endswith(".h") for name in inside):
        inside += [name for name in series if not name.startswith(ELSEWHERE)]
    objects = {f"{name[:-2]}.o" for name in inside if name.endswith(".c")}
    return Touched(tuple(sorted(objects)), elsewhere)


@dataclass(frozen=True)
class Compiled:
    """What make said while compiling objects. ``left_out`` are those that the configuration does
    not build.
    """

    messages: tuple[Message, ...]
    left_out: tuple[str, ...]


def prepare(configured: Configured, flags: Sequence[str] = ()) -> None:
    """What every object needs: generated headers, objtool. Raises LabError if that fails."""
    _make(configured, [*flags, "prepare"], check=True)


def compile_objects(
    configured: Configured, objects: Sequence[str], flags: Sequence[str] = ()
) -> Compiled:
    """Compile each object anew, also after one that fails. The build directory is prepared.

    Raises LabError if make fails, and not because of an error in a source.
    """
    there = [name for name in objects if _source(configured, name).is_file()]
    # Many objects lie in few directories, and each answer takes a make.
    members = cache(partial(_members, configured))
    built = [name for name in there if _is_built(members, name)]
    for name in built:
        (configured.build_dir / name).unlink(missing_ok=True)
    left_out = tuple(name for name in there if name not in built)
    return Compiled(run_make(configured, built, flags), left_out)


def run_make(
    configured: Configured, objects: Sequence[str], flags: Sequence[str]
) -> tuple[Message, ...]:
    """One make for the objects: those that are up to date are only checked, with ``C=2``.

    Raises what compile_objects raises.
    """
    if not objects:
        return ()
    done = _make(configured, ["-k", *flags, *objects], check=False)
    messages = compiler_messages(done.stdout, str(configured.source.tree.path))
    if all((configured.build_dir / name).is_file() for name in objects):
        explained = done.returncode == 0
    else:
        explained = any("error: " in message.text for message in messages)
    if not explained or CHECKER_LEFT_OUT in done.stdout:
        raise _failure(done)
    return messages


def _source(configured: Configured, name: str) -> Path:
    return configured.source.tree.path / f"{name.removesuffix('.o')}.c"


def _is_built(members: Callable[[str], list[str]], name: str) -> bool:
    """Whether a kernel has an object, by its directories' ``members``. Not every directory is in
    every kernel, but those at the top are.

    Asked beforehand, since make compiles a single object also where it is in no kernel.
    """
    inside = [f"{parent}/" for parent in Path(name).parents if len(parent.parts) > 1]
    return all(place in members(str(Path(place).parent)) for place in (name, *inside))


def _members(configured: Configured, directory: str) -> list[str]:
    """What a directory contributes to a kernel so configured."""
    tree = configured.source.tree.path
    command = ["make", "-s", "--no-print-directory", "-C", str(configured.build_dir)]
    command += ["-f", f"{tree}/scripts/Makefile.build", f"--eval={PRINT}", f"obj={directory}"]
    # What the top Makefile exports.
    command += ["objtree=.", f"srctree={tree}", f"srcroot={tree}"]
    command += [f"SRCARCH={configured.toolchain.arch.srcarch}", "lab-objects"]
    return proc.run(command, env=configured.toolchain.environment).stdout.split()


def _make(configured: Configured, args: Sequence[str], check: bool) -> proc.Completed:
    toolchain = configured.toolchain
    command = ["make", "-C", str(configured.source.tree.path), f"O={configured.build_dir}"]
    command += [*toolchain.make_args, f"-j{JOBS}", *args]
    log = configured.build_dir / RECORDS / "objects.log"
    log.unlink(missing_ok=True)
    done = proc.run(command, env=toolchain.environment, log=log, check=False)
    if check and done.returncode != 0:
        raise _failure(done)
    return done


def _failure(done: proc.Completed) -> LabError:
    lines = done.stdout.strip().splitlines()
    shown = [
        line for line in lines if "error: " in line or "***" in line or CHECKER_LEFT_OUT in line
    ] or lines
    return LabError(
        "make failed:" + "".join(f"\n  {line}" for line in shown[:EXCERPT_LINES]),
        hint=f"By hand: {shlex.join(done.args)}",
    )
