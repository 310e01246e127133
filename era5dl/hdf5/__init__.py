"""HDF5 index reader: finds the chunks of a netCDF-4 file from a few of its bytes. Standard library only, no I/O.

It reads what netCDF-C and NCO write into the bucket's files: superblock versions 0 to 3, object headers 1 and 2,
attributes in headers and in fractal heaps, data layout 3 (contiguous, compact, or chunks in a version 1 B-tree).
Anything else raises UnsupportedLayout. Nothing read is trusted: addresses must be within the file, counts are limited,
trees have no cycles, checksums must be right, and the work for one file has a budget.
"""

from era5dl.hdf5.attributes import Attribute
from era5dl.hdf5.chunk_table import Chunk, DamagedChunk
from era5dl.hdf5.index import Index, complete_index, first_ranges, read_index
from era5dl.hdf5.messages import Datatype, Filter
from era5dl.hdf5.sparse_bytes import DamagedFile, MissingBytes, SparseBytes, UnsupportedLayout
from era5dl.hdf5.variable import Variable

__all__ = [
    "Attribute",
    "Chunk",
    "DamagedChunk",
    "DamagedFile",
    "Datatype",
    "Filter",
    "Index",
    "MissingBytes",
    "SparseBytes",
    "UnsupportedLayout",
    "Variable",
    "complete_index",
    "first_ranges",
    "read_index",
]
