"""HDF5 chunk table: where each chunk of a dataset is in the file, from a version 1 B-tree.

Source: HDF5 File Format Specification 3.0, section III.A.1 (node type 1). These nodes have no checksum. Therefore the
table is accepted only if it has exactly one chunk for each position in the dataset's grid of chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import product
from math import prod
from operator import add
from struct import calcsize, iter_unpack
from typing import NamedTuple, cast

from era5dl.hdf5.field_reader import FieldReader
from era5dl.hdf5.messages import Layout
from era5dl.hdf5.sparse_bytes import DamagedFile, MissingBytes, SparseBytes, UnsupportedLayout
from era5dl.hdf5.superblock import Superblock
from era5dl.ranges import Range

_CHUNK_NODE = 1
_MAX_CHUNKS = 1 << 14  # of one dataset; those in the bucket have about 1000
_MAX_CHUNK_SIZE = 1 << 29  # bytes after decompression; the largest in the bucket have 154 MB
_MAX_ENTRIES = 1024  # of one node
_DEFAULT_ENTRIES = 64  # of one node, unless the file was made with another setting; guides how much is fetched


class Chunk(NamedTuple):
    """A chunk in the file. origin: indices of its first element. Bit i of filter_mask: filter i was not applied."""

    origin: tuple[int, ...]
    offset: int
    size: int
    filter_mask: int

    @property
    def range(self) -> Range:
        """The byte range [start, stop) in the file."""
        return self.offset, self.offset + self.size


class DamagedChunk(DamagedFile):
    """A chunk with a wrong checksum or size. range: its bytes in the file, to be fetched again."""

    def __init__(self, chunk: Chunk, reason: str) -> None:
        super().__init__(f"the chunk at {chunk.origin} is damaged: {reason}")
        self.range = chunk.range


def read_chunk_table(
    source: SparseBytes, superblock: Superblock, shape: tuple[int, ...], layout: Layout
) -> tuple[Chunk, ...]:
    """Return the chunks of a dataset of this shape, in the order of their origins.

    A dataset without storage has no chunks. Raises DamagedFile, UnsupportedLayout, and MissingBytes with the byte
    ranges of all nodes whose addresses are known.
    """
    if layout.chunk_shape is None or layout.chunk_tree is None:
        return ()
    grid = _grid(shape, layout)
    chunks = sorted(_ChunkTree(source, superblock, len(shape), prod(grid)).read(layout.chunk_tree))
    if tuple(chunk.origin for chunk in chunks) != _origins(grid, layout.chunk_shape):
        raise _incomplete(chunks, layout.chunk_shape, grid)
    return tuple(chunks)


def chunks_in_order(
    shape: tuple[int, ...],
    layout: Layout,
    offsets: Sequence[int],
    sizes: Sequence[int],
    masks: Sequence[int],
    file_size: int,
) -> tuple[Chunk, ...]:
    """Return the chunks of a dataset from their saved offsets, sizes and filter masks, all in the order of the origins.

    Raises DamagedFile if their number differs from that of the grid, or if one is not within the file.
    """
    origins: Sequence[tuple[int, ...]] = ()
    if layout.chunk_shape is not None and layout.chunk_tree is not None:
        origins = _origins(_grid(shape, layout), layout.chunk_shape)
    if not len(origins) == len(offsets) == len(sizes) == len(masks):
        raise DamagedFile("a variable in it does not have all of its chunks")
    if origins and (min(sizes) < 1 or max(map(add, offsets, sizes)) > file_size):
        raise DamagedFile("a chunk in it is not within the file")
    return tuple(map(_new_chunk, zip(origins, offsets, sizes, masks, strict=True)))


_new_chunk = cast("Callable[[Iterable[object]], Chunk]", partial(tuple.__new__, Chunk))  # four times as fast as Chunk()


@lru_cache(maxsize=8)
def _origins(grid: tuple[int, ...], chunk_shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(product(*(range(0, count * edge, edge) for count, edge in zip(grid, chunk_shape, strict=True))))


def _grid(shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Return the number of chunks in each dimension. Raises DamagedFile, UnsupportedLayout."""
    chunk_shape = layout.chunk_shape or ()
    if len(chunk_shape) != len(shape):
        raise DamagedFile("the chunks of a variable in it have an invalid shape")
    if prod(chunk_shape) * layout.element_size > _MAX_CHUNK_SIZE:
        raise UnsupportedLayout("very large chunks")
    grid = tuple(-(-length // edge) for length, edge in zip(shape, chunk_shape, strict=True))
    if prod(grid) > _MAX_CHUNKS:
        raise UnsupportedLayout("very many chunks")
    return grid


def _incomplete(
    chunks: list[Chunk], chunk_shape: tuple[int, ...], grid: tuple[int, ...]
) -> DamagedFile | UnsupportedLayout:
    """Return the error for chunks that do not cover every position of the grid exactly once."""
    origins = {chunk.origin for chunk in chunks}
    if not origins <= set(_origins(grid, chunk_shape)):
        return DamagedFile("a chunk in it has an impossible origin")
    if len(origins) != len(chunks):
        return DamagedFile("it contains a chunk twice")
    return UnsupportedLayout("a variable with chunks that were never written")


class _ChunkTree:
    """A version 1 B-tree of the chunks of a dataset with `rank` dimensions and at most `limit` chunks."""

    def __init__(self, source: SparseBytes, superblock: Superblock, rank: int, limit: int) -> None:
        self._source = source
        self._superblock = superblock
        self._limit = limit
        self._head_size = 8 + 2 * superblock.offset_width
        key_format = f"<II{rank}QQ"  # size, filter mask, origin, and the offset within an element, which is 0
        self._entry_format = key_format + ("Q" if superblock.offset_width == 8 else "I")  # and an address
        self._key_size = calcsize(key_format)
        self._step = calcsize(self._entry_format)

    def read(self, root: int) -> list[Chunk]:
        """Return all chunks. Raises MissingBytes with the byte ranges of all nodes whose addresses are known."""
        found: list[Chunk] = []
        missing: list[Range] = []
        waiting: list[tuple[int, int | None]] = [(root, None)]  # address and expected level
        visited: set[int] = set()
        while waiting:
            address, level = waiting.pop()
            if address in visited or len(visited) > 2 * self._limit:
                raise DamagedFile("a B-tree refers to itself, or is too large")
            visited.add(address)
            try:
                node_level, chunks, children = self._read_node(address)
            except MissingBytes as error:
                size = self._head_size + _DEFAULT_ENTRIES * self._step + self._key_size
                stop = max(min(address + size, self._source.size), *(stop for _, stop in error.ranges))
                missing.append((address, stop))
                continue
            if level is not None and node_level != level:
                raise DamagedFile("a B-tree node is at the wrong level")
            found += chunks
            waiting += [(child, node_level - 1) for child in children]
            if len(found) > self._limit:
                raise DamagedFile("a variable in it has too many chunks")
        if missing:
            raise MissingBytes(missing)
        return found

    def _read_node(self, address: int) -> tuple[int, list[Chunk], list[int]]:
        """Return a node's level with its chunks (a leaf, level 0), or with the addresses of its children."""
        fields = FieldReader(self._source.get(address, self._head_size), self._superblock)
        fields.signature(b"TREE")
        kind, level, count = fields.integer(1), fields.integer(1), fields.integer(2)
        if kind != _CHUNK_NODE or not 0 < count <= _MAX_ENTRIES:
            raise DamagedFile("a B-tree node is missing")
        self._source.budget.spend(0, count)
        entries = self._source.get(address + self._head_size, count * self._step)
        chunks, children = [], []
        for size, filter_mask, *origin, element_offset, child in iter_unpack(self._entry_format, entries):
            if level:
                children.append(child)
            elif element_offset or not size or child + size > self._source.size:
                raise DamagedFile("a chunk in it is not within the file")
            else:
                chunks.append(Chunk(tuple(origin), child, size, filter_mask))
        return level, chunks, children
