# SPDX-License-Identifier: MIT
"""Random seccomp filters against a kernel in a guest.

The programs are made and run by ``selftests/native/fuzz.c`` in the guest; each is a function of
seed and index. ``guest`` runs it there, ``campaign`` is a whole run with its directory and verdict,
``outcomes`` sorts what the verifier says, ``case`` is a finding's program and what is beside it,
``minimise`` makes it small, ``locate`` finds the program that a splat or a lost guest was about.
"""
