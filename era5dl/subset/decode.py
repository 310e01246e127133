"""Chunk decoding: inflates one compressed chunk as a stream and keeps only the selected elements of it.

A chunk of a pressure-level file has 65 MB and 154 MB inflated. Decoding it here takes little more memory than the
selected elements. Every chunk is verified: its Adler-32 (by zlib) and its exact size, also where it is only copied.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from era5dl.hdf5 import Chunk, DamagedChunk, DamagedFile, Variable
from era5dl.hdf5.filters import DEFLATE, SHUFFLE, decode_chunk

Indices = NDArray[np.intp]

_STEP = 256 * 1024  # bytes that are inflated at a time
_INPUT = 64 * 1024  # bytes that are given to zlib at a time


def crop_chunk(
    data: Iterable[bytes], field: Variable, chunk: Chunk, selected: Sequence[Indices]
) -> NDArray[np.floating]:
    """Return the selected elements of a chunk.

    data: the bytes of the chunk in the file, in pieces. selected: for each dimension the indices within the chunk,
    strictly ascending; the result has all combinations. Raises DamagedChunk.
    """
    shape, size = field.layout.chunk_shape or (), field.datatype.size
    if not _is_streamable(field, chunk):
        whole = np.frombuffer(_decode_whole(b"".join(data), field, chunk), field.datatype.name)
        return whole.reshape(shape)[np.ix_(*selected)]
    rows = np.ravel_multi_index(np.ix_(*selected[:-1]), shape[:-1]).ravel()
    kept = _crop_planes(_inflate(data, field.chunk_size, chunk), rows, selected[-1], (size, *shape))
    return kept.view(field.datatype.name).reshape([len(indices) for indices in selected])


def verify_chunk(data: Iterable[bytes], field: Variable, chunk: Chunk) -> None:
    """Check a chunk without keeping its elements. Raises DamagedChunk."""
    if not _is_streamable(field, chunk):
        _decode_whole(b"".join(data), field, chunk)
        return
    for _ in _inflate(data, field.chunk_size, chunk):
        pass


def _is_streamable(field: Variable, chunk: Chunk) -> bool:
    return [applied.number for applied in field.filters] == [SHUFFLE, DEFLATE] and not chunk.filter_mask


def _decode_whole(data: bytes, field: Variable, chunk: Chunk) -> bytes:
    try:
        return decode_chunk(data, field.filters, chunk.filter_mask, field.chunk_size, field.datatype.size)
    except DamagedFile as error:
        raise DamagedChunk(chunk, str(error)) from None


def _inflate(data: Iterable[bytes], size: int, chunk: Chunk) -> Iterator[bytes]:
    """Yield the inflated bytes, `size` in all. The last of them are yielded before the checksum is verified."""
    inflater = zlib.decompressobj()
    total = 0
    try:
        for piece in _small_pieces(data):
            rest: bytes | memoryview = piece
            while rest:
                inflated = inflater.decompress(rest, _STEP)
                rest = inflater.unconsumed_tail
                total += len(inflated)
                if total > size or inflater.unused_data:
                    raise DamagedChunk(chunk, "it is too long")
                yield inflated
        last = inflater.flush()
    except zlib.error as error:
        raise DamagedChunk(chunk, str(error)) from None
    total += len(last)
    if total != size or not inflater.eof:
        raise DamagedChunk(chunk, "it is too long or too short")
    yield last


def _small_pieces(data: Iterable[bytes]) -> Iterator[memoryview]:
    """Yield the same bytes in small pieces: zlib copies the rest of a piece each time its output is limited."""
    for piece in data:
        view = memoryview(piece)
        for at in range(0, len(view), _INPUT):
            yield view[at : at + _INPUT]


def _crop_planes(
    inflated: Iterable[bytes], rows: Indices, columns: Indices, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Return the selected bytes of a shuffled chunk as (row, column, plane), which are the bytes of the elements.

    Shuffle stores the first bytes of all elements, then all second bytes, and so on: one plane for each byte of an
    element. rows: numbers of the selected rows, ascending; a row is one index of all dimensions but the last, combined.
    shape: number of planes, and the shape of the chunk.
    """
    planes, *outer, width = shape
    rows_per_plane = math.prod(outer)
    is_contiguous = len(columns) == columns[-1] - columns[0] + 1
    cut = slice(columns[0], columns[-1] + 1) if is_contiguous else columns
    kept = np.empty((len(rows), len(columns), planes), np.uint8)  # not by planes: a second array may have 150 MB
    wanted = (np.arange(planes)[:, None] * rows_per_plane + rows).ravel()  # in all planes
    row = done = 0
    pending = b""  # the beginning of a row
    for piece in inflated:
        pending += piece
        count = len(pending) // width
        until = int(np.searchsorted(wanted, row + count))
        if until > done:
            block = np.frombuffer(pending, np.uint8, count * width).reshape(count, width)
            for plane in range(done // len(rows), (until - 1) // len(rows) + 1):
                first, last = max(done, plane * len(rows)), min(until, (plane + 1) * len(rows))
                target = kept[first - plane * len(rows) : last - plane * len(rows), :, plane]
                target[:] = block[wanted[first:last] - row][:, cut]
        pending, row, done = pending[count * width :], row + count, until
    return kept
