# SPDX-License-Identifier: MIT
"""From a run to text, KTAP, JUnit, HTML, and a comparison with another."""
