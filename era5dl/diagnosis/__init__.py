"""Diagnosis: metrics of a run, the rules that explain them, and a network test of the way to the bucket."""
