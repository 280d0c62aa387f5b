# SPDX-License-Identifier: MIT
"""What a reviewer's tools say of each patch: style, sign-off, documentation, warnings."""
