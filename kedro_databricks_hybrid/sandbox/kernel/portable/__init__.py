"""Kernels without namespaces: a library, loaded before the C library, shows them their folders."""
