# SPDX-License-Identifier: MIT
"""This machine, and what it can bring."""
