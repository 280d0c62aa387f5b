# SPDX-License-Identifier: MIT
"""What a filter's answer does: the same for both kinds of filter."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from selftests.harness import child, seccomp, uapi
from selftests.harness.asm import (
    R0,
    R2,
    alu,
    alu_reg,
    classic_on_syscall,
    exit_,
    imm64,
    mov,
    on_syscall,
    ret,
)
from selftests.harness.bpf import prog_load
from selftests.harness.patches import proves
from selftests.harness.sys import errname, errno_of, no_new_privs, ptrace, syscall
from selftests.harness.uapi import NR

pytestmark = proves("program-type")

Install = Callable[[int], int]


def extended(answer: int, flags: int = 0) -> int:
    """Filter getppid() with an eBPF program."""
    no_new_privs()
    return seccomp.install(prog_load(on_syscall(NR.getppid, *ret(answer))), flags)


def classic(answer: int, flags: int = 0) -> int:
    """Filter getppid() with a classic program."""
    no_new_privs()
    return seccomp.install_classic(classic_on_syscall(NR.getppid, answer), flags)


@pytest.fixture(params=[extended, classic], ids=["ebpf", "cbpf"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each case is run with both kinds, of which the classic one is the reference."""
    chosen: Install = request.param
    return chosen


def outcome(install: Install, answer: int) -> str:
    """What getppid() comes to in a child under the filter: an errno's name, or its result."""

    def case() -> str:
        install(answer)
        try:
            return "parent" if seccomp.getppid() == os.getppid() else "zero"
        except OSError as error:
            return errname(error.errno or 0)

    return child.run(case)


def test_errno_is_what_the_filter_says(install: Install) -> None:
    """SECCOMP_RET_ERRNO fails the system call with the number in its data."""
    assert outcome(install, uapi.SECCOMP_RET_ERRNO | errno.E2BIG) == "E2BIG"


def test_errno_is_capped(install: Install) -> None:
    """SECCOMP_RET_ERRNO with more than MAX_ERRNO gives MAX_ERRNO."""
    assert outcome(install, uapi.SECCOMP_RET_ERRNO | 5000) == str(uapi.MAX_ERRNO)


def test_errno_zero_skips_the_call() -> None:
    """SECCOMP_RET_ERRNO with 0 returns 0 and does not run the system call."""

    def case(install: Install) -> int:
        install(uapi.SECCOMP_RET_ERRNO)
        return syscall(NR.getppid)

    assert [child.run(partial(case, kind)) for kind in (extended, classic)] == [0, 0]


def test_allow_runs_the_call(install: Install) -> None:
    """SECCOMP_RET_ALLOW runs the system call."""

    def case() -> int:
        install(uapi.SECCOMP_RET_ALLOW)
        return seccomp.getppid()

    assert child.run(case) == os.getpid()


def test_log_runs_the_call(install: Install) -> None:
    """SECCOMP_RET_LOG runs the system call."""

    def case() -> int:
        install(uapi.SECCOMP_RET_LOG)
        return seccomp.getppid()

    assert child.run(case) == os.getpid()


@pytest.mark.parametrize(
    "answer",
    [uapi.SECCOMP_RET_KILL_PROCESS, 0x12340000, 0x7FFE0000],
    ids=["kill-process", "undefined", "undefined-high"],
)
def test_killing_the_process(install: Install, answer: int) -> None:
    """SECCOMP_RET_KILL_PROCESS and actions that are not defined end the process with SIGSYS."""

    def case() -> None:
        install(answer)
        seccomp.getppid()

    assert child.wait(case).signal == signal.SIGSYS


def test_killing_a_thread_leaves_the_others(install: Install) -> None:
    """SECCOMP_RET_KILL_THREAD ends the calling thread only."""

    def case() -> bool:
        def body() -> None:
            install(uapi.SECCOMP_RET_KILL_THREAD)
            seccomp.getppid()

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        native = thread.native_id
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/self/task/{native}"):  # noqa: PTH110
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return True

    # The interpreter waits for a thread that will not come back: leave without cleaning up.
    assert child.run(case)


def test_killing_the_process_takes_the_other_threads_along(install: Install) -> None:
    """SECCOMP_RET_KILL_PROCESS in one thread ends all of them."""

    def case() -> None:
        def body() -> None:
            install(uapi.SECCOMP_RET_KILL_PROCESS)
            seccomp.getppid()

        threading.Thread(target=body, daemon=True).start()
        time.sleep(20)

    assert child.wait(case).signal == signal.SIGSYS


class SigactionHandler(ctypes.Structure):
    """struct sigaction as glibc has it, with room for its mask."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def trapped(install: Install, data: int) -> tuple[int, int, int]:
    """errno, system call and architecture that the SIGSYS of SECCOMP_RET_TRAP carries."""
    seen: list[tuple[int, int, int]] = []

    def handle(number: int, info: int, context: int) -> None:  # noqa: ARG001
        # siginfo_t: si_signo, si_errno, si_code, padding, si_call_addr, si_syscall, si_arch
        fields = struct.unpack("=iii4xQiI", ctypes.string_at(info, 32))
        seen.append((fields[1], fields[4], fields[5]))

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(handle)
    action = SigactionHandler(
        handler=ctypes.cast(handler, ctypes.c_void_p).value, flags=signal_flags()
    )
    libc = ctypes.CDLL(None)
    assert libc.sigaction(signal.SIGSYS, ctypes.byref(action), None) == 0
    install(uapi.SECCOMP_RET_TRAP | data)
    libc.syscall(ctypes.c_long(NR.getppid))
    return seen[0]


def signal_flags() -> int:
    """SA_SIGINFO."""
    return 4


def test_trap_delivers_its_data(install: Install) -> None:
    """SECCOMP_RET_TRAP raises SIGSYS with data, system call and architecture in its siginfo."""
    assert child.run(lambda: trapped(install, 0x1234)) == (0x1234, NR.getppid, NR.audit)


def test_trace_without_a_tracer_is_enosys(install: Install) -> None:
    """SECCOMP_RET_TRACE fails with ENOSYS if nobody traces."""
    assert outcome(install, uapi.SECCOMP_RET_TRACE) == "ENOSYS"


def test_trace_stops_for_the_tracer(install: Install) -> None:
    """SECCOMP_RET_TRACE stops in PTRACE_EVENT_SECCOMP with its data as message."""

    def tracee() -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        install(uapi.SECCOMP_RET_TRACE | 0x5678)
        seccomp.getppid()

    def tracer() -> tuple[int, int]:
        with child.running(tracee) as pid:
            os.waitpid(pid, os.WUNTRACED)
            ptrace(uapi.PTRACE_SEIZE, pid, 0, uapi.PTRACE_O_TRACESECCOMP | uapi.PTRACE_O_EXITKILL)
            os.kill(pid, signal.SIGCONT)
            while True:
                _, status = os.waitpid(pid, 0)
                assert os.WIFSTOPPED(status)
                if status >> 8 == signal.SIGTRAP | uapi.PTRACE_EVENT_SECCOMP << 8:
                    break
                # The group stop, and SIGCONT on its way.
                stop = os.WSTOPSIG(status)
                pass_on = 0 if status >> 16 else stop
                ptrace(uapi.PTRACE_CONT, pid, 0, pass_on)
            message = seccomp.event_message(pid)
            ptrace(uapi.PTRACE_CONT, pid)
            _, status = os.waitpid(pid, 0)
            return message, os.WEXITSTATUS(status)

    assert child.run(tracer) == (0x5678, 0)


def test_notification_without_a_listener_is_enosys(install: Install) -> None:
    """SECCOMP_RET_USER_NOTIF fails with ENOSYS if nobody listens."""
    assert outcome(install, uapi.SECCOMP_RET_USER_NOTIF) == "ENOSYS"


def notified(
    install: Callable[[int, int], int], respond: Callable[[int, seccomp.Notification], None]
) -> str:
    """What getppid() comes to if a listener in another thread answers."""

    def case() -> str:
        # Asked before the filter: afterwards every getppid() waits for an answer.
        parent = os.getppid()
        ready = threading.Event()
        box: list[int] = []

        def listen() -> None:
            ready.wait(10)
            respond(box[0], seccomp.receive(box[0]))

        thread = threading.Thread(target=listen)
        thread.start()
        box.append(install(uapi.SECCOMP_RET_USER_NOTIF, uapi.SECCOMP_FILTER_FLAG_NEW_LISTENER))
        ready.set()
        try:
            result = seccomp.getppid()
            text = "parent" if result == parent else str(result)
        except OSError as error:
            text = errname(error.errno or 0)
        thread.join(10)
        return text

    return child.run(case)


ANSWERS: dict[str, Callable[[int, seccomp.Notification], None]] = {
    "4711": lambda fd, to: seccomp.respond(fd, to, value=4711),
    "EDOM": lambda fd, to: seccomp.respond(fd, to, error=errno.EDOM),
    "parent": lambda fd, to: seccomp.respond(fd, to, flags=uapi.SECCOMP_USER_NOTIF_FLAG_CONTINUE),
}


@pytest.mark.parametrize("expected", list(ANSWERS))
@pytest.mark.parametrize("kind", [extended, classic], ids=["ebpf", "cbpf"])
def test_a_listener_answers(kind: Callable[[int, int], int], expected: str) -> None:
    """SECCOMP_RET_USER_NOTIF takes a value, an errno, or leave to go on, from the listener."""
    assert notified(kind, ANSWERS[expected]) == expected


@pytest.mark.parametrize(
    ("wide", "expected"),
    [
        ((1 << 32) | uapi.SECCOMP_RET_ALLOW, "parent"),
        ((0xDEADBEEF << 32) | uapi.SECCOMP_RET_ERRNO | errno.EDOM, "EDOM"),
    ],
    ids=["allow", "errno"],
)
def test_only_the_lower_half_of_the_answer_counts(wide: int, expected: str) -> None:
    """A 64-bit return value is cut to 32 bits before it is interpreted."""

    def install(answer: int) -> int:
        no_new_privs()
        return seccomp.install(
            prog_load(on_syscall(NR.getppid, imm64(R0, answer), exit_())),
        )

    assert outcome(install, wide) == expected


def test_a_computed_answer_is_cut_too() -> None:
    """Bits that a shift pushed above 32 do not matter."""

    def install(_: int) -> int:
        program = on_syscall(
            NR.getppid,
            mov(R0, 1),
            alu("lsh", R0, 40),
            imm64(R2, uapi.SECCOMP_RET_ERRNO | errno.EDOM),
            alu_reg("or", R0, R2),
            exit_(),
        )
        no_new_privs()
        return seccomp.install(prog_load(program))

    assert outcome(install, 0) == "EDOM"


def test_a_denied_call_can_be_told_from_a_failed_one() -> None:
    """The filter's errno reaches the caller unchanged, also for numbers libc does not know."""

    def case() -> int:
        extended(uapi.SECCOMP_RET_ERRNO | 3999)
        return errno_of(NR.getppid)

    assert child.run(case) == 3999
