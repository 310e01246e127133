"""Index of an HDF5 (netCDF-4) file: its variables, their attributes, and where each chunk of data is.

`read_index` reads bytes in memory and raises MissingBytes with the ranges that it needs in addition. A file of the
bucket takes two or three rounds of requests: for its front and its end, then for the nodes of the data variable's
B-tree, which are between the chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import le

from era5dl.hdf5.attributes import Attribute, read_attributes
from era5dl.hdf5.groups import read_links
from era5dl.hdf5.object_header import read_messages
from era5dl.hdf5.sparse_bytes import DamagedFile, MissingBytes, MissingRanges, SparseBytes
from era5dl.hdf5.superblock import read_superblock
from era5dl.hdf5.variable import Variable, check_variable, read_variable
from era5dl.ranges import Range

_FIRST_REQUEST = 1 << 16  # bytes at the front, and at the end


@dataclass(frozen=True, slots=True)
class Index:
    """The index of a file of `size` bytes. attributes: those of the file itself."""

    size: int
    variables: dict[str, Variable]
    attributes: dict[str, Attribute]


def first_ranges(size: int) -> list[Range]:
    """Return the ranges to fetch before anything is known of a file of `size` bytes.

    NCO, which wrote the bucket's files, puts all headers at the front and the coordinates near the end.
    """
    if size <= 2 * _FIRST_REQUEST:
        return [(0, size)]
    return [(0, _FIRST_REQUEST), (size - _FIRST_REQUEST, size)]


def read_index(source: SparseBytes) -> Index:
    """Return the index of a file, some of whose bytes are in `source`.

    Raises MissingBytes as long as needed bytes are missing, DamagedFile if this cannot be a complete HDF5 file, and
    UnsupportedLayout if the file has to be fetched whole, for example because its index takes too many requests.
    """
    try:
        return _read_index(source)
    except MissingBytes as error:
        source.budget.count_round(error.ranges)
        raise


def complete_index(source: SparseBytes, fetch: Callable[[list[Range]], None], first: list[Range]) -> Index:
    """Return the index of a file; fetch what is missing. Raises DamagedFile, UnsupportedLayout, and errors of `fetch`.

    fetch: adds these ranges to `source`. first: ranges to begin with, `first_ranges` unless `source` has bytes already.
    """
    missing = first
    while True:  # ends: `read_index` limits the number of rounds and of bytes
        fetch(missing)
        try:
            return read_index(source)
        except MissingBytes as error:
            missing = error.ranges


def _read_index(source: SparseBytes) -> Index:
    superblock = read_superblock(source)
    if superblock.end != source.size:
        raise DamagedFile(f"it has {source.size} bytes, but {superblock.end} according to its header")
    root = read_messages(source, superblock, superblock.root)
    links = read_links(source, superblock, root)
    missing = MissingRanges()
    attributes = missing.attempt(read_attributes, source, superblock, root)
    found = [missing.attempt(read_variable, source, superblock, name, address) for name, address in links.items()]
    missing.raise_if_any()
    variables = {variable.name: variable for variable in found if variable is not None}
    index = Index(source.size, variables, attributes or {})
    _check_disjoint(index)
    return index


def check_index(index: Index) -> None:
    """Repeat the checks of the reader for an index from another source. Raises DamagedFile, UnsupportedLayout."""
    for variable in index.variables.values():
        check_variable(variable, index.size)
    _check_disjoint(index)


def _check_disjoint(index: Index) -> None:
    """Check that the byte ranges of all data are disjoint. Raises DamagedFile."""
    ranges = [place for variable in index.variables.values() for place in variable.raw_data()]
    starts, stops = (sorted(edges) for edges in zip(*ranges, strict=True)) if ranges else ([], [])
    # Ranges are disjoint if, with all starts and all stops sorted, each stop is at or before the next start
    if not all(map(le, stops, starts[1:])):
        raise DamagedFile("data in it overlap")
