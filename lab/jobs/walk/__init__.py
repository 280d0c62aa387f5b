# SPDX-License-Identifier: MIT
"""The series patch by patch.

``steps`` says what is to be done and checks and builds a step; ``guests`` tests steps beside the
builds; ``run`` is a whole walk with its directory and verdict.
"""
