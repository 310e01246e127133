"""Archives: what a folder of ERA5 files has, what lacks, a manifest of it, and how to cite the data."""
