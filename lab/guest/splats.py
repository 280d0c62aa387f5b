# SPDX-License-Identifier: MIT
"""Finds what the kernel complained about on its console.

A pure parser over the raw console text, and an allowlist (``allowlist.toml``) whose entries carry
a reason and a day on which they expire. A scan that cannot run is an error, never a clean bill.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

ALLOWLIST = Path(__file__).with_name("allowlist.toml")

START_MARKER = "seccomp-lab: start "
"""What selftests/conftest.py writes to /dev/kmsg when a test begins, before the test's id."""

LAB_PREFIX = "seccomp-lab: "

BANNER = "Linux version "
"""The kernel's first line; a console without it was not recorded from the start."""

EXCERPT_LINES = 40
"""Console lines that are kept of one splat."""

PREFIX = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")
"""Time stamp (CONFIG_PRINTK_TIME) and caller (CONFIG_PRINTK_CALLER)."""


@dataclass(frozen=True)
class Pattern:
    """A kind of splat and how its line begins (after the time stamp)."""

    kind: str
    regex: re.Pattern[str]


def _pattern(kind: str, regex: str) -> Pattern:
    return Pattern(kind, re.compile(regex))


PATTERNS: tuple[Pattern, ...] = (
    # kernel/panic.c
    _pattern("panic", r"Kernel panic - not syncing"),
    # The tools of lib/ and mm/: before the general BUG: and WARNING: they come with.
    _pattern("kasan", r"BUG: KASAN:"),
    _pattern("kmsan", r"BUG: KMSAN:"),
    _pattern("kcsan", r"BUG: KCSAN:"),
    _pattern("kfence", r"BUG: KFENCE:"),
    _pattern("ubsan", r"UBSAN:"),
    _pattern("kmemleak", r"kmemleak: \d+ new suspected memory leaks"),
    # kernel/locking/lockdep.c
    _pattern("lockdep", r"WARNING: possible (?:circular locking|recursive locking|irq lock)"),
    _pattern("lockdep", r"WARNING: (?:inconsistent lock state|bad unlock balance|held lock freed)"),
    _pattern("lockdep", r"WARNING: (?:lock held when returning|.*lock inversion)"),
    _pattern(
        "lockdep", r"DEBUG_LOCKS_WARN_ON|INFO: (?:possible .*locking|trying to register non-)"
    ),
    # kernel/rcu/tree_stall.h, kernel/rcu/update.c
    _pattern("rcu stall", r"(?:rcu: )?INFO: rcu\S* (?:self-)?detected (?:expedited )?stall"),
    _pattern("rcu", r"WARNING: suspicious RCU usage|INFO: suspicious RCU usage"),
    # kernel/hung_task.c, kernel/watchdog.c
    _pattern("hung task", r"INFO: task .* blocked.* for more than"),
    _pattern(
        "lockup",
        r"(?:watchdog: )?BUG: (?:soft|hard) lockup|(?:watchdog: .*|NMI watchdog: .*)LOCKUP",
    ),
    # arch/*/kernel/dumpstack.c, arch/*/mm/fault.c, lib/bug.c
    _pattern("oops", r"Oops(?:\b|: )|Internal error: |Unable to handle kernel "),
    _pattern("oops", r"BUG: (?:kernel NULL|unable to handle|stack guard page)"),
    _pattern(
        "oops", r"general protection fault[:,]|double fault: |divide error: |invalid opcode: "
    ),
    _pattern("oops", r"kernel tried to execute NX-protected page"),
    _pattern("BUG", r"kernel BUG at |BUG: |------------\[ cut here \].*BUG"),
    _pattern("WARNING", r"WARNING: "),
    _pattern(
        "corruption", r"(?:list_add|list_del) corruption|refcount_t: |usercopy: Kernel memory"
    ),
    # mm/page_alloc.c, warn_alloc(): with a trace, but neither BUG nor WARNING before it
    _pattern("allocation", r"\S+: (?:page allocation failure|vmalloc error)"),
    _pattern("NMI", r"Uhhuh\. NMI received"),
)
"""Tried in this order; the first that matches names the kind."""

FOLLOWERS = re.compile(r" *(?:Call [Tt]race:|---\[ end trace|------------\[ cut here|RIP: 0010:)")
"""Lines that come with a splat. On their own they are one too (kind "trace")."""

FOLLOW_DISTANCE = 60
"""Lines after a splat's first one within which a follower belongs to it."""


@dataclass(frozen=True)
class Splat:
    """One complaint: where on the console, during or after which test, and why if allowed.
    ``console`` is the file, from the run directory.
    """

    kind: str
    headline: str
    line: int
    test: str | None
    excerpt: tuple[str, ...]
    allowed: str | None = None
    console: str = "console.log"


@dataclass(frozen=True)
class Allowed:
    """An entry of the allowlist. ``pattern`` is searched for in a splat's headline."""

    pattern: re.Pattern[str]
    reason: str
    expires: datetime.date


def load_allowlist(path: Path = ALLOWLIST, today: datetime.date | None = None) -> list[Allowed]:
    """The allowlist. Raises LabError naming the entry if it lacks a field or has expired."""
    today = today or datetime.datetime.now(datetime.UTC).date()
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("allow", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"The allowlist {path} cannot be read: {error}.") from error
    return [_entry(path, number, row, today) for number, row in enumerate(rows, 1)]


def _entry(path: Path, number: int, row: dict[str, object], today: datetime.date) -> Allowed:
    where = f"Entry {number} of the allowlist {path.name}"
    pattern, reason, expires = (row.get(name) for name in ("pattern", "reason", "expires"))
    if not isinstance(pattern, str) or not isinstance(reason, str) or not reason.strip():
        raise LabError(f"{where} needs a `pattern` and a `reason`, both texts.")
    # datetime is a date too: a time of day here is a mistake.
    if not isinstance(expires, datetime.date) or isinstance(expires, datetime.datetime):
        raise LabError(f"{where} ({pattern!r}) needs a day `expires`, such as 2027-01-31.")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise LabError(f"{where}: {pattern!r} is no regular expression: {error}.") from error
    if expires < today:
        raise LabError(
            f"{where} ({pattern!r}: {reason}) expired on {expires}.",
            hint="See whether the kernel still says it; remove the entry or give it a new day.",
        )
    return Allowed(compiled, reason, expires)


def scan(console: str, allowlist: Sequence[Allowed] = ()) -> list[Splat]:
    """All splats of a console, allowed ones marked.

    Raises LabError if the console is not one that was recorded from the kernel's first line.
    """
    if not console.strip():
        raise LabError("The console is empty: there is nothing to scan for splats.")
    if BANNER not in console:
        raise LabError(
            f"The console lacks the kernel's first line ({BANNER.strip()!r}): not scanned."
        )
    lines = [PREFIX.sub("", line.rstrip("\r")) for line in console.split("\n")]
    return [_allow(splat, allowlist) for splat in _find(lines)]


def scan_file(path: Path, allowlist: Sequence[Allowed] = ()) -> list[Splat]:
    """:func:`scan` of a file. Raises LabError if it cannot be read, too."""
    try:
        text = path.read_bytes().decode("utf-8", "backslashreplace")
    except OSError as error:
        raise LabError(f"The console {path} cannot be read: {error.strerror}.") from error
    return scan(text, allowlist)


def _find(lines: Sequence[str]) -> Iterator[Splat]:
    test: str | None = None
    owner = -FOLLOW_DISTANCE - 1
    for index, line in enumerate(lines):
        if line.startswith(LAB_PREFIX):
            if line.startswith(START_MARKER):
                test = line.removeprefix(START_MARKER).strip()
            continue
        kind = classify(line)
        if kind is None and FOLLOWERS.match(line):
            # "cut here" announces a splat; whatever is announced is classified by itself.
            announced = "cut here" in line and _classified(lines[index + 1 : index + 4])
            if index - owner > FOLLOW_DISTANCE and not announced:
                kind = "trace"
        if kind is not None:
            owner = index
            yield Splat(kind, line.strip(), index + 1, test, _excerpt(lines, index))


def classify(line: str) -> str | None:
    """The kind of splat that a console line without its time stamp begins, if it begins one."""
    for pattern in PATTERNS:
        if pattern.regex.match(line):
            return pattern.kind
    return None


def _classified(lines: Iterable[str]) -> bool:
    return any(classify(line) for line in lines)


def _excerpt(lines: Sequence[str], index: int) -> tuple[str, ...]:
    kept = []
    for line in lines[index : index + EXCERPT_LINES]:
        if line.startswith(START_MARKER):
            break
        kept.append(line)
        if line.startswith("---[ end"):
            break
    return tuple(kept)


def _allow(splat: Splat, allowlist: Sequence[Allowed]) -> Splat:
    for entry in allowlist:
        if entry.pattern.search(splat.headline):
            return Splat(**{**vars(splat), "allowed": f"{entry.reason} (until {entry.expires})"})
    return splat
