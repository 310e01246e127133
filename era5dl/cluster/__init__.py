"""One download on several computers with a shared folder: Dask, SLURM and other batch systems. See `session.blocks`."""
