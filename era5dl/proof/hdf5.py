"""Structure check of HDF5 (netCDF-4) files: compares the size of a file with the end address in its superblock.

It detects a truncated file in a millisecond and without a library, but no damage in the middle of a file.
"""

from __future__ import annotations

from era5dl.hdf5.superblock import MAX_SIZE, end_of_file_address
from era5dl.proof.object_digest import Read


def structure_error(name: str, size: int, read: Read) -> str:
    """Return why a file with this name and size (bytes) is not a complete netCDF-4 file; "" if no error was found.

    read: reads from the file.
    """
    head = read(0, min(MAX_SIZE, size))
    expected = end_of_file_address(head)
    if expected is None:
        return "it is not an HDF5 file" if name.endswith(".nc") and not head.startswith(b"CDF") else ""
    return "" if expected == size else f"it has {size} bytes, but {expected} according to its header"
