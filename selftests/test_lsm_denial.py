# SPDX-License-Identifier: MIT
"""LSM denial: who may give his filters state, and what is left to those who may not."""

from __future__ import annotations

import errno
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from selftests.harness import child, kernel_btf, privileges, seccomp
from selftests.harness.asm import (
    R1,
    R2,
    atomic_add,
    call_kfunc,
    map_fd,
    map_value,
    mov,
    on_syscall,
    ret,
)
from selftests.harness.bpf import map_create, prog_load
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.privileges import PTRACE_SCOPE, UNPRIVILEGED_BPF, set_sysctl, sysctl
from selftests.harness.state import ALLOW, THINGS, Thing, each_of, loaded, maps_in_maps
from selftests.harness.sys import errno_of
from selftests.harness.uapi import CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, NR, SECCOMP_RET_ALLOW
from selftests.harness.verdicts import (
    PURE,
    STATEFUL,
    Verdict,
    assert_denied,
    installing,
    loading,
    verdict,
)

LAST = pytest.mark.irrevocable(90)
"""For tests in scope 3; the one that has to load something first is number 89."""


@pytest.fixture(autouse=True)
def _scope_is_put_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test starts where Yama denies nothing, unless that is over."""
    if request.node.get_closest_marker("irrevocable"):
        yield
        return
    with sysctl(PTRACE_SCOPE, 1):
        yield


# Yama


@proves("tier-1", "yama")
@pytest.mark.parametrize("may_ptrace", [True, False], ids=["CAP_SYS_PTRACE", "no_CAP_SYS_PTRACE"])
@pytest.mark.parametrize("scope", [0, 1, 2])
def test_yama_allows_state_by_ptrace_scope(scope: int, may_ptrace: bool) -> None:
    """Scopes 0 and 1 allow everybody state, scope 2 holders of CAP_SYS_PTRACE; pure goes always."""
    caps = (CAP_BPF, CAP_SYS_PTRACE) if may_ptrace else (CAP_BPF,)
    with sysctl(PTRACE_SCOPE, scope):
        pure, stateful = privileges.as_user(lambda: (loading(PURE), loading(STATEFUL)), *caps)
    assert pure == Verdict(0)
    if scope < 2 or may_ptrace:
        assert stateful == Verdict(0)
    else:
        assert_denied(stateful, "helpers")


@proves("tier-1", "yama")
def test_yama_looks_at_the_loaders_own_namespace() -> None:
    """In scope 2 CAP_SYS_PTRACE in a user namespace of one's own is enough for state."""

    def case() -> Verdict:
        privileges.become_user()
        privileges.enter_user_namespace()
        return loading(STATEFUL)

    with sysctl(PTRACE_SCOPE, 2), sysctl(UNPRIVILEGED_BPF, 0):
        assert child.run(case) == Verdict(0)
        assert_denied(privileges.as_user(lambda: loading(STATEFUL)), "helpers")


@proves("tier-1", "yama")
@LAST
def test_yama_scope_3_denies_state_to_root_too() -> None:
    """Scope 3, which stays until reboot, refuses state to all, and pure filters to nobody."""

    def case() -> tuple[Verdict, Verdict, int, int]:
        prog = prog_load(PURE)
        installed = installing(prog)
        return loading(PURE), loading(STATEFUL), installed, errno_of(NR.getppid)

    set_sysctl(PTRACE_SCOPE, 3)
    pure, stateful, installed, answer = child.run(case)
    assert (pure, installed, answer) == (Verdict(0), 0, 7)
    assert_denied(stateful, "helpers")


@proves("map-restriction", "tier-1", "yama")
@LAST
def test_yama_scope_3_denies_a_map_to_any_loader() -> None:
    """In scope 3 a map is refused without CAP_SYS_PTRACE, with it, and with all capabilities."""

    def with_map() -> Verdict:
        counters = map_create()
        return loading([map_fd(R1, counters.fd), *ret(SECCOMP_RET_ALLOW)])

    set_sysctl(PTRACE_SCOPE, 3)
    for caps in ((CAP_BPF,), (CAP_BPF, CAP_SYS_PTRACE), tuple(range(41))):
        assert_denied(privileges.as_user(with_map, *caps), "maps")


@proves("map-restriction", "tier-1", "yama")
@LAST
def test_yama_scope_3_denies_maps_in_maps_to_root() -> None:
    """Attack: reach a map through a map. In scope 3 neither the outer one nor the inner one, looked
    at or only bound, is for anybody.
    """

    def case() -> list[Verdict]:
        return [verdict(functools.partial(loaded, ready)) for ready in maps_in_maps()]

    set_sysctl(PTRACE_SCOPE, 3)
    verdicts = child.run(case)
    assert len(verdicts) >= 3
    for seen in verdicts:
        assert_denied(seen, "maps")


@proves("program-type")
@pytest.mark.irrevocable(80)
def test_an_ordinary_user_never_loads_again_after_sysctl_1() -> None:
    """unprivileged_bpf_disabled=1 stays until reboot: EPERM without CAP_BPF, as before with it."""
    set_sysctl(UNPRIVILEGED_BPF, 1)
    with pytest.raises(OSError, match="Operation not permitted"):
        Path("/proc/sys", UNPRIVILEGED_BPF).write_text("0")
    assert privileges.as_user(lambda: loading(PURE)).code == errno.EPERM
    assert privileges.as_user(lambda: loading(STATEFUL), CAP_BPF).code == 0


# Everything that is state


def _read_btf_once(thing: Thing) -> None:
    """Have this process keep what children would have to look up again: it takes a while."""
    if thing.what == "kernel variables":
        thing.build()


def attempt(thing: Thing, *more: int) -> Verdict:
    """Load a filter that uses the thing, with all that it takes but CAP_SYS_PTRACE, and more."""
    ready = thing.build()
    privileges.set_caps(CAP_BPF, CAP_PERFMON, *more)
    return verdict(lambda: loaded(ready))


@proves("map-restriction", "tier-1", "yama")
@each_of(THINGS)
def test_each_kind_of_state_is_refused_and_named(thing: Thing) -> None:
    """What loads while nothing denies it is EACCES when denied, and the log says what and why."""
    _read_btf_once(thing)
    allowed = child.run(lambda: attempt(thing, CAP_SYS_PTRACE))
    assert allowed.code == 0 or (thing.unless and thing.unless in allowed.log), allowed
    with sysctl(PTRACE_SCOPE, 2):
        denied = child.run(lambda: attempt(thing))
    assert_denied(denied, thing.what)


@proves("program-type", "tier-1", "yama")
def test_kernel_functions_are_refused_denied_or_not() -> None:
    """A kfunc call is EACCES for root and for a loader without state alike, by name in the log."""
    privileges.need_jit()
    program = [call_kfunc(kernel_btf.function_id("bpf_rcu_read_lock")), *ALLOW]
    verdicts = [child.run(lambda: loading(program))]
    with sysctl(PTRACE_SCOPE, 2):
        verdicts.append(privileges.as_root_with(lambda: loading(program), CAP_BPF, CAP_PERFMON))
    for seen in verdicts:
        assert seen.code == errno.EACCES
        assert "calling kernel function bpf_rcu_read_lock is not allowed" in seen.log


OBJECTS = ("globals", "path_guard", "task_storage")


@proves("map-restriction", "tier-1", "yama", "user-memory", "task-storage")
@pytest.mark.parametrize("name", OBJECTS)
def test_c_filters_with_state_are_refused(name: str) -> None:
    """A filter in C with global variables or maps does not load for who is denied state."""

    def case() -> int:
        opened = BpfObject(name)
        privileges.set_caps(CAP_BPF, CAP_PERFMON)
        try:
            opened.load()
        except OSError as error:
            return error.errno or -1
        return 0

    assert child.run(case) == 0
    with sysctl(PTRACE_SCOPE, 2):
        assert child.run(case) == errno.EACCES


@proves("tier-1", "yama")
def test_a_pure_c_filter_loads_and_works_for_who_is_denied_state() -> None:
    """Context, arithmetic, a bounded loop and functions are left to everybody."""

    def case() -> tuple[int, int, int]:
        opened = BpfObject("pure")
        privileges.set_caps(CAP_BPF)
        prog = opened.load().prog("count_bits_of_argument")
        installed = installing(prog)
        return installed, errno_of(NR.getppid, 0b1011, 0x6C6162), errno_of(NR.getppid)

    with sysctl(PTRACE_SCOPE, 2):
        assert child.run(case) == (0, 3, 0)


# Installing


@proves("lsm-hook", "tier-1", "yama")
def test_a_filter_with_state_is_asked_about_again_when_installed() -> None:
    """Loaded while allowed: EPERM for who is denied when it is installed, a pure one goes."""

    def case() -> dict[str, int]:
        pure, stateful = prog_load(PURE), prog_load(STATEFUL)
        with sysctl(PTRACE_SCOPE, 2):
            return {
                "pure": privileges.as_user(lambda: installing(pure)),
                "stateful": privileges.as_user(lambda: installing(stateful)),
                "may ptrace": privileges.as_user(lambda: installing(stateful), CAP_SYS_PTRACE),
            }

    assert child.run(case) == {"pure": 0, "stateful": errno.EPERM, "may ptrace": 0}


@proves("map-restriction", "tier-1", "yama")
@each_of(thing for thing in THINGS if not thing.unless)
def test_each_kind_of_state_is_noticed_when_installed(thing: Thing) -> None:
    """A filter that uses any one of these things counts as having state: EPERM when denied."""
    _read_btf_once(thing)

    def case() -> int:
        ready = thing.build()
        prog = loaded(ready)
        with sysctl(PTRACE_SCOPE, 2):
            return privileges.as_user(lambda: installing(prog))

    assert child.run(case) == errno.EPERM


@proves("tier-1", "yama")
@pytest.mark.irrevocable(89)
def test_a_filter_loaded_in_scope_0_is_not_installed_in_scope_3() -> None:
    """Loaded under ptrace_scope 0, installed under 3: EPERM, even for root; a pure one goes."""

    def case() -> tuple[list[int], int]:
        set_sysctl(PTRACE_SCOPE, 0)
        pure, stateful = prog_load(PURE), [prog_load(STATEFUL)]
        stateful += map(loaded, maps_in_maps())
        set_sysctl(PTRACE_SCOPE, 3)
        return [installing(prog) for prog in stateful], installing(pure)

    refused, taken = child.run(case)
    assert len(refused) > 3
    assert (set(refused), taken) == ({errno.EPERM}, 0)


@proves("tier-1", "yama")
def test_an_installed_filter_keeps_its_state_when_that_is_denied_later() -> None:
    """Denial is about loading and installing: a filter in place goes on counting."""

    def case() -> int:
        counters = map_create()
        program = on_syscall(
            NR.getppid,
            map_value(R1, counters.fd),
            mov(R2, 1),
            atomic_add(R1, 0, R2),
            *ret(SECCOMP_RET_ALLOW),
        )
        prog = prog_load(program)
        installing(prog)
        with sysctl(PTRACE_SCOPE, 2):
            seccomp.getppid()
            seccomp.getppid()
        return counters.lookup_int()

    assert child.run(case) == 2
