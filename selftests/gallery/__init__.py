# SPDX-License-Identifier: MIT
"""What eBPF filters are for: filters that can be read, run and tried, one module each.

``NAME.bpf.c`` is the filter, ``NAME.py`` loads it and says what it is good for and what an attacker
can still do, ``test_NAME.py`` is its selftest. All are installed with ``no_new_privs``.
"""
