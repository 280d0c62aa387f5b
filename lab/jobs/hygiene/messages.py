# SPDX-License-Identifier: MIT
"""Warnings of compiler, sparse and kernel-doc, and which of them are new.

Two versions of a file have the same warning at different lines, so that lines do not count. How
often a file has it does: one more of a kind is new.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.jobs.hygiene.result import Finding

MESSAGE = re.compile(
    r"(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?P<text>(?:warning|error|fatal error): .*)"
)
"""gcc and sparse: ``kernel/seccomp.c:7:1: warning: unused variable 'x' [-Wunused-variable]``."""

MORE = re.compile(r"[^\s:]+:\d+:\d+: {2,}(?P<text>\S.*)")
"""How sparse goes on: ``kernel/seccomp.c:7:1:    expected struct spinlock *lock``."""

KERNEL_DOC = re.compile(r"(?:Warning|Error): (?P<file>[^\s:]+):(?P<line>\d+) (?P<text>.*)")
"""tools/docs/kernel-doc: ``Warning: kernel/ptrace.c:7 function parameter 'x' not described``."""


@dataclass(frozen=True)
class Message:
    """A warning or an error. ``file`` is relative to the tree."""

    file: str
    line: int
    text: str

    @property
    def kind(self) -> tuple[str, str]:
        """The same for the same warning at another line."""
        return self.file, re.sub(r":\d+\b", "", self.text)

    def finding(self) -> Finding:
        """As something to mend."""
        return Finding(self.file, self.line, self.text)


def compiler_messages(output: str, tree: str) -> tuple[Message, ...]:
    """What gcc or sparse said, each message once: sparse repeats those of an inline function where
    it is called.
    """
    found: list[Message] = []
    for line in output.replace(f"{tree}/", "").splitlines():
        if match := MESSAGE.match(line):
            found.append(_message(match))
        elif found and (match := MORE.match(line)):
            found[-1] = replace(found[-1], text=f"{found[-1].text}; {match['text']}")
    return tuple(dict.fromkeys(found))


def document_messages(output: str) -> tuple[Message, ...]:
    """What kernel-doc said."""
    matches = (KERNEL_DOC.match(line) for line in output.splitlines())
    return tuple(dict.fromkeys(_message(match) for match in matches if match))


def _message(match: re.Match[str]) -> Message:
    return Message(match["file"], int(match["line"]), match["text"].strip())


def new_messages(now: Sequence[Message], before: Iterable[Message]) -> tuple[Message, ...]:
    """Those that were not there before. Of several of one kind the last ones are called new."""
    known = Counter(message.kind for message in before)
    new = []
    for message in now:
        if known[message.kind]:
            known[message.kind] -= 1
        else:
            new.append(message)
    return tuple(new)
