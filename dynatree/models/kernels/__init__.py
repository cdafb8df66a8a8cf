"""Compiled kernels for float32 models on a CPU."""
