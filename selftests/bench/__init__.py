# SPDX-License-Identifier: MIT
"""`lab bench` in the guest: runs the rows of a plan, round by round, and tells each sample.

``filters`` are the policies, ``measure`` runs native/bench.c for a row, ``__main__`` goes through
the plan. What the rows are, and what is made of the samples, is the lab's to say (lab/benchmark/).
"""
