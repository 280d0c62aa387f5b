# SPDX-License-Identifier: MIT
"""`lab compare`: what changed between two runs.

``changes`` is what a change is, ``comparison`` compares what was run, results and times, and
``figures`` benchmarks and sizes.
"""
