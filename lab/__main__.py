# SPDX-License-Identifier: MIT
"""``python -m lab``."""

from lab.cli.app import main

if __name__ == "__main__":
    main()
