"""Subsets of files: hours, levels, an area or points of ERA5 files, as small netCDF-4 files of their own.

Only the HDF5 chunks that contain selected elements are needed. `selection` is what the user asks for, `estimate`
predicts the amount of data, `geometry` and `ranges` compute the byte ranges from the index of a file. These need only
the standard library; `decode` and `write`, which write the file from the fetched chunks, need NumPy and h5py (the extra
"subset"). `era5dl.engine.subset_file` and `era5dl.engine.subset_output` do all of this for one object of a
download; `era5dl.engine.crop` does it for an object that is fetched whole.

`merge` and the modules named after it join downloaded files of one variable in time; `find_parts` finds such files.
"""

from types import ModuleType

from era5dl.errors import UsageError

INSTALL = 'pip install "era5dl[subset]"'


def import_writer() -> ModuleType:
    """Return `era5dl.subset.write`. Raises UsageError, with the install command, if h5py is missing."""
    try:
        from era5dl.subset import write
    except ImportError:
        raise UsageError("Subsets of files need h5py, which is not installed.", remedy=INSTALL) from None
    return write
