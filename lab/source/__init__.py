# SPDX-License-Identifier: MIT
"""Base, series, tree: all that is git or mail."""
