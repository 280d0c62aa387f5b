# SPDX-License-Identifier: MIT
"""What the tests are written with: standard library only, since foreign guests have no more.

``uapi`` numbers, ``sys`` system calls, ``asm`` instructions, ``bpf`` programs and maps, ``seccomp``
filters, ``child`` processes that live for one case, ``privileges`` sysctls and capabilities,
``objects`` filters in C through libbpf, ``features`` what the kernel has, ``patches`` what of the
series a test proves.
"""
