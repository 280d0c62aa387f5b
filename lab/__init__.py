# SPDX-License-Identifier: MIT
"""The lab: from a patch series and a base tree to a verdict on a booted kernel."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The checkout: holds ``patches/``, ``kconfigs/`` and ``selftests/`` beside this package."""
