# SPDX-License-Identifier: MIT
"""A run directory, written and read back."""
