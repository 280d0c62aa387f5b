# SPDX-License-Identifier: MIT
"""What fills a run."""
