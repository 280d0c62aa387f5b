# SPDX-License-Identifier: MIT
"""What the series adds to a kernel: bytes of code and data, and stack."""
