"""Which of tools/testing/selftests/ are run: one row each."""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import UsageError


@dataclass(frozen=True)
class Suite:
    """A directory below tools/testing/selftests/. ``leave_out``: programs that are not run, and
    why. ``limit``: seconds for each program, emulated on a busy machine.
    """

    name: str
    leave_out: tuple[tuple[str, str], ...] = ()
    limit: int = 900


SUITES: tuple[Suite, ...] = (
    Suite("seccomp", leave_out=(("seccomp_benchmark", "measures time, and judges it"),)),
    Suite("ptrace"),
    Suite("lsm"),
    Suite("syscall_user_dispatch", leave_out=(("sud_benchmark", "measures time, for ever"),)),
)


def find_suites(names: tuple[str, ...]) -> tuple[Suite, ...]:
    """The rows of that name, all without names. Raises UsageError for one that is not there."""
    known = {suite.name: suite for suite in SUITES}
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no suite {name!r}.", hint=f"The lab knows: {', '.join(known)}."
            )
    return tuple(known[name] for name in names) or SUITES
