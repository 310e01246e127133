"""Tests of the HDF5 index reader: against h5py, with few bytes of the file, and with damaged and truncated files."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from era5dl.catalog import find_variable, period_of
from era5dl.demo.netcdf import write_file as write_demo_file
from era5dl.hdf5 import (
    DamagedFile,
    Index,
    MissingBytes,
    SparseBytes,
    UnsupportedLayout,
    Variable,
    first_ranges,
    read_index,
)
from era5dl.hdf5.attributes import DIMENSION_SCALE_ATTRIBUTES
from era5dl.hdf5.checksum import lookup3
from era5dl.ranges import Range
from tests.fuzzing import TIMES
from tests.netcdf_files import ONE_OF_EACH_PRODUCT, write_sample

HOUR = datetime(2021, 2, 10, 6)
FILES = [*ONE_OF_EACH_PRODUCT, "many chunks", "demo an.sfc/2t", "demo fc.sfc.accumu/lsp"]
MANY_CHUNKS = {"chunks": (3, 4, 8)}  # 5600: a B-tree of three levels


def whole(data: bytes) -> SparseBytes:
    source = SparseBytes(len(data))
    source.add(0, data)
    return source


def fetch_index(data: bytes) -> tuple[Index, list[list[Range]]]:
    """The index, read like that of a remote file, with the ranges of each round of requests."""
    source = SparseBytes(len(data))
    rounds = [first_ranges(len(data))]
    while True:
        for start, stop in rounds[-1]:
            assert 0 <= start < stop <= len(data)
            source.add(start, data[start:stop])
        try:
            return read_index(source), rounds
        except MissingBytes as error:
            rounds.append(error.ranges)


@pytest.fixture(scope="module", params=FILES)
def netcdf4(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of netCDF-C, and those of the demo, which have an old superblock and old object headers."""
    folder = tmp_path_factory.mktemp("files")
    kind, _, name = request.param.rpartition(" ")
    if kind == "demo":
        variable = find_variable(name)
        write_demo_file(folder / "demo.nc", variable, period_of(variable.product, HOUR))
        return folder / "demo.nc"
    if kind == "many":
        return write_sample(folder, "an.sfc/2t", HOUR, **MANY_CHUNKS).path
    return write_sample(folder, name, HOUR).path


# -- against h5py ------------------------------------------------------------------------------------------------------


def chunks_of(dataset: h5py.Dataset) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    if dataset.chunks:
        dataset.id.chunk_iter(lambda c: found.append((tuple(c.chunk_offset), c.byte_offset, c.size, c.filter_mask)))
    return sorted(found)


def test_the_index_equals_that_of_h5py(netcdf4: Path) -> None:
    index, _ = fetch_index(netcdf4.read_bytes())
    with h5py.File(netcdf4) as file:
        assert set(index.variables) == set(file)
        for name, variable in index.variables.items():
            dataset = file[name]
            assert (variable.shape, variable.space.max_shape) == (dataset.shape, dataset.maxshape)
            assert (variable.datatype.name, variable.layout.chunk_shape) == (dataset.dtype.str, dataset.chunks)
            assert [tuple(chunk) for chunk in variable.chunks] == chunks_of(dataset)
            assert variable.filters == () or [f.number for f in variable.filters] == [2, 1]
            assert np.frombuffer(variable.fill_value or bytes(dataset.dtype.itemsize), dataset.dtype)[0] == (
                dataset.fillvalue
            )


def test_values_of_coordinates_equal_those_of_h5py(netcdf4: Path) -> None:
    index, _ = fetch_index(netcdf4.read_bytes())
    with h5py.File(netcdf4) as file:
        for name, variable in index.variables.items():
            if file[name].ndim == 1:
                assert variable.numbers() == tuple(file[name][()].tolist())
            else:
                assert variable.values is None


def test_attributes_equal_those_of_h5py(netcdf4: Path) -> None:
    index, _ = fetch_index(netcdf4.read_bytes())
    with h5py.File(netcdf4) as file:
        for item, found in [(file, index.attributes)] + [(file[n], v.attributes) for n, v in index.variables.items()]:
            assert set(found) == set(item.attrs) - DIMENSION_SCALE_ATTRIBUTES
            for name, attribute in found.items():
                stored = h5py.h5a.open(item.id, name.encode())
                value = np.empty(stored.shape or (), stored.dtype)
                if not attribute.space.is_null:
                    stored.read(value, mtype=stored.get_type())
                assert attribute.space.is_null == (stored.get_space().get_simple_extent_type() == h5py.h5s.NULL)
                assert attribute.space.shape == (stored.shape or ())
                assert attribute.data == (b"" if attribute.space.is_null else value.tobytes())
                assert h5py.h5t.decode(b"\x03\x00" + attribute.datatype.encoded) == stored.get_type()


@pytest.mark.parametrize("count", [0, 5, 11])
def test_attributes_in_the_header_and_in_heaps_of_one_block_and_of_several(tmp_path: Path, count: int) -> None:
    sample = write_sample(tmp_path, "an.sfc/2t", HOUR, attributes=count)
    found = fetch_index(sample.path.read_bytes())[0].variables[sample.name].attributes
    with h5py.File(sample.path) as file:
        assert set(found) == set(file[sample.name].attrs) - DIMENSION_SCALE_ATTRIBUTES
    assert {found[f"additional_{n}"].text for n in range(count)} == {(f"text {n} " * 5).rstrip() for n in range(count)}


def test_text_of_an_attribute_is_without_padding(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "an.sfc/2t", HOUR)
    index = read_index(whole(sample.path.read_bytes()))
    assert index.variables["time"].attributes["units"].text == "hours since 1900-01-01 00:00:00"
    assert index.variables[sample.name].attributes["minimum_value"].text is None


# -- few bytes ---------------------------------------------------------------------------------------------------------


def test_an_index_takes_few_rounds_and_few_bytes(netcdf4: Path) -> None:
    data = netcdf4.read_bytes()
    index, rounds = fetch_index(data)
    nodes = sum(len(variable.chunks) for variable in index.variables.values()) // 32 + 20
    fetched = sum(stop - start for ranges in rounds for start, stop in ranges)
    assert len(rounds) <= 4
    assert fetched <= 128 * 1024 + nodes * 6000
    assert index == read_index(whole(data))


def test_the_nodes_of_a_tree_are_fetched_at_the_same_time(tmp_path: Path) -> None:
    data = write_sample(tmp_path, "an.sfc/2t", HOUR, **MANY_CHUNKS).path.read_bytes()
    _, rounds = fetch_index(data)
    assert max(map(len, rounds)) > 50


def test_bytes_in_any_order_and_overlapping_are_joined() -> None:
    data = bytes(random.Random(1).randbytes(1000))
    source = SparseBytes(len(data))
    dice = random.Random(2)
    held: set[int] = set()
    for _ in range(40):
        start = dice.randrange(1000)
        stop = min(start + dice.randrange(1, 60), 1000)
        source.add(start, data[start:stop])
        held |= set(range(start, stop))
    assert source.held == len(held)
    for start in range(1000):
        length = dice.randrange(0, 30)
        wanted = set(range(start, min(start + length, 1000)))
        if start + length > 1000:
            with pytest.raises(DamagedFile):
                source.get(start, length)
        elif wanted <= held and wanted:
            assert source.get(start, length) == data[start : start + length]
        elif wanted:
            with pytest.raises(MissingBytes):
                source.get(start, length)


# -- other layouts -----------------------------------------------------------------------------------------------------


def make(path: Path, fill: Callable[[h5py.File], None], libver: str = "v108") -> bytes:
    with h5py.File(path, "w", libver=libver if libver == "earliest" else (libver, libver)) as file:
        fill(file)
    return path.read_bytes()


VALUES = np.arange(60, dtype="f4").reshape(3, 4, 5)
STORAGE: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": (1, 2, 5)},
    "shuffle, deflate and Fletcher-32": {
        "chunks": (2, 4, 5),
        "shuffle": True,
        "compression": "gzip",
        "fletcher32": True,
    },
}


@pytest.mark.parametrize("libver", ["earliest", "v108"])
@pytest.mark.parametrize("storage", STORAGE)
def test_other_kinds_of_storage(tmp_path: Path, storage: str, libver: str) -> None:
    def fill(file: h5py.File) -> None:
        file.create_dataset("t", data=VALUES, **STORAGE[storage])
        options = {**STORAGE[storage], "chunks": (7,)} if STORAGE[storage] else {}
        file.create_dataset("x", data=np.arange(20, dtype=">i8") * 1000, **options)

    index = read_index(whole(make(tmp_path / "x.h5", fill, libver)))
    with h5py.File(tmp_path / "x.h5") as file:
        assert [tuple(chunk) for chunk in index.variables["t"].chunks] == chunks_of(file["t"])
        if storage == "contiguous":
            offset = file["t"].id.get_offset()
            assert index.variables["t"].raw_data() == [(offset, offset + VALUES.nbytes)]
    assert index.variables["x"].numbers() == tuple(range(0, 20_000, 1000))


def no_variable(file: h5py.File) -> None:
    file.create_dataset("t", data=VALUES)
    file.create_group("group")


def many_variables(file: h5py.File) -> None:
    for number in range(60):
        file[f"variable_{number}"] = VALUES


def text_of_any_length(file: h5py.File) -> None:
    file.create_dataset("t", data=VALUES).attrs["title"] = "of variable length"


def very_many_attributes(file: h5py.File) -> None:
    dataset = file.create_dataset("t", data=VALUES)
    for number in range(300):
        dataset.attrs[f"a{number}"] = number


def unwritten_chunks(file: h5py.File) -> None:
    file.create_dataset("t", shape=(10, 10), chunks=(5, 5), dtype="f4")[0, 0] = 1


def many_values(file: h5py.File) -> None:
    file["t"] = np.zeros(200_000)


NOT_SUPPORTED = [
    no_variable,
    many_variables,
    text_of_any_length,
    very_many_attributes,
    unwritten_chunks,
    many_values,
]


def test_links_and_long_texts_in_a_heap(tmp_path: Path) -> None:
    """As in subsets of forecasts at many points, which this program writes."""
    texts = {f"a{number}": "x" * (1 + 1500 * number) for number in range(12)}

    def fill(file: h5py.File) -> None:
        for number in range(30):
            file[f"variable_{number}"] = VALUES + number
        for name, text in texts.items():
            file.attrs[name] = np.bytes_(text.encode())

    data = make(tmp_path / "x.h5", fill)
    index = read_index(whole(data))
    assert sorted(index.variables) == sorted(f"variable_{number}" for number in range(30))
    assert {name: attribute.text for name, attribute in index.attributes.items()} == texts
    place = index.variables["variable_7"].layout.contiguous
    assert place is not None
    assert data[place[0] : sum(place)] == (VALUES + 7).tobytes()


@pytest.mark.parametrize("fill", NOT_SUPPORTED, ids=lambda fill: fill.__name__)
def test_what_the_bucket_does_not_have_is_not_supported(tmp_path: Path, fill: Callable[[h5py.File], None]) -> None:
    with pytest.raises(UnsupportedLayout):
        read_index(whole(make(tmp_path / "x.h5", fill)))


@pytest.mark.parametrize("libver", ["v110", "v112", "v114"])
def test_newer_layouts_of_chunks_are_not_supported(tmp_path: Path, libver: str) -> None:
    data = make(tmp_path / "x.h5", lambda file: file.create_dataset("t", data=VALUES, chunks=(1, 4, 5)), libver)
    with pytest.raises(UnsupportedLayout, match="data layout message version"):
        read_index(whole(data))


def test_a_chunk_without_shuffle_is_not_supported(tmp_path: Path) -> None:
    """A wrong mask bit in the B-tree, which has no checksum, would otherwise give wrong values of the right size."""

    def fill(file: h5py.File) -> None:
        dataset = file.create_dataset("t", shape=(4, 8), chunks=(4, 8), dtype="f4", shuffle=True, compression="gzip")
        dataset.id.write_direct_chunk((0, 0), bytes(128), filter_mask=0b01)

    with pytest.raises(UnsupportedLayout, match="without a filter"):
        read_index(whole(make(tmp_path / "x.h5", fill)))


@pytest.mark.parametrize("data", [b"", b"CDF\x01" + bytes(500), b"<html>login</html>", b"\x89HDF\r\n\x1a\n"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedFile, match="not an HDF5 file"):
        read_index(whole(data))


def test_lookup3_of_the_published_vectors() -> None:
    # driver5() of Bob Jenkins's lookup3.c: hashlittle() with the initial value 0
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


# -- damage ------------------------------------------------------------------------------------------------------------


def test_truncated_files_are_refused(netcdf4: Path) -> None:
    data = netcdf4.read_bytes()
    dice = random.Random(3)
    for length in {1, 8, 47, 48, 100, 5000, len(data) // 2, len(data) - 1, *dice.sample(range(len(data)), 20)}:
        with pytest.raises(DamagedFile):
            fetch_index(data[:length])


def test_a_file_that_is_shorter_in_the_bucket_than_it_says_is_refused(netcdf4: Path) -> None:
    with pytest.raises(DamagedFile, match="according to its header"):
        fetch_index(netcdf4.read_bytes() + bytes(10))


def index_bytes(data: bytes) -> list[int]:
    """Positions of the file that the index depends on, as good as one can say: all that is fetched, without chunks."""
    index, rounds = fetch_index(data)
    used = {at for ranges in rounds for start, stop in ranges for at in range(start, stop)}
    for variable in index.variables.values():
        if variable.values is None:
            for start, stop in variable.raw_data():
                used -= set(range(start, stop))
    return sorted(used)


def damaged(data: bytes, positions: list[int], dice: random.Random) -> bytearray:
    """Bytes with one to eight wrong ones among those at these positions."""
    spoilt = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 8])):
        at = dice.choice(positions)
        spoilt[at] = dice.choice([0, 255, spoilt[at] ^ 1 << dice.randrange(8), dice.randrange(256)])
    return spoilt


def without_places(index: Index) -> list[tuple[Any, ...]]:
    """All of an index but what only nodes of B-trees say, which have no checksum."""

    def protected(variable: Variable) -> tuple[Any, ...]:
        origins = [chunk.origin for chunk in variable.chunks]
        return variable.name, variable.shape, variable.datatype, variable.filters, variable.attributes, origins

    return [(*protected(variable), variable.values) for variable in index.variables.values()]


def outcomes_of_damage(path: Path, rounds: int, seed: int) -> Iterator[str]:
    data = path.read_bytes()
    truth = read_index(whole(data))
    positions = index_bytes(data)
    dice = random.Random(seed)
    for _ in range(rounds):
        source = whole(bytes(damaged(data, positions, dice)))
        started = time.thread_time()
        try:
            index = read_index(source)
        except (DamagedFile, UnsupportedLayout) as error:
            assert str(error)
            yield "refused"
        else:
            yield "same" if index == truth else "other places"
            if path.name != "demo.nc":  # older object headers have no checksum
                assert without_places(index) == without_places(truth)
        assert time.thread_time() - started < 1.0


def check_damage(path: Path, rounds: int, seed: int) -> None:
    """A damaged index is refused, or is the same, or has other places of chunks, which decoding detects."""
    outcomes = Counter(outcomes_of_damage(path, rounds, seed))
    assert outcomes["refused"] > rounds // 20
    assert outcomes["other places"] <= rounds // 5


def test_a_damaged_index_is_refused_at_once(netcdf4: Path) -> None:
    check_damage(netcdf4, 10, seed=5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_damaged_indexes(netcdf4: Path) -> None:
    check_damage(netcdf4, 100 * TIMES, seed=7)
