"""Benchmark of era5dl beside other programs: `python -m tests.benchmarks.speed --help`."""
