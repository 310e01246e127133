"""Reads parts of a variable of an HDF5 file, and keeps decoded chunks in memory.

A chunk has many fields: 27 hours of a part of the grid, or all 37 levels of an hour. Kept decoded, the next hour or
level is shown at once. Nothing of the file is trusted: sizes are limited, and each chunk is verified by its checksum.
h5py is not used, because a damaged file can end the whole program in libhdf5, and because it decodes one chunk at a
time.
"""

from __future__ import annotations

import math
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from era5dl.errors import Stopped
from era5dl.hdf5 import Chunk, DamagedChunk, DamagedFile, UnsupportedLayout, Variable
from era5dl.hdf5.filters import DEFLATE, SHUFFLE, decode_chunk
from era5dl.subset.find_parts import read_bytes

CACHE_BYTES = 320 << 20  # a field of a surface file needs 150 MB, a chunk of a pressure-level file 154 MB
_STEP = 1 << 20  # bytes in the file that are inflated at a time
MAX_ELEMENTS = 1 << 24  # that are read at a time: 16 global fields

Part = Sequence[range]
"""Indices of each dimension, without gaps."""


class ChunkCache:
    """Decoded chunks of one open file, the last used ones, `limit` bytes at most."""

    def __init__(self, file: FileIO, limit: int = CACHE_BYTES) -> None:
        self._file, self._limit = file, limit
        self._chunks: OrderedDict[tuple[str, tuple[int, ...]], _Decoded] = OrderedDict()
        self._lock = threading.Lock()  # of the position in the file

    @property
    def size(self) -> int:
        """Bytes of all chunks in memory."""
        return sum(len(chunk.data) for chunk in self._chunks.values())

    def read(self, variable: Variable, part: Part, cancelled: Callable[[], bool] = lambda: False) -> NDArray[Any]:
        """Return these elements. Raises DamagedFile, UnsupportedLayout, OSError, and Stopped when cancelled."""
        shape = tuple(len(indices) for indices in part)
        if math.prod(shape) > MAX_ELEMENTS:
            raise UnsupportedLayout(f"too many values in the variable {variable.name}")
        if not variable.chunks:
            return self._read_contiguous(variable, part)
        needed = self.load(variable, part, cancelled)
        edges = variable.layout.chunk_shape or ()
        found = np.empty(shape, variable.datatype.name)
        filled = 0
        for chunk in needed:
            inner = [
                range(max(one.start, at) - at, min(one.stop, at + edge) - at)
                for one, at, edge in zip(part, chunk.origin, edges, strict=True)
            ]
            values = self._chunks[variable.name, chunk.origin].take(inner)
            place = tuple(
                slice(at + one.start - whole.start, at + one.stop - whole.start)
                for one, at, whole in zip(inner, chunk.origin, part, strict=True)
            )
            found[place] = values
            filled += values.size
        if filled != found.size:  # memory that was not decoded must never be shown
            raise DamagedFile("its chunks are not complete")
        return found

    def load(self, variable: Variable, part: Part, cancelled: Callable[[], bool]) -> list[Chunk]:
        """Decode the chunks that have these elements, and return them. Raises the same errors as `read`."""
        edges = variable.layout.chunk_shape or ()
        needed = [chunk for chunk in variable.chunks if _overlaps(chunk.origin, edges, part)]
        if len(needed) * variable.chunk_size > max(self._limit, variable.chunk_size):
            raise UnsupportedLayout(f"chunks that are too large for a field of {variable.name}")
        self._load(variable, needed, cancelled)
        return needed

    def _read_contiguous(self, variable: Variable, part: Part) -> NDArray[Any]:
        """Return elements of a variable without chunks. Only the bytes of these indices of the outer dimensions are
        read."""
        place, inline = variable.layout.contiguous, variable.layout.inline
        size, shape = variable.datatype.size, variable.shape
        if inline is not None:
            whole = np.frombuffer(inline, variable.datatype.name, math.prod(shape))
            return whole.reshape(shape)[np.ix_(*part)]
        if place is None:
            raise UnsupportedLayout(f"no values of {variable.name}")
        split = len(shape) - 1  # the dimensions after this one are read completely
        while split and len(part[split]) == shape[split]:
            split -= 1
        width = math.prod(shape[split + 1 :])
        rows = []
        for outer in product(*part[:split]):
            row = 0
            for index, length in zip((*outer, part[split].start), shape, strict=False):
                row = row * length + index
            rows.append(read_bytes(self._file, place[0] + row * width * size, len(part[split]) * width * size))
        return np.frombuffer(b"".join(rows), variable.datatype.name).reshape([len(indices) for indices in part])

    def _load(self, variable: Variable, needed: Iterable[Chunk], cancelled: Callable[[], bool]) -> None:
        """Decode the chunks that are not in memory, and forget those that were used the longest time ago."""
        absent = []
        for chunk in needed:
            key = variable.name, chunk.origin
            if key in self._chunks:
                self._chunks.move_to_end(key)
            else:
                absent.append(chunk)
        keep = self._limit - len(absent) * variable.chunk_size
        while self._chunks and self.size > keep:
            self._chunks.popitem(last=False)

        def decode(chunk: Chunk) -> _Decoded:
            if cancelled():
                raise Stopped("while a chunk was decoded")
            with self._lock:
                data = read_bytes(self._file, chunk.offset, chunk.size)
            return _decode(data, variable, chunk, cancelled)

        if len(absent) == 1:
            self._chunks[variable.name, absent[0].origin] = decode(absent[0])
        elif absent:
            with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "era5dl-decode") as pool:
                for chunk, decoded in zip(absent, pool.map(decode, absent), strict=True):
                    self._chunks[variable.name, chunk.origin] = decoded


class _Decoded:
    """The bytes of a chunk. is_shuffled: all first bytes of its elements, then all second ones, and so on: they are put
    together only for those elements that are wanted, which is ten times as fast for one of 37 levels."""

    __slots__ = ("_is_shuffled", "_shape", "_type", "data")

    def __init__(self, data: bytes | bytearray, variable: Variable, *, is_shuffled: bool) -> None:
        self.data, self._is_shuffled = data, is_shuffled
        self._type = np.dtype(variable.datatype.name)
        self._shape = variable.layout.chunk_shape or ()

    def take(self, part: Part) -> NDArray[Any]:
        """Return these elements."""
        cut = tuple(slice(indices.start, indices.stop) for indices in part)
        if not self._is_shuffled:
            return np.frombuffer(self.data, self._type).reshape(self._shape)[cut]
        planes = np.frombuffer(self.data, np.uint8).reshape(self._type.itemsize, *self._shape)
        elements = np.empty((*(len(indices) for indices in part), self._type.itemsize), np.uint8)
        for number, plane in enumerate(planes):
            elements[..., number] = plane[cut]
        return elements.view(self._type)[..., 0]


def _overlaps(origin: Sequence[int], edges: Sequence[int], part: Part) -> bool:
    return all(
        at < indices.stop and at + edge > indices.start for at, edge, indices in zip(origin, edges, part, strict=True)
    )


def _decode(data: bytes, variable: Variable, chunk: Chunk, cancelled: Callable[[], bool]) -> _Decoded:
    """Inflate and verify a chunk. Raises DamagedChunk and Stopped."""
    size = variable.chunk_size
    if [applied.number for applied in variable.filters] != [SHUFFLE, DEFLATE] or chunk.filter_mask:
        try:
            decoded = decode_chunk(data, variable.filters, chunk.filter_mask, size, variable.datatype.size)
        except DamagedFile as error:
            raise DamagedChunk(chunk, str(error)) from None
        return _Decoded(decoded, variable, is_shuffled=False)
    return _Decoded(_inflate(data, size, chunk, cancelled), variable, is_shuffled=True)


def _inflate(data: bytes, size: int, chunk: Chunk, cancelled: Callable[[], bool]) -> bytearray:
    """Inflate `size` bytes in steps, since a chunk with all levels takes half a second, for which nobody should wait
    who wants something else. zlib verifies the checksum at the end."""
    inflater = zlib.decompressobj()
    inflated, done = bytearray(size), 0
    pieces = memoryview(data)
    try:
        for at in range(0, len(data), _STEP):
            if cancelled():
                raise Stopped("while a chunk was decoded")
            piece = inflater.decompress(pieces[at : at + _STEP], size - done + 1)
            if done + len(piece) > size or inflater.unconsumed_tail:
                raise DamagedChunk(chunk, "it is too long")
            inflated[done : done + len(piece)] = piece
            done += len(piece)
    except zlib.error as error:
        raise DamagedChunk(chunk, str(error)) from None
    if done != size or not inflater.eof or inflater.unused_data:
        raise DamagedChunk(chunk, "it is too long or too short")
    return inflated
