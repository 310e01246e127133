"""Folders of ERA5 files as one lazy `xarray.Dataset`, and its export to one netCDF or zarr file.

`open_folder` opens a folder. `files` finds the files of each variable, `time_axis` the hours of the data set, `places`
its levels and grid, `arrays` reads values when they are needed. `export` writes the data set month by month. All of it
needs xarray and h5py (the extra "xarray").
"""

from types import ModuleType

from era5dl.errors import UsageError

INSTALL = 'pip install "era5dl[xarray]"'


def import_opener() -> ModuleType:
    """Return `era5dl.dataset.open_folder`. Raises UsageError, with the install command, if xarray is missing."""
    try:
        from era5dl.dataset import open_folder
    except ImportError:
        raise UsageError("Opening files as a data set needs xarray, which is not installed.", remedy=INSTALL) from None
    return open_folder
