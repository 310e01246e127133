"""Tests of chunk decoding: any selection, data in pieces of any size, other filters, and chunks of a wrong size."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.hdf5 import Chunk, DamagedChunk, Filter, Variable
from era5dl.hdf5.filters import DEFLATE, SHUFFLE
from era5dl.hdf5.messages import Dataspace, Datatype, Layout
from era5dl.subset import decode
from era5dl.subset.decode import crop_chunk, verify_chunk
from tests.fuzzing import bounded

SHAPE = (2, 5, 7, 11)
VALUES = np.random.default_rng(1).integers(0, 2**32, SHAPE, np.uint32).view(np.float32)
FILTERS = {"both": (SHUFFLE, DEFLATE), "deflate": (DEFLATE,), "shuffle": (SHUFFLE,), "none": ()}


def variable(filters: tuple[int, ...], shape: tuple[int, ...] = SHAPE) -> Variable:
    return Variable(
        name="t",
        space=Dataspace(shape, shape),
        datatype=Datatype("<f4", 4, b""),
        fill_value=None,
        filters=tuple(Filter(number, ()) for number in filters),
        layout=Layout(chunk_tree=0, chunk_shape=shape, element_size=4),
        chunks=(),
        attributes={},
        values=None,
    )


def encoded(values: np.ndarray[Any, Any], filters: tuple[int, ...]) -> bytes:
    data = values.tobytes()
    for number in filters:
        shuffled = np.frombuffer(data, np.uint8).reshape(-1, 4).T.tobytes() if number == SHUFFLE else b""
        data = shuffled or zlib.compress(data, 1)
    return data


def chunk_of(data: bytes) -> Chunk:
    return Chunk((0,) * len(SHAPE), 0, len(data), 0)


INDICES = st.tuples(*[st.sets(st.integers(0, edge - 1), min_size=1).map(sorted) for edge in SHAPE])


@pytest.mark.slow
@bounded(100)
@given(INDICES, st.sampled_from(sorted(FILTERS)), st.integers(1, 4000))
def test_selected_elements_of_data_in_pieces(indices: tuple[list[int], ...], filters: str, piece: int) -> None:
    data = encoded(VALUES, FILTERS[filters])
    selected = [np.array(numbers) for numbers in indices]
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    found = crop_chunk(pieces, variable(FILTERS[filters]), chunk_of(data), selected)
    assert np.array_equal(found.view(np.uint32), VALUES.view(np.uint32)[np.ix_(*selected)])


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("how", ["longer", "shorter", "truncated", "followed by bytes"])
def test_chunks_of_a_wrong_size_are_damaged(filters: str, how: str) -> None:
    kinds = FILTERS[filters]
    other = np.zeros((2, 5, 7, {"longer": 12, "shorter": 10}.get(how, 11)), np.float32)
    data = encoded(other, kinds)
    data = {"truncated": data[:-1], "followed by bytes": data + b"x"}.get(how, data)
    everything = [np.arange(edge) for edge in SHAPE]
    with pytest.raises(DamagedChunk):
        crop_chunk([data], variable(kinds), chunk_of(data), everything)
    with pytest.raises(DamagedChunk):
        verify_chunk([data], variable(kinds), chunk_of(data))


def test_zlib_gets_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """It copies the rest of its input each time: with 65 MB in one piece, decoding takes ten times as long."""
    values = np.random.default_rng(2).integers(0, 2**32, (1, 1, 500, 500), np.uint32).view(np.float32)
    data = encoded(values, FILTERS["both"])
    sizes: list[int] = []
    inflater_of_zlib = zlib.decompressobj

    class Recorder:
        def __init__(self) -> None:
            self._inflater = inflater_of_zlib()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inflater, name)

        def decompress(self, piece: Any, limit: int) -> bytes:
            sizes.append(len(piece))
            return self._inflater.decompress(piece, limit)

    monkeypatch.setattr(decode.zlib, "decompressobj", Recorder)
    verify_chunk([data], variable(FILTERS["both"], (1, 1, 500, 500)), chunk_of(data))
    assert max(sizes) <= 64 * 1024 < len(data)


def test_only_the_selected_elements_are_in_memory() -> None:
    """All levels but one of a pressure-level chunk have 150 MB, which must not be there twice."""
    shape = (1, 8, 181, 360)
    data = encoded(np.arange(np.prod(shape), dtype=np.float32), FILTERS["both"])
    selected = [np.arange(length - (number == 1)) for number, length in enumerate(shape)]
    tracemalloc.start()
    try:
        values = crop_chunk([data], variable(FILTERS["both"], shape), chunk_of(data), selected)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert values.ravel().tolist()[::9973] == [*range(0, values.size, 9973)]
    assert peak < values.nbytes + 1_500_000
