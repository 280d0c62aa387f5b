# SPDX-License-Identifier: MIT
"""The kernel's own selftests as a gate: built from the patched tree, run on base and series."""
