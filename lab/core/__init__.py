# SPDX-License-Identifier: MIT
"""No kernel, no git, no apt: processes, cache and locks, terminal, time."""
