"""What the series adds to a kernel: bytes of code and data, and stack."""
