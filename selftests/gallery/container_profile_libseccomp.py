# SPDX-License-Identifier: MIT
"""The same profile through libseccomp, as a container's runtime hands it over: classic BPF."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from selftests.gallery import calls
from selftests.gallery.container_profile_json import OPERATORS, Profile, Rule


class Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def compiled(profile: Profile) -> bytes:
    """The filter, an array of ``struct sock_filter``. Raises OSError if libseccomp refuses."""
    library = calls.library()
    with _context(profile.default) as context:
        for arch in profile.arches[1:]:
            token = ctypes.c_uint32(calls.arch_token(arch))
            _check(library.seccomp_arch_add(context, token), f"seccomp_arch_add of {arch}")
        for rule in profile.rules:
            _add(context, rule)
        fd = os.memfd_create("seccomp")
        with os.fdopen(fd, "rb") as file:
            _check(library.seccomp_export_bpf(context, fd), "seccomp_export_bpf")
            file.seek(0)
            return file.read()


@contextmanager
def _context(default: int) -> Iterator[ctypes.c_void_p]:
    """A filter that is being made; the machine's own architecture is in it."""
    library = calls.library()
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    if not context:
        raise OSError(f"seccomp_init does not take {default:#x}")
    try:
        yield context
    finally:
        library.seccomp_release(context)


def _add(context: ctypes.c_void_p, rule: Rule) -> None:
    library = calls.library()
    number = library.seccomp_syscall_resolve_name(rule.name.encode())
    if number == -1:
        # As runtimes do with a name that their libseccomp does not know.
        return
    comparisons = (Comparison * max(1, len(rule.conditions)))()
    for place, one in zip(comparisons, rule.conditions, strict=False):
        place.arg, place.op = one.index, OPERATORS[one.operator]
        masked = one.operator == "SCMP_CMP_MASKED_EQ"
        place.datum_a, place.datum_b = (one.mask, one.value) if masked else (one.value, 0)
    error = library.seccomp_rule_add_array(
        context, ctypes.c_uint32(rule.action), number, len(rule.conditions), comparisons
    )
    _check(error, f"seccomp_rule_add_array of {rule.name} in {rule.entry}")


def _check(error: int, what: str) -> None:
    if error < 0:
        raise OSError(-error, f"{what}: {os.strerror(-error)}")
