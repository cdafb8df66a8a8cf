"""Units of quantities."""

MIB = 2**20  # bytes
