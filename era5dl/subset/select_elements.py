"""Selects elements of a chunked netCDF variable: any times and any places, decoded from only the chunks with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from era5dl.hdf5 import Chunk, DamagedFile, Variable
from era5dl.subset.decode import Indices, crop_chunk

_BATCH_CHUNKS = 32
_BATCH_BYTES = 128 << 20  # compressed bytes in memory; a single chunk may have 65 MB


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where the elements of a chunk are: positions in the result, and indices within the chunk.

    inverse: for each of the first dimensions, which of the indices within the chunk each position has.
    """

    positions: slice | Indices
    inside: tuple[Indices, ...]
    inverse: tuple[Indices, ...] = ()


def select_elements(
    field: Variable,
    read: Callable[[int, int], bytes],
    times: Sequence[Indices],
    places: Sequence[Indices],
    pool: Executor,
) -> NDArray[Any]:
    """Return the elements with these indices, as an array of time and all dimensions after it.

    read: reads bytes of the file: (offset, length) -> bytes; called in this thread. times: indices of the first
    dimension, or of the first two (initial time and forecast hour), one of each for every time; in the order of the
    file. places: indices of the other dimensions, ascending strictly; all combinations are selected.

    Raises DamagedFile, DamagedChunk, and what `read` raises.
    """
    edges = field.layout.chunk_shape or ()
    count = len(times)
    when = _time_cuts(times, edges)
    where = [_cuts(indices, edge) for indices, edge in zip(places, edges[count:], strict=True)]
    found = np.empty((len(times[0]), *map(len, places)), field.datatype.name)

    def decode(job: tuple[Chunk, list[_Cut], bytes]) -> int:
        chunk, cuts, data = job
        values = crop_chunk([data], field, chunk, [indices for cut in cuts for indices in cut.inside])
        if cuts[0].inverse:
            values = values[cuts[0].inverse]
        found[tuple(cut.positions for cut in cuts)] = values
        return values.size

    decoded = 0
    for batch in _batches(_wanted(field.chunks, count, when, where)):
        jobs = [(chunk, cuts, read(chunk.offset, chunk.size)) for chunk, cuts in batch]
        decoded += sum(pool.map(decode, jobs) if len(jobs) > 1 else map(decode, jobs))
    if decoded != found.size:  # memory that was not decoded must never be returned
        raise DamagedFile("its chunks are not complete")
    return found


def _time_cuts(times: Sequence[Indices], edges: Sequence[int]) -> dict[tuple[int, ...], _Cut]:
    """Return the cut for each origin of chunks in the dimensions of time."""
    if not len(times[0]):
        return {}
    origins = np.stack([one - one % edge for one, edge in zip(times, edges, strict=False)], axis=1)
    starts = [0, *(np.flatnonzero((origins[1:] != origins[:-1]).any(axis=1)) + 1).tolist(), len(origins)]
    found: dict[tuple[int, ...], list[int]] = {}
    for start, stop in pairwise(starts):
        found.setdefault(tuple(origins[start].tolist()), []).extend(range(start, stop))
    return {origin: _time_cut(times, origin, positions) for origin, positions in found.items()}


def _time_cut(times: Sequence[Indices], origin: tuple[int, ...], positions: list[int]) -> _Cut:
    is_run = positions[-1] - positions[0] + 1 == len(positions)
    place = slice(positions[0], positions[-1] + 1) if is_run else np.array(positions, np.intp)
    inside = [one[place] - at for one, at in zip(times, origin, strict=True)]
    if len(inside) == 1:
        return _Cut(place, tuple(inside))
    unique, inverse = zip(*(np.unique(one, return_inverse=True) for one in inside), strict=True)
    return _Cut(place, unique, inverse)


def _cuts(indices: Indices, edge: int) -> dict[int, _Cut]:
    """Return the cut for each origin of chunks in one dimension."""
    origins = indices - indices % edge
    found: dict[int, _Cut] = {}
    for origin in np.unique(origins).tolist():
        place = slice(*np.searchsorted(origins, (origin, origin + 1)).tolist())
        found[origin] = _Cut(place, (indices[place] - origin,))
    return found


def _wanted(
    chunks: Sequence[Chunk], count: int, when: dict[tuple[int, ...], _Cut], where: Sequence[dict[int, _Cut]]
) -> Iterator[tuple[Chunk, list[_Cut]]]:
    """Yield the chunks that have any of the elements."""
    for chunk in chunks:
        cuts = [when.get(chunk.origin[:count])]
        cuts += [cut.get(at) for cut, at in zip(where, chunk.origin[count:], strict=True)]
        known = [cut for cut in cuts if cut is not None]
        if len(known) == len(cuts):
            yield chunk, known


def _batches(wanted: Iterator[tuple[Chunk, list[_Cut]]]) -> Iterator[list[tuple[Chunk, list[_Cut]]]]:
    """Yield them in groups that are decoded at a time."""
    batch: list[tuple[Chunk, list[_Cut]]] = []
    size = 0
    for one in wanted:
        if batch and (len(batch) >= _BATCH_CHUNKS or size + one[0].size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one[0].size
    if batch:
        yield batch
