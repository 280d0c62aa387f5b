# SPDX-License-Identifier: MIT
"""From a plan and its kernel to the guest that boots it: accelerator, limits, memory."""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab.core.deadline import Limits, calibrate
from lab.core.session import Session
from lab.guest import kvm
from lab.guest.boot import EXITED, run_guest
from lab.guest.kvm import KvmResult
from lab.guest.launch import GuestRequest
from lab.guest.script import GuestCommand
from lab.kernel.pipeline import Kernel
from lab.kernel.plan import Plan

KVM, TCG = "kvm", "tcg"

REASON_WIDTH = 120
"""Characters of the reason why there is no KVM; QEMU can be lengthy. `lab doctor` has it whole."""


@dataclass(frozen=True)
class Accelerator:
    """What runs the guest's instructions, and why. ``untold``: nobody knows yet whether the kernel
    or KVM is to blame that it did not sign on under KVM.
    """

    name: str
    reason: str
    untold: bool = False


@dataclass(frozen=True)
class Wish:
    """What a job or its caller wants otherwise. ``limits`` are the caller's, in seconds by name;
    ``own`` those of the job, where the caller has none. ``memory``: MiB at least. ``crowded``:
    other guests or builds want the host's processors.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0
    crowded: bool = False


@dataclass(frozen=True)
class Ready:
    """A guest that can be booted."""

    session: Session
    plan: Plan
    request: GuestRequest
    accelerator: Accelerator

    def elsewhere(self, directory: Path) -> Ready:
        """The same guest, with its streams in another directory."""
        request = replace(self.request, run_dir=directory, name=guest_name(directory))
        return replace(self, request=request)

    def within(self, limits: Limits) -> Ready:
        """The same guest, with other limits."""
        return replace(self, request=replace(self.request, limits=limits))


def prepare(
    session: Session, plan: Plan, kernel: Kernel, directory: Path, wish: Wish | None = None
) -> Ready:
    """The guest of a plan; its streams go to ``directory``.

    Raises LabError if the launcher cannot be started.
    """
    wish = wish or Wish()
    profile = plan.profile
    request = GuestRequest(
        image=kernel.build.image,
        arch=plan.arch,
        accelerator=TCG,
        cpus=profile.cpus,
        memory=max(wish.memory, profile.configuration.memory),
        kernel_args=profile.kernel_args,
        run_dir=directory,
        name=guest_name(directory),
        limits=Limits(),
    )
    accelerator = choose(session, plan, request)
    request = replace(
        request,
        accelerator=accelerator.name,
        limits=limits_of(plan, accelerator.name, {**wish.own, **wish.limits}),
        # With fewer host CPUs than vCPU threads, a vCPU spins on a lock whose holder is not
        # scheduled.
        one_thread=wish.crowded and accelerator.name == TCG,
    )
    return Ready(session, plan, request, accelerator)


def guest_name(directory: Path) -> str:
    """Guests that run at the same time are told apart, in ps as well."""
    return f"lab-{directory.name[-40:].replace('.', '-')}"


def limits_of(plan: Plan, accelerator: str, overrides: Mapping[str, float]) -> Limits:
    """The limits of a plan's guests."""
    slowness = plan.profile.configuration.slowness * plan.profile.patience
    return calibrate(accelerator, plan.arch.native, slowness).override(overrides)


def choose(session: Session, plan: Plan, request: GuestRequest) -> Accelerator:
    """KVM if a guest has been seen to run under it, else emulation, which is said aloud."""
    if not plan.arch.native:
        return Accelerator(TCG, f"{plan.arch.name} is foreign to this host")
    known = kvm.remembered(session.cache, plan.arch.qemu)
    result = known or _try(session, plan, request)
    if result.works:
        return Accelerator(KVM, result.reason)
    reason = textwrap.shorten(result.reason, REASON_WIDTH, placeholder=" ...")
    session.ui.say(f"no KVM, so the guest is emulated, which is slow: {reason}")
    return Accelerator(TCG, reason, untold=known is None and not kvm.closed())


def _try(session: Session, plan: Plan, request: GuestRequest) -> KvmResult:
    """Boot the kernel under KVM, for nothing but to see it sign on."""
    if why := kvm.closed():
        return KvmResult(False, why)
    seconds = kvm.SIGN_ON_SECONDS * plan.profile.configuration.slowness
    with (
        session.cache.lock("kvm", "trying KVM", session.ui.say),
        tempfile.TemporaryDirectory(prefix="seccomp-lab-kvm-") as scratch,
    ):
        known = kvm.remembered(session.cache, plan.arch.qemu)
        if known is not None:
            return known
        session.ui.say(f"trying KVM: the guest has {seconds:g} s to sign on")
        trial = replace(
            request,
            accelerator=KVM,
            run_dir=Path(scratch),
            name=guest_name(Path(scratch)),
            limits=Limits(silence=seconds, boot=seconds, total=4 * seconds),
        )
        end = run_guest(trial, GuestCommand(("true",), Path("/"), {}))
        if end.outcome == EXITED:
            result = KvmResult(True, "a guest ran")
            kvm.remember(session.cache, plan.arch.qemu, result)
            return result
    return KvmResult(False, f"{kvm.DEVICE} opens, but: {end.detail}")
