# SPDX-License-Identifier: MIT
"""A profile as a filter in C: a switch over the calls of each architecture, no state."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping

from selftests.gallery.container_profile_json import Condition, Container, Profile, Rule
from selftests.gallery.container_profile_rules import X32, Table, tables

HEAD = """\
// SPDX-License-Identifier: GPL-2.0-only
/* Made by container_profile.py for {container}. */
#include <linux/audit.h>
#include "gallery.h"

/* x32 has x86-64's number, and this bit in those of its calls. */
#define X32_BIT 0x40000000
"""

TAIL = """\

char _license[] SEC("license") = "GPL";
"""

BAD_ARCH = "SECCOMP_RET_KILL_THREAD"
"""libseccomp's default for SCMP_FLTATR_ACT_BADARCH."""

COMPARED = {
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_EQ": "==",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
}

PLAIN_ACTIONS = {
    0x00000000: "SECCOMP_RET_KILL_THREAD",
    0x80000000: "SECCOMP_RET_KILL_PROCESS",
    0x00030000: "SECCOMP_RET_TRAP",
    0x7FC00000: "SECCOMP_RET_USER_NOTIF",
    0x7FFC0000: "SECCOMP_RET_LOG",
    0x7FFF0000: "SECCOMP_RET_ALLOW",
}


def source(profile: Profile, container: Container) -> str:
    """The text of a ``.bpf.c`` whose program is ``container_profile``. Raises ProfileError."""
    found = tables(profile)
    functions = (_function(table, profile.default) for table in found)
    capabilities = ", ".join(sorted(container.capabilities)) or "no capabilities"
    version = ".".join(map(str, container.kernel))
    head = HEAD.format(container=f"{container.arch}, Linux {version},\n * {capabilities}")
    return "\n".join((head, *functions, _entry(found))) + TAIL


def _function(table: Table, default: int) -> str:
    lines = [
        f"static __always_inline __u32 {_name(table)}(const struct seccomp_data *ctx)",
        "{",
        "\tswitch ((__u32)ctx->nr) {",
        *_cases(table),
        "\t}",
        "",
        f"\treturn {_action(default)};",
        "}",
        "",
    ]
    return "\n".join(lines)


def _name(table: Table) -> str:
    return table.arch.removeprefix("SCMP_ARCH_").lower()


def _cases(table: Table) -> Iterator[str]:
    """Calls with the same verdict share it; those with conditions come one by one."""
    alike: dict[int, list[tuple[int, Rule]]] = {}
    for number, rules in table.rules.items():
        if not rules[0].conditions:
            alike.setdefault(rules[0].action, []).append((number, rules[0]))
    for action, calls in alike.items():
        yield from (f"\tcase {_number(number)}: /* {rule.name} */" for number, rule in calls)
        yield f"\t\treturn {_action(action)};"
    for number, rules in table.rules.items():
        if rules[0].conditions:
            yield f"\tcase {_number(number)}: /* {rules[0].name} */"
            for rule in rules:
                yield f"\t\tif ({_all(rule.conditions, table.bits)})"
                yield f"\t\t\treturn {_action(rule.action)};"
            yield "\t\tbreak;"


def _number(number: int) -> str:
    return f"X32_BIT + {number - 0x40000000}" if number >= 0x40000000 else str(number)


def _all(conditions: Iterable[Condition], bits: int) -> str:
    return " && ".join(_compared(condition, bits) for condition in conditions)


def _compared(condition: Condition, bits: int) -> str:
    """Unsigned, in as many bits as the architecture's registers have."""
    width = 2**bits - 1
    argument = f"ctx->args[{condition.index}]"
    if bits < 64:
        argument = f"(__u32){argument}"
    value = _constant(condition.value & width)
    if condition.operator == "SCMP_CMP_MASKED_EQ":
        return f"({argument} & {_constant(condition.mask & width)}) == {value}"
    return f"{argument} {COMPARED[condition.operator]} {value}"


def _constant(value: int) -> str:
    return f"{value:#x}" if value < 2**32 else f"{value:#x}ULL"


def _action(action: int) -> str:
    kind, data = action & 0xFFFF0000, action & 0xFFFF
    if kind == 0x00050000:
        return f"FAIL({data}{_comment(errno.errorcode, data)})"
    if kind == 0x7FF00000:
        return f"SECCOMP_RET_TRACE | {data}"
    return PLAIN_ACTIONS[kind]


def _comment(names: Mapping[int, str], number: int) -> str:
    return f" /* {names[number]} */" if number in names else ""


def _entry(found: Iterable[Table]) -> str:
    """Which table: x32's calls are told from x86-64's by their number."""
    lines = ['SEC("seccomp")', "int container_profile(struct seccomp_data *ctx)", "{"]
    x32 = [table for table in found if table.arch == X32]
    for table in found:
        if table.arch == X32:
            continue
        lines.append(f"\tif (ctx->arch == {table.token:#x}) {{ /* {_name(table)} */")
        if table.arch == "SCMP_ARCH_X86_64":
            lines.append("\t\t/* -1 is what a tracer makes of a call that it skips. */")
            lines.append("\t\tif ((__u32)ctx->nr >= X32_BIT && ctx->nr != -1)")
            lines.append(f"\t\t\treturn {'x32(ctx)' if x32 else BAD_ARCH};")
        lines += [f"\t\treturn {_name(table)}(ctx);", "\t}"]
    return "\n".join([*lines, "", f"\treturn {BAD_ARCH};", "}", ""])
