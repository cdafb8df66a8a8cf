"""The time of a forward pass."""
