# SPDX-License-Identifier: MIT
"""From fragments to a kernel: Kconfig, toolchain, build, and what is built beside it."""
