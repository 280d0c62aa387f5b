# SPDX-License-Identifier: MIT
"""`lab bench`: what a filter costs, measured in a guest.

``tables`` says what is measured, a row of data each; ``figures`` makes medians, spreads and ratios
of samples; ``result`` makes tables of what guests have told, and their text; ``model`` is
bench.json, written and read; ``run`` is a whole run with its directory and verdict; ``compare`` is
the base against the series, boot by boot. In the guest ``selftests.bench`` goes through the plan,
and ``selftests/native/bench/`` holds the loops.
"""
