"""One command that measures a CUDA machine and proves exactness there."""
