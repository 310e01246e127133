"""Benchmarks over long, lossy and changing links, between two network namespaces of this machine (Linux, as root)."""
