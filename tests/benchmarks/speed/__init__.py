"""era5dl beside its peers: `python -m tests.benchmarks.speed --help`."""
