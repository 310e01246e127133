"""Benchmarks: run each with `python -m tests.benchmarks.NAME --help`. RESULTS.md has what was measured."""
