# SPDX-License-Identifier: MIT
"""The command line: click only, no logic."""
