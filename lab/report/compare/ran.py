# SPDX-License-Identifier: MIT
"""What was run, in both runs: bases, patches, configurations, tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from lab.report.compare.changes import Change, Group, pairs
from lab.report.compare.side import Side
from lab.report.parts import tested
from lab.runs.manifest import Manifest, Patch


def what_was_run(old: Side, new: Side) -> Group:
    before, after = (tested(side.run, side.parts) for side in (old, new))
    changes = [
        Change("differs", name, told(before), told(after))
        for name, told in FACTS.items()
        if told(before) != told(after)
    ]
    for profile, was, now in pairs(old.parts, new.parts):
        if profile and was is not None and now is not None:
            digests = [FACTS["config digest"](part.manifest) for part in (was, now)]
            if digests[0] != digests[1]:
                changes.append(
                    Change("differs", f"config digest of {profile}", digests[0], digests[1])
                )
    changes += _patches(before, after)
    changes += _versions("tools", before.tools, after.tools)
    changes += _versions("toolchain", before.toolchain, after.toolchain)
    rule = "Patches are compared by git-patch-id(1): a new commit or date is no change."
    return Group("What was run", rule, tuple(changes))


def _joined(values: Sequence[str]) -> str:
    return ", ".join(values)


def _number(value: int) -> str:
    return str(value) if value else ""


FACTS: dict[str, Callable[[Manifest], str]] = {
    "kind": lambda run: run.kind,
    "project": lambda run: run.project,
    "base": lambda run: run.base.name,
    "base version": lambda run: run.base.version,
    "base digest": lambda run: run.base.digest,
    "local changes": lambda run: _joined(run.tree.local),
    "profile": lambda run: str(run.profile.get("name", "")),
    "profiles": lambda run: _joined(run.profiles),
    "kernel": lambda run: run.build.release,
    "config digest": lambda run: run.config.digest,
    "fragments": lambda run: _joined(run.config.fragments),
    "accelerator": lambda run: run.accelerator.name,
    "processors": lambda run: _number(run.guest.cpus),
    "memory, MiB": lambda run: _number(run.guest.memory),
    "kernel arguments": lambda run: _joined(run.guest.kernel_args),
    "suite": lambda run: run.guest.command,
}
"""What is compared of two manifests, apart from patches and tools."""


def _patches(before: Manifest, after: Manifest) -> Iterator[Change]:
    old, new = before.applied, after.applied
    old_ids = {patch.patch_id for patch in old}
    new_ids = {patch.patch_id for patch in new}
    left = {patch.title: patch for patch in old if patch.patch_id not in new_ids}
    for patch in new:
        if patch.patch_id in old_ids:
            continue
        other = left.pop(patch.title, None)
        kind = "added" if other is None else "changed"
        yield Change(kind, f"patch {patch.number}: {patch.title}", _id(other), _id(patch))
    for title, patch in left.items():
        yield Change("gone", f"patch {patch.number}: {title}", _id(patch), "")


def _id(patch: Patch | None) -> str:
    return patch.patch_id[:12] if patch else ""


def _versions(key: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for name, was, now in pairs(old, new):
        if was != now:
            yield Change("differs", f"{key}: {name}", str(was or ""), str(now or ""))
