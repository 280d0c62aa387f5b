# SPDX-License-Identifier: MIT
"""One guest: launched, watched, its console scanned."""
