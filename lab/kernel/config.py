# SPDX-License-Identifier: MIT
"""Stage 3, config: fragments to a .config in which every requested line holds.

The kernel's ``conf`` silently drops what it cannot have. Here a dropped line stops the run, and
the message says which line, of which fragment, and what it lacks.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.core import proc
from lab.core.cache import atomic_write
from lab.core.stamp import Stamp, digest_of
from lab.core.ui import Ui
from lab.errors import LabError, UsageError
from lab.kernel.arches import Arch
from lab.kernel.fragments import (
    Requested,
    dropped,
    merged_text,
    read_config,
    read_fragment,
    read_fragments,
)
from lab.kernel.kconfig import Kconfig
from lab.kernel.toolchain import Toolchain
from lab.source.state import files_digest, source_digest
from lab.source.worktree import TreeResult

RECORDS = ".lab"
"""The lab's own files in a build directory."""

STAMP = "config.json"

CONFIG_SOURCES = ("*Kconfig*", "scripts/", "Makefile")
"""What ``conf`` reads of a tree, as git pathspecs: a change elsewhere needs no new .config."""

EXPLAINED = 10
"""Dropped lines that are explained before the message says "and N more"."""


@dataclass(frozen=True)
class ConfigRequest:
    """A configuration for ``tree`` in ``build_dir``.

    ``absent`` is a fragment too: its lines are not asked of this tree, which has no such options.
    """

    tree: TreeResult
    arch: Arch
    fragments: tuple[Path, ...]
    build_dir: Path
    toolchain: Toolchain
    absent: Path | None = None


@dataclass(frozen=True)
class ConfigResult:
    """``digest`` is the SHA-256 of .config; ``changed`` says whether this call wrote it;
    ``requested`` is the number of fragment lines that were checked against it.
    """

    path: Path
    digest: str
    changed: bool
    requested: int


def ensure_config(request: ConfigRequest, ui: Ui) -> ConfigResult:
    """Have the fragments' configuration in the build directory. Nothing changed: nothing run.

    Raises UsageError if fragments are malformed, disagree, or a requested line was dropped (the
    .config stays as it was), or if the tree has an option that is said to be absent; LabError if
    make fails.
    """
    requests = _requests(request)
    path = request.build_dir / ".config"
    stamp = Stamp(request.build_dir / RECORDS / STAMP)
    key = _key(request)
    digest = _digest(path)
    if digest and (stamp.read(key) or {}).get("digest") == digest:
        return ConfigResult(path, digest, False, len(requests))
    ui.say(f"configuring {request.build_dir.name}: {len(requests)} options requested")
    stamp.remove()
    _check_absent(request)
    text = run_conf(request, requests)
    wrong = dropped(requests, read_config(text))
    if wrong:
        raise _dropped(request, wrong, read_config(text))
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    if changed:
        atomic_write(path, text)
    digest = _digest(path)
    stamp.write(key, digest=digest)
    return ConfigResult(path, digest, changed, len(requests))


def _requests(request: ConfigRequest) -> dict[str, Requested]:
    """What is asked of the tree."""
    requests = read_fragments(request.fragments)
    for line in read_fragment(request.absent) if request.absent else ():
        if line.option in requests and requests[line.option].value == line.value:
            del requests[line.option]
    return requests


def _check_absent(request: ConfigRequest) -> None:
    """What is said to be absent must be."""
    if request.absent is None:
        return
    kconfig = Kconfig(request.tree.path, request.arch.srcarch)
    for line in read_fragment(request.absent):
        if kconfig.knows(line.option):
            raise UsageError(
                f"{request.absent}, line {line.line}, says that there is no CONFIG_{line.option}; "
                f"the tree {request.tree.path} has it.",
                hint="Take the line out, so that the option is asked for.",
            )


def _key(request: ConfigRequest) -> str:
    """Names everything that the outcome depends on: fragments, tree, tools."""
    parts = (
        files_digest(request.fragments + ((request.absent,) if request.absent else ())),
        source_digest(request.tree, (*CONFIG_SOURCES, f"arch/{request.arch.srcarch}/Makefile")),
        request.arch.name,
        request.toolchain.key,
    )
    return digest_of(*parts)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def run_conf(request: ConfigRequest, requests: Mapping[str, Requested]) -> str:
    """Run ``conf`` on merged fragments; the configuration it comes to, whatever it has dropped.

    ``allnoconfig`` turns off what nobody asked for; it writes to a file of its own, so that a
    refused configuration never reaches the build. Raises LabError if make fails.
    """
    records = request.build_dir / RECORDS
    merged, outcome = records / "merged.config", records / "outcome.config"
    atomic_write(merged, merged_text(requests))
    outcome.unlink(missing_ok=True)
    command = ["make", "-C", str(request.tree.path), f"O={request.build_dir}"]
    command += [*request.toolchain.make_args, f"KCONFIG_ALLCONFIG={merged}", "allnoconfig"]
    environment = {**request.toolchain.environment, "KCONFIG_CONFIG": str(outcome)}
    done = proc.run(command, env=environment, check=False)
    if done.returncode != 0:
        said = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise LabError(
            f"The kernel's configuration step failed in {request.tree.path}:\n  {said}",
            hint=f"By hand: {shlex.join(command)}",
        )
    return outcome.read_text(encoding="utf-8")


def _dropped(
    request: ConfigRequest, wrong: Sequence[Requested], config: Mapping[str, str]
) -> UsageError:
    kconfig = Kconfig(request.tree.path, request.arch.srcarch)
    named = [f"\n  {explain(line, kconfig, config)}" for line in wrong[:EXPLAINED]]
    if len(wrong) > EXPLAINED:
        named.append(f"\n  and {len(wrong) - EXPLAINED} more.")
    return UsageError(
        f"The kernel's configuration drops {len(wrong)} requested "
        f"{'line' if len(wrong) == 1 else 'lines'}:" + "".join(named),
        hint="Ask for what is missing in a fragment too, or take the line out.",
    )


def explain(line: Requested, kconfig: Kconfig, config: Mapping[str, str]) -> str:
    """Why a requested line did not come out: option, fragment, reason."""
    where = f"CONFIG_{line.option}={line.value} ({line.fragment.name}, line {line.line})"
    if not kconfig.knows(line.option):
        return f"{where}: this tree has no such option."
    got = config.get(line.option, "n")
    if line.value == "n":
        selectors = kconfig.active_selectors(line.option, config)
        by = f", selected by {', '.join(selectors)}" if selectors else ""
        return f"{where}: it is {got}{by}."
    unmet = kconfig.unmet(line.option, config)
    if unmet:
        reasons = "; ".join(
            f"{part.expression}"
            + (f" ({', '.join(f'{name}={value}' for name, value in part.values)})")
            * bool(part.values)
            + f", {part.where}"
            for part in unmet
        )
        return f"{where}: it is {got}; unmet dependency: {reasons}."
    if not kconfig.settable(line.option):
        return f"{where}: it is {got}; it has no prompt, other options select it."
    if kconfig.in_choice(line.option):
        return f"{where}: it is {got}; another member of its choice was taken."
    return (
        f"{where}: it is {got}; its own dependencies are met, see {kconfig_place(line, kconfig)}."
    )


def kconfig_place(line: Requested, kconfig: Kconfig) -> str:
    """Where the option is defined."""
    definition = kconfig.definitions[line.option][0]
    return f"{definition.file}:{definition.line}"
