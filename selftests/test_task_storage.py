# SPDX-License-Identifier: MIT
"""Task storage: what a filter keeps per process, and when that begins and ends."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading

import pytest

from selftests.harness import child, lsm, privileges, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    Source,
    call,
    load,
    map_fd,
    mov,
    mov_reg,
    on_syscall,
    ret,
)
from selftests.harness.bpf import BpfError, Map, Prog, prog_load, raw_tracepoint_open
from selftests.harness.objects import BpfObject, guest_file, load_object
from selftests.harness.patches import proves
from selftests.harness.sys import buffer, errno_of, no_new_privs, syscall
from selftests.harness.uapi import NR, SECCOMP_RET_ALLOW

pytestmark = [proves("null-task", "task-storage"), pytest.mark.usefixtures("state_allowed")]

# Requests and answer of bpf/task_storage.bpf.c and bpf/task_storage_thread.bpf.c.
COUNT, LOOK, FORGET, COUNT_SELF, LOOK_SELF = 1, 2, 3, 4, 5
NOTHING = 4000
NO_COUNTER = 255
"""What native/look_counter.c makes of NOTHING."""


def counting(name: str = "task_storage", prog: str = "count_per_process") -> Map:
    """Install the filter on the calling process; the map with the counters."""
    obj = BpfObject(name)
    obj.set_rodata(struct.pack("=I", NR.getppid))
    obj.load()
    no_new_privs()
    seccomp.install(obj.prog(prog))
    counters = obj.map("counters")
    obj.close()
    return counters


def counting_threads() -> Map:
    """The filter that also knows the calling thread's own counter."""
    return counting("task_storage_thread", "count_per_thread")


def ask(request: int) -> int:
    """What the filter answers: a counter, NOTHING or an errno."""
    return errno_of(NR.getppid, request)


def test_no_task_means_the_process() -> None:
    """NULL for the task counts for the process, and a deleted counter is gone."""

    def case() -> list[int]:
        counting()
        return [ask(r) for r in (LOOK, COUNT, COUNT, LOOK, FORGET, LOOK, FORGET, COUNT)]

    assert child.run(case) == [NOTHING, 1, 2, 2, 0, NOTHING, errno.ENOENT, 1]


def test_cap_bpf_is_enough_for_the_processs_storage() -> None:
    """A loader with CAP_BPF alone, who can name no task, has storage per process."""

    def case() -> list[int]:
        counting()
        return [ask(COUNT), ask(COUNT)]

    assert privileges.as_user(case, uapi.CAP_BPF) == [1, 2]


def test_threads_share_the_storage_of_their_leader() -> None:
    """Each thread counts on where the others were, so threads do not get round a limit."""

    def case() -> list[int]:
        counting()
        return [ask(COUNT), *(child.in_thread(lambda: ask(COUNT)) for _ in range(3)), ask(LOOK)]

    assert child.run(case) == [1, 2, 3, 4, 4]


def test_the_storage_is_the_leaders_and_no_other_threads() -> None:
    """By name the leader has the process's counter, and a thread has one of its own or none."""

    def case() -> tuple[list[int], list[int], int]:
        counting_threads()
        leader = [ask(COUNT), ask(LOOK_SELF), ask(COUNT_SELF), ask(LOOK)]
        thread = child.in_thread(
            lambda: [ask(LOOK_SELF), ask(COUNT_SELF), ask(LOOK_SELF), ask(LOOK)]
        )
        return leader, thread, ask(LOOK)

    assert child.run(case) == ([1, 1, 2, 2], [NOTHING, 1, 1, 2], 2)


def test_user_space_finds_the_storage_by_pidfd_of_the_process() -> None:
    """The counter is what the map gives for a pidfd of the process, though a thread counted."""

    def case() -> int:
        counters = counting()
        child.in_thread(lambda: ask(COUNT))
        return counters.lookup_int(os.pidfd_open(os.getpid()))

    assert child.run(case) == 1


def test_processes_under_one_filter_have_storage_of_their_own() -> None:
    """Two children of one filtered process count from one each, and not on each other."""

    def case() -> tuple[list[int], list[int]]:
        counting()
        return child.run(lambda: [ask(COUNT), ask(COUNT)]), child.run(lambda: [ask(COUNT)])

    assert child.run(case) == ([1, 2], [1])


def test_a_new_process_starts_with_empty_storage() -> None:
    """After fork the child has nothing, counts from one, and leaves the parent's counter alone."""

    def case() -> tuple[list[int], int]:
        counting()
        for _ in range(3):
            ask(COUNT)
        return child.run(lambda: [ask(LOOK), ask(COUNT)]), ask(LOOK)

    assert child.run(case) == ([NOTHING, 1], 3)


def exec_looks_at_counter() -> None:
    """Become a program that exits with the counter it finds."""
    path = str(guest_file("look_counter"))
    os.execv(path, [path])


def test_storage_stays_over_exec_by_the_leader() -> None:
    """A process that execs goes on counting where it was."""

    def case() -> None:
        counting()
        ask(COUNT)
        ask(COUNT)
        exec_looks_at_counter()

    assert child.wait(case).code == 2


def test_storage_is_lost_over_exec_by_another_thread() -> None:
    """The thread that execs becomes leader and brings no storage: no storage is the strict case."""

    def case() -> None:
        counting()
        ask(COUNT)
        child.in_thread(exec_looks_at_counter)

    assert child.wait(case).code == NO_COUNTER


def test_storage_stays_when_the_leader_has_exited() -> None:
    """Threads that outlive their leader still share the process's counter."""
    reader, writer = os.pipe()

    def worker(leader_tid: int) -> None:
        with contextlib.suppress(BaseException):
            while seccomp.status("State", f"self/task/{leader_tid}")[0] != "Z":
                pass
            os.write(writer, struct.pack("=2I", ask(COUNT), ask(LOOK)))
        os._exit(0)

    def case() -> None:
        counting()
        ask(COUNT)
        threading.Thread(target=worker, args=(threading.get_native_id(),)).start()
        syscall(EXIT)

    assert child.wait(case).code == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert struct.unpack("=2I", pipe.read()) == (2, 2)


EXIT = {"x86_64": 60, "s390x": 1}.get(os.uname().machine, 93)
"""exit(2): ends the calling thread only, which os._exit() does not."""


def storage_call(helper: int, storage: Map, *task: Source) -> list[Source]:
    """A filter that calls a storage helper with the task in R2, which ``task`` sets."""
    return on_syscall(
        NR.getppid,
        *task,
        map_fd(R1, storage.fd),
        mov(R3, 0),
        mov(R4, 0),
        call(helper),
        *ret(SECCOMP_RET_ALLOW),
    )


NULL = (mov(R2, 0),)
CURRENT = (call(uapi.BPF_FUNC_get_current_task_btf), mov_reg(R2, R0))
NUMBER = (load(8, R2, R6, uapi.data_arg(0)),)
CONTEXT = (mov_reg(R2, R6),)

GET, DELETE = uapi.BPF_FUNC_task_storage_get, uapi.BPF_FUNC_task_storage_delete


@pytest.mark.parametrize("helper", [GET, DELETE], ids=["get", "delete"])
def test_the_verifier_takes_null_and_tasks_and_nothing_else(helper: int) -> None:
    """NULL and a task are taken; a number or the context in the task's place is refused."""

    def verdict(storage: Map, task: tuple[Source, ...]) -> str:
        try:
            prog_load(storage_call(helper, storage, *task))
        except BpfError as error:
            return next(line for line in error.log.splitlines() if line.startswith("R2 type="))
        return "loaded"

    def case() -> list[str]:
        storage = load_object("task_storage").map("counters")
        return [verdict(storage, task) for task in (NULL, CURRENT, NUMBER, CONTEXT)]

    null, current, number, context = child.run(case)
    assert (null, current) == ("loaded", "loaded")
    assert number.startswith("R2 type=scalar expected=ptr_")
    assert context.startswith("R2 type=ctx expected=ptr_")


def test_the_verifier_wants_the_storage_checked_for_null() -> None:
    """Storage may be missing, so a filter that uses it unchecked is refused."""

    def case() -> str:
        storage = load_object("task_storage").map("counters")
        program = on_syscall(
            NR.getppid,
            *NULL,
            map_fd(R1, storage.fd),
            mov(R3, 0),
            mov(R4, 0),
            call(GET),
            load(8, R1, R0, 0),
            *ret(SECCOMP_RET_ALLOW),
        )
        with pytest.raises(BpfError) as failure:
            prog_load(program)
        return failure.value.log

    assert "invalid mem access 'map_value_or_null'" in child.run(case)


TEST_RUN_RETVAL = 4
AS_EVER = 77
"""What bpf/task_storage_elsewhere.bpf.c makes of both answers, if they are the old ones."""


def run_alone(prog: Prog) -> int:
    """BPF_PROG_TEST_RUN without context: what the program returns."""
    attr = buffer(struct.pack("=II", prog.fd, 0).ljust(80, b"\0"))
    syscall(uapi.NR.bpf, uapi.BPF_PROG_TEST_RUN, attr, 80)
    return int(struct.unpack_from("=i", attr.raw, TEST_RUN_RETVAL)[0])


@pytest.mark.parametrize("prog", ["null_in_raw_tp", "null_in_syscall"])
def test_null_means_no_task_to_programs_that_can_be_run_alone(prog: str) -> None:
    """NULL still gives other program types no storage, and EINVAL for a delete."""

    def case() -> int:
        return run_alone(load_object("task_storage_elsewhere").prog(prog))

    assert child.run(case) == AS_EVER


def test_null_means_no_task_to_lsm_programs() -> None:
    """NULL still gives LSM programs no storage, and EINVAL for a delete."""
    lsm.need()

    def case() -> int:
        obj = BpfObject("task_storage_elsewhere").want("null_in_lsm").load()
        obj.map(".bss").update(os.getpid())
        with contextlib.closing(raw_tracepoint_open(obj.prog("null_in_lsm"))):
            os.setpriority(os.PRIO_PROCESS, 0, 1)
        return int(struct.unpack("=q", obj.map(".data").lookup())[0])

    assert child.run(case) == AS_EVER


def test_a_seccomp_filters_storage_can_be_set_by_user_space() -> None:
    """User space writes a process's counter through a pidfd, and the filter counts on."""

    def case() -> int:
        counters = counting()
        counters.update(41, os.pidfd_open(os.getpid()))
        return ask(COUNT)

    assert child.run(case) == 42
