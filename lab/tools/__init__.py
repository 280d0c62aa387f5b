# SPDX-License-Identifier: MIT
"""About the lab itself."""
