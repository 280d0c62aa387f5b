"""LSM denial: who may give his filters state, and what is left to those who may not."""

from __future__ import annotations

import errno
import functools
import os
import pickle
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selftests.harness import btf, child, kernel_btf, lsm, newer, privileges, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R10,
    Label,
    Source,
    alu,
    atomic_add,
    call,
    call_kfunc,
    call_label,
    exit_,
    imm64,
    jump_if,
    load,
    map_fd,
    map_value,
    mov,
    mov_reg,
    on_syscall,
    ret,
    store_imm,
)
from selftests.harness.bpf import BpfError, Map, Prog, map_create, prog_load
from selftests.harness.lacks import LACKS, Lacks
from selftests.harness.lsm import Denier
from selftests.harness.objects import BpfObject
from selftests.harness.patches import proves
from selftests.harness.privileges import PTRACE_SCOPE, UNPRIVILEGED_BPF, set_sysctl, sysctl
from selftests.harness.sys import errno_of, no_new_privs
from selftests.harness.uapi import (
    CAP_BPF,
    CAP_PERFMON,
    CAP_SYS_PTRACE,
    NR,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
)

PURE = on_syscall(NR.getppid, *ret(SECCOMP_RET_ERRNO | 7))
STATEFUL = on_syscall(NR.getppid, call(uapi.BPF_FUNC_ktime_get_ns), *ret(SECCOMP_RET_ERRNO | 8))
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


@dataclass(frozen=True)
class Verdict:
    """What came of a load: 0 or an errno, and the verifier's last words."""

    code: int
    log: str = ""


def loading(program: list[Source]) -> Verdict:
    """Load a filter, and let it go again."""
    return verdict(lambda: prog_load(program))


def verdict(load_it: Callable[[], Prog]) -> Verdict:
    """The same, however it is loaded."""
    try:
        load_it()
    except BpfError as error:
        return Verdict(error.errno or -1, error.log)
    return Verdict(0)


def installing(prog: Prog) -> int:
    """Install a filter on the calling process: 0 or an errno."""
    no_new_privs()
    try:
        seccomp.install(prog)
    except OSError as error:
        return error.errno or -1
    return 0


def assert_denied(verdict: Verdict, what: str) -> None:
    """The load was refused, and the log says what and by whom."""
    assert verdict.code == errno.EACCES, verdict
    assert f"{what} are refused to this program" in verdict.log
    assert "seccomp_extended" in verdict.log


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


@dataclass(frozen=True)
class Load:
    """A program that uses something, with what it needs to be loaded."""

    program: list[Source]
    fd_array: tuple[int, ...] = ()
    fd_array_cnt: int = 0
    keep: tuple[Map, ...] = ()


@dataclass(frozen=True)
class Thing:
    """Something that is state: ``what`` the log calls it, and how a filter would use it.

    ``unless``: what the verifier says instead, to a loader who is denied nothing, where the
    kernel's configuration lacks something for it. ``proves``: the patches that it takes.
    """

    name: str
    what: str
    build: Callable[[], Load] = field(repr=False)
    unless: str = ""
    proves: tuple[str, ...] = ("map-restriction",)


ALLOW = ret(SECCOMP_RET_ALLOW)


def _map_by_fd() -> Load:
    counters = map_create()
    return Load([map_fd(R1, counters.fd), *ALLOW], keep=(counters,))


def _map_by_index() -> Load:
    counters = map_create()
    program = [imm64(R1, 0, uapi.BPF_PSEUDO_MAP_IDX), *ALLOW]
    return Load(program, fd_array=(counters.fd,), keep=(counters,))


def _map_by_index_in_counted_array() -> Load:
    newer.need_bound_maps()
    by_index = _map_by_index()
    return Load(by_index.program, by_index.fd_array, 1, by_index.keep)


def _map_bound_and_not_mentioned() -> Load:
    newer.need_bound_maps()
    counters = map_create()
    return Load(PURE, fd_array=(counters.fd,), fd_array_cnt=1, keep=(counters,))


def _value_read() -> Load:
    data = map_create()
    return Load([map_value(R1, data.fd), load(8, R2, R1, 0), *ALLOW], keep=(data,))


def _value_written() -> Load:
    data = map_create()
    return Load([map_value(R1, data.fd), store_imm(8, R1, 0, 1), *ALLOW], keep=(data,))


BPF_F_RDONLY_PROG = 1 << 7


def _constant_read() -> Load:
    data = map_create(map_flags=BPF_F_RDONLY_PROG)
    data.freeze()
    return Load([map_value(R1, data.fd), load(8, R2, R1, 0), *ALLOW], keep=(data,))


def _value_by_index() -> Load:
    data = map_create()
    program = [imm64(R1, 0, uapi.BPF_PSEUDO_MAP_IDX_VALUE, 0), load(8, R2, R1, 0), *ALLOW]
    return Load(program, fd_array=(data.fd,), keep=(data,))


def _map_field() -> Load:
    counters = map_create()
    # struct bpf_map begins with its operations.
    return Load([map_fd(R1, counters.fd), load(8, R2, R1, 0), *ALLOW], keep=(counters,))


def _arena() -> Load:
    privileges.need_jit()
    arena = map_create(
        uapi.BPF_MAP_TYPE_ARENA, 0, 0, 1, map_flags=uapi.BPF_F_MMAPABLE, map_extra=1 << 44
    )
    return Load([map_fd(R1, arena.fd), *ALLOW], keep=(arena,))


def _insn_array() -> Load:
    privileges.need_jit()
    # struct bpf_insn_array_value: offset of an instruction, and three fields for the kernel
    targets = newer.instruction_array()
    targets.update(struct.pack("=IIII", 0, 0, 0, 0))
    targets.freeze()
    return Load([map_value(R1, targets.fd), *ALLOW], keep=(targets,))


def _tail_call() -> Load:
    table = map_create(uapi.BPF_MAP_TYPE_PROG_ARRAY, value_size=4)
    program = [map_fd(R2, table.fd), mov(R3, 0), call(uapi.BPF_FUNC_tail_call), *ALLOW]
    return Load(program, keep=(table,))


def _ring_buffer() -> Load:
    ring = map_create(uapi.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096)
    return Load([map_fd(R1, ring.fd), *ALLOW], keep=(ring,))


def _outer_map(type_: int, *use: Source) -> Load:
    inner = map_create(value_size=4)
    outer = map_create(type_, value_size=4, inner_map_fd=inner.fd)
    outer.update(inner.fd)
    return Load([map_fd(R1, outer.fd), *use, *ALLOW], keep=(outer, inner))


def _array_of_maps() -> Load:
    return _outer_map(uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS)


def _hash_of_maps() -> Load:
    return _outer_map(uapi.BPF_MAP_TYPE_HASH_OF_MAPS)


def _inner_map() -> Load:
    key = [store_imm(4, R10, -4, 0), mov_reg(R2, R10), alu("add", R2, -4)]
    lookup = call(uapi.BPF_FUNC_map_lookup_elem)
    use = [*key, lookup, jump_if("eq", R0, 0, "none"), mov_reg(R1, R0), *key, lookup]
    return _outer_map(uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, *use, Label("none"))


def _outer_map_not_mentioned() -> Load:
    newer.need_bound_maps()
    bound = _array_of_maps()
    return Load(PURE, fd_array=(bound.keep[0].fd,), fd_array_cnt=1, keep=bound.keep)


def _helper() -> Load:
    return Load([call(uapi.BPF_FUNC_ktime_get_ns), *ALLOW])


def _helper_in_function() -> Load:
    program = [
        call_label("clock"),
        *ALLOW,
        Label("clock"),
        call(uapi.BPF_FUNC_ktime_get_ns),
        exit_(),
    ]
    return Load(program)


def _memory() -> Load:
    from selftests.harness import memory

    report = memory.report_map()
    return Load(memory.reader(report), keep=(report,))


def _kernel_variable() -> Load:
    variable = kernel_btf.variable_id("bpf_prog_active")
    return Load([imm64(R1, variable, uapi.BPF_PSEUDO_BTF_ID), *ALLOW])


def _kernel_function_address() -> Load:
    function = kernel_btf.function_id("bpf_lsm_seccomp_extended")
    return Load([imm64(R1, function, uapi.BPF_PSEUDO_BTF_ID), *ALLOW])


def loaded(ready: Load) -> Prog:
    """The program that uses the thing. Raises BpfError."""
    return prog_load(ready.program, fd_array=ready.fd_array, fd_array_cnt=ready.fd_array_cnt)


MAPS_IN_MAPS = (_array_of_maps, _hash_of_maps, _inner_map, _outer_map_not_mentioned)


def maps_in_maps() -> list[Load]:
    """Uses of maps in maps, but for those that this guest lacks and may lack."""
    found = []
    for build in MAPS_IN_MAPS:
        try:
            found.append(build())
        except Lacks as lacks:
            if lacks.what not in LACKS:
                raise
    return found


MEMORY = ("map-restriction", "user-memory")
"""Without user-memory no loader is allowed what leads to memory."""

THINGS = (
    Thing("map_by_descriptor", "maps", _map_by_fd),
    Thing("map_by_index", "maps", _map_by_index),
    Thing("map_by_index_in_counted_array", "maps", _map_by_index_in_counted_array),
    Thing("map_bound_and_not_mentioned", "maps", _map_bound_and_not_mentioned),
    Thing("value_read", "maps", _value_read),
    Thing("value_written", "maps", _value_written),
    Thing("value_by_index", "maps", _value_by_index),
    Thing("constant_read", "maps", _constant_read),
    Thing("map_field", "maps", _map_field, proves=MEMORY),
    Thing("arena", "maps", _arena, proves=MEMORY),
    Thing("insn_array", "maps", _insn_array),
    Thing("tail_call", "maps", _tail_call),
    Thing("ring_buffer", "maps", _ring_buffer),
    Thing("array_of_maps", "maps", _array_of_maps),
    Thing("hash_of_maps", "maps", _hash_of_maps),
    Thing("inner_map", "maps", _inner_map),
    Thing("outer_map_bound_and_not_mentioned", "maps", _outer_map_not_mentioned),
    Thing("helper", "helpers", _helper),
    Thing("helper_in_function", "helpers", _helper_in_function),
    Thing("user_memory", "maps", _memory, proves=MEMORY),
    # Variables have known addresses with CONFIG_KALLSYMS_ALL only.
    Thing(
        "kernel_variable",
        "kernel variables",
        _kernel_variable,
        "failed to find the address",
        MEMORY,
    ),
    Thing("kernel_function_address", "kernel variables", _kernel_function_address, proves=MEMORY),
)


def each_of(things: Iterable[Thing]) -> pytest.MarkDecorator:
    """A test for each, with the patches that it takes."""
    params = [pytest.param(thing, id=thing.name, marks=proves(*thing.proves)) for thing in things]
    return pytest.mark.parametrize("thing", params)


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
    for verdict in verdicts:
        assert verdict.code == errno.EACCES
        assert "calling kernel function bpf_rcu_read_lock is not allowed" in verdict.log


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


# An LSM of our own


@pytest.fixture
def denier() -> Iterator[Denier]:
    """A BPF program on the hook."""
    with lsm.attached() as attached:
        yield attached


@proves("lsm-hook", "tier-1")
def test_a_bpf_lsm_program_denies_state(denier: Denier) -> None:
    """A BPF program on the hook seccomp_extended refuses state to root, and leaves pure filters."""

    def case() -> tuple[Verdict, Verdict, Verdict, int, int]:
        allowed = loading(STATEFUL)
        denier.aim()
        denied = loading(STATEFUL)
        pure = loading(PURE)
        return allowed, denied, pure, installing(prog_load(PURE)), errno_of(NR.getppid)

    allowed, denied, pure, installed, answer = child.run(case)
    assert allowed == pure == Verdict(0)
    assert_denied(denied, "helpers")
    assert (installed, answer) == (0, 7)


@proves("lsm-hook", "tier-1")
def test_a_bpf_lsm_program_denies_installing(denier: Denier) -> None:
    """The hook is asked about the task that installs, and only if the filter has state."""

    def case() -> tuple[int, int, int, int]:
        pure, stateful = prog_load(PURE), prog_load(STATEFUL)
        denier.aim()
        denied, asked = installing(stateful), denier.asked
        return denied, asked, installing(pure), denier.asked

    assert child.run(case) == (errno.EPERM, 1, 0, 1)


def _reading_by_number() -> tuple[list[Source], btf.FuncInfo]:
    """A filter that reads kernel memory without a map, a helper or a variable."""
    newer.need_untrusted_arguments()
    program = [
        *on_syscall(NR.getppid, mov(R1, 0), call_label("peek"), *ret(SECCOMP_RET_ERRNO | 9)),
        Label("peek"),
        load(1, R0, R1, 0),
        exit_(),
    ]
    return program, btf.untrusted_argument(program, "peek")


@proves("map-restriction", "tier-1", "user-memory")
def test_kernel_pointers_are_refused_where_state_is_denied(denier: Denier) -> None:
    """Root may follow them, unless an LSM denies him state: EACCES at load, EPERM afterwards."""

    def case() -> tuple[Verdict, int]:
        program, info = _reading_by_number()
        prog = prog_load(program, functions=info.fields)
        denier.aim()
        denied = verdict(lambda: prog_load(program, functions=info.fields))
        return denied, installing(prog)

    denied, installed = child.run(case)
    assert_denied(denied, "kernel pointers")
    assert installed == errno.EPERM


MUCH = on_syscall(
    NR.getppid,
    *[call(number) for number in (5, 7, 8, 14, 15) for _ in range(40)],
    *ret(SECCOMP_RET_ALLOW),
)
"""A filter with 200 calls of helpers: the verifier asks for each prototype twice."""


@proves("lsm-hook", "tier-1")
def test_the_lsm_is_asked_once_per_load(denier: Denier) -> None:
    """However much a program uses, its loader is asked about once."""

    def case() -> list[int]:
        asked = []
        for program in (MUCH, STATEFUL):
            denier.aim(alternate=True)
            loading(program)
            asked.append(denier.asked)
        return asked

    assert child.run(case) == [1, 1]


@proves("lsm-hook", "tier-1")
def test_a_verdict_that_changes_each_time_is_the_same_within_a_load(denier: Denier) -> None:
    """With an LSM that denies every second question, every second load fails as a whole."""

    def case() -> list[int]:
        denier.aim(alternate=True)
        return [loading(MUCH).code for _ in range(8)]

    assert child.run(case) == [errno.EACCES, 0] * 4


RACE = 1.5
"""Seconds of racing."""


def _flip_scope() -> None:
    fd = os.open("/proc/sys/kernel/yama/ptrace_scope", os.O_WRONLY)
    while True:
        os.pwrite(fd, b"2", 0)
        os.pwrite(fd, b"0", 0)


def _load_for_a_while(cpu: int) -> Counter[int]:
    os.sched_setaffinity(0, {cpu})
    privileges.set_caps(CAP_BPF)
    outcomes: Counter[int] = Counter()
    end = time.monotonic() + RACE
    while time.monotonic() < end:
        outcomes[loading(MUCH).code] += 1
    return outcomes


def _report_loads(cpu: int, writer: int) -> None:
    os.write(writer, pickle.dumps(_load_for_a_while(cpu)))


@proves("tier-1", "yama")
def test_a_verdict_that_flips_during_loads_does_no_harm() -> None:
    """While ptrace_scope goes 0, 2, 0 ... loads end in 0 or EACCES, and the kernel stays clean."""
    tainted = Path("/proc/sys/kernel/tainted").read_text()
    cpus = sorted(os.sched_getaffinity(0))[:2]
    pids, reports = [], []
    outcomes: Counter[int] = Counter()
    with child.running(_flip_scope):
        for cpu in cpus:
            reader, writer = os.pipe()
            pids.append(child.start(functools.partial(_report_loads, cpu, writer)))
            os.close(writer)
            reports.append(reader)
        for pid, reader in zip(pids, reports, strict=True):
            assert child.reap(pid).code == 0
            with os.fdopen(reader, "rb") as pipe:
                outcomes += pickle.load(pipe)
    assert set(outcomes) == {0, errno.EACCES}, outcomes
    assert Path("/proc/sys/kernel/tainted").read_text() == tainted
