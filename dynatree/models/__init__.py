"""A model and its forward pass."""
