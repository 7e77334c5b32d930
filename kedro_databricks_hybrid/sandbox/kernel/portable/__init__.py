"""Kernels without namespaces: a library that is loaded before the C library translates their paths."""
