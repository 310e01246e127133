"""Fetch ERA5 reanalysis files from NSF NCAR's public S3 bucket, every byte proven."""

__version__ = "0.1.0"
