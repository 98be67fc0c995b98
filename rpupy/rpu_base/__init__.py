"""Core tiles and the compiled kernels below them, one module for each backend."""
