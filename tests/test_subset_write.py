"""Tests of subset files: values equal those that xarray selects from the whole file, bit by bit."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.catalog.keys import parse_key
from era5dl.errors import BadSelection
from era5dl.hdf5 import DamagedChunk, SparseBytes, read_index
from era5dl.hdf5.attributes import DIMENSION_SCALE_ATTRIBUTES
from era5dl.subset.geometry import EPOCH
from era5dl.subset.ranges import FileSubset, plan_file
from era5dl.subset.selection import Area, Point, Subset
from era5dl.subset.write import Provenance, is_subset_of, write_subset
from tests.fuzzing import TIMES, bounded
from tests.netcdf_files import ONE_OF_EACH_PRODUCT, Sample, write_sample

if TYPE_CHECKING:
    import xarray  # takes a second with pandas: imported by the tests that use it

HOUR = datetime(2021, 2, 10, 6)
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
RENAMED = ("minimum_value", "maximum_value", "grid_specification")


def plan(sample: Sample, subset: Subset) -> FileSubset:
    data = sample.path.read_bytes()
    source = SparseBytes(len(data))
    source.add(0, data)
    key = parse_key(sample.key)
    assert key is not None
    return plan_file(read_index(source), key, subset)


def write(sample: Sample, subset: Subset, path: Path, data: bytes | None = None, workers: int = 2) -> FileSubset:
    """Write a subset, from the fetched ranges alone."""
    part = plan(sample, subset)
    content = SparseBytes(sample.path.stat().st_size)
    whole = data or sample.path.read_bytes()
    for start, stop in part.ranges():
        content.add(start, whole[start:stop])
    write_subset(path, part, content.get, Provenance(sample.key, '"etag"', MADE), workers=workers)
    return part


# -- what xarray selects -----------------------------------------------------------------------------------------------


def open_raw(path: Path, engine: str = "netcdf4") -> xarray.Dataset:
    import xarray

    return xarray.open_dataset(path, mask_and_scale=False, decode_times=False, engine=engine)


def is_wanted(time: int, subset: Subset) -> bool:
    moment = EPOCH + timedelta(hours=time)
    on_day = not subset.days or any(first <= moment.date() <= last for first, last in subset.days)
    return on_day and (not subset.hours or moment.hour in subset.hours)


def columns_between(longitudes: np.ndarray[Any, Any], area: Area) -> list[int]:
    east = area.east + (360 * -(-(area.west - area.east) // 360) if area.east < area.west else 0)
    return [
        column
        for column, x in enumerate(longitudes)
        if any(area.west - 1e-6 <= x + 360 * turn <= east + 1e-6 for turn in (-2, -1, 0, 1, 2))
    ]


def nearest_column(longitudes: np.ndarray[Any, Any], longitude: float) -> int:
    """The nearest meridian; of two that are equally near the western one."""
    west = (longitude - longitudes) % 360
    return int(np.where(west <= 180, west, 360 - west + 1e-9).argmin())


def selected(sample: Sample, subset: Subset) -> tuple[xarray.DataArray, list[int]]:
    """The selected values with a dimension `valid` for the time, columns in the order of the source; and the times."""
    import xarray

    with open_raw(sample.path) as dataset:
        field = dataset[sample.name].load()
    if subset.points:
        rows = [int(np.abs(field.latitude.values - point.latitude).argmin()) for point in subset.points]
        columns = [nearest_column(field.longitude.values, point.longitude) for point in subset.points]
        stations = {"latitude": rows, "longitude": columns}
        field = field.isel({name: xarray.DataArray(numbers, dims="station") for name, numbers in stations.items()})
    elif subset.area:
        inside = (field.latitude <= subset.area.north + 1e-6) & (field.latitude >= subset.area.south - 1e-6)
        field = field.isel(latitude=inside, longitude=columns_between(field.longitude.values, subset.area))
    if subset.levels and "level" in field.dims:
        field = field.sel(level=list(subset.levels))
    if "forecast_hour" in field.dims:
        times = (field.forecast_initial_time + field.forecast_hour).values.ravel()
        field = field.stack(valid=("forecast_initial_time", "forecast_hour"), create_index=False)
        field = field.transpose("valid", ...)
    else:
        times = field.time.values
        field = field.rename(time="valid")
    if sample.variable.product.name != "invariant":
        keep = [number for number, time in enumerate(times) if is_wanted(int(time), subset)]
        field, times = field.isel(valid=keep), times[keep]
    return field, [int(time) for time in times]


def check_equal(sample: Sample, subset: Subset, path: Path) -> None:
    expected, times = selected(sample, subset)
    with open_raw(path) as dataset:
        field = dataset[sample.name].load()
        dates = dataset["utc_date"].values
        coordinates = {name: dataset[name].values for name in dataset.variables}
    if "forecast_hour" in field.dims:
        found = (field.forecast_initial_time + field.forecast_hour).values.ravel().tolist()
        values = field.values.reshape(-1, *field.shape[2:])
        first = field.forecast_initial_time.values
    else:
        found, values, first = field.time.values.tolist(), field.values, field.time.values
        if "forecast_hour" in coordinates:
            assert (coordinates["forecast_initial_time"] + coordinates["forecast_hour"]).tolist() == found
    assert found == times
    assert dates.tolist() == [int((EPOCH + timedelta(hours=int(h))).strftime("%Y%m%d%H")) for h in first]
    longitudes = coordinates["longitude"]
    if subset.points:
        order = np.arange(len(longitudes))
    else:
        assert np.all(np.diff(longitudes) > 0)
        order = np.argsort(longitudes % 360, kind="stable")
    assert np.array_equal(longitudes[order] % 360, expected.longitude.values)
    assert np.array_equal(coordinates["latitude"], expected.latitude.values)
    assert np.array_equal(values[..., order].view(np.uint32), expected.values.view(np.uint32))


@pytest.fixture(scope="module", params=ONE_OF_EACH_PRODUCT)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("files"), request.param, HOUR)


DAYS = ((date(2021, 2, 9), date(2021, 2, 10)),)
SUBSETS = {
    "across Greenwich": Subset(area=Area(60, -30, 20, 30)),
    "across 180 degrees": Subset(area=Area(10, 150, -40, -140), hours=(0, 12)),
    "north pole": Subset(area=Area(90, -180, 80, 180), levels=(1, 500, 1000)),
    "south pole": Subset(area=Area(-80, 0, -90, 360), days=DAYS),
    "all but Europe": Subset(area=Area(75, 60, 10, -20), hours=(23,)),
    "one cell": Subset(area=Area(1, 9, -1, 11)),
    "hours": Subset(hours=(0, 6, 12, 18)),
    "days": Subset(days=DAYS),
    "levels": Subset(levels=(500, 850)),
    "a point": Subset(points=(Point(48.2, 16.4),)),
    "points": Subset(points=(Point(90, 0), Point(-33.9, 151.2), Point(48.2, 16.4), Point(0, -5.1), Point(48, 16))),
    "points, hours and levels": Subset(points=(Point(1, 1), Point(-90, 355)), hours=(6, 7), levels=(1, 1000)),
    "everything": Subset(),
}


ONE_OF_EACH_SHAPE = ("an.pl/t", "an.sfc/2t", "fc.sfc.accumu/lsp", "invariant/z")
VALUES = [  # the products whose files have the same dimensions differ in nothing that a subset depends on
    pytest.param(name, subset, marks=[] if subset in ("across 180 degrees", "points") else pytest.mark.slow)
    for name in ONE_OF_EACH_PRODUCT
    for subset in SUBSETS
    if name in ONE_OF_EACH_SHAPE or subset == "across 180 degrees"
]
SOME_SUBSETS = [SUBSETS[name] for name in ("across Greenwich", "points", "days", "hours")]


@pytest.mark.parametrize(("sample", "subset"), VALUES, indirect=["sample"])
def test_values_equal_those_of_the_whole_file(sample: Sample, tmp_path: Path, subset: str) -> None:
    write(sample, SUBSETS[subset], tmp_path / "part.nc")
    check_equal(sample, SUBSETS[subset], tmp_path / "part.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["part.nc"]


ANY_SUBSET = st.builds(
    lambda hours, levels, first, count, place: {
        "hours": tuple(hours),
        "levels": tuple(levels),
        "days": ((date(2021, 2, first), date(2021, 2, first + count)),) if count else (),
        **place,
    },
    st.sets(st.integers(0, 23), max_size=5),
    st.sets(st.sampled_from([1, 10, 500, 850, 1000]), max_size=3),
    st.integers(1, 12),
    st.integers(0, 12),
    st.one_of(
        st.just({}),
        st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 360)), min_size=1, max_size=4),
        st.tuples(st.floats(-90, 90), st.floats(-180, 360), st.floats(-90, 90), st.floats(-180, 360)),
    ).map(lambda place: place if isinstance(place, dict) else {"points" if isinstance(place, list) else "area": place}),
)


@pytest.mark.slow
@pytest.mark.parametrize("sample", ONE_OF_EACH_SHAPE, indirect=True)
@bounded(12)
@given(wanted=ANY_SUBSET)
def test_values_of_any_subset_equal_those_of_the_whole_file(
    sample: Sample, tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("any") / "part.nc"
    try:
        if "points" in wanted:
            wanted["points"] = tuple(Point(*point) for point in wanted["points"])
        if "area" in wanted:
            wanted["area"] = Area(*wanted["area"])
        subset = Subset(**wanted)
        write(sample, subset, path)
    except BadSelection:
        return
    check_equal(sample, subset, path)


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [(5, 4, 7), (1, 19, 36), (672, 3, 36), (100, 19, 1)])
def test_values_with_other_chunks(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    sample = write_sample(tmp_path, "an.sfc/2t", HOUR, chunks=chunks)
    for number, subset in enumerate(SOME_SUBSETS):
        write(sample, subset, tmp_path / f"{number}.nc")
        check_equal(sample, subset, tmp_path / f"{number}.nc")


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [(4, 5, 19, 36), (1, 12, 7, 10)])
def test_values_of_forecasts_with_other_chunks(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    sample = write_sample(tmp_path, "fc.sfc.accumu/lsp", HOUR, chunks=chunks)
    for number, subset in enumerate(SOME_SUBSETS):
        write(sample, subset, tmp_path / f"{number}.nc")
        check_equal(sample, subset, tmp_path / f"{number}.nc")


# -- the file ----------------------------------------------------------------------------------------------------------


OF_THE_LIBRARY = DIMENSION_SCALE_ATTRIBUTES | {"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"}


def raw_attributes(item: Any) -> dict[str, tuple[bytes, bytes]]:
    """Attributes as they are in the file: type and value."""
    found = {}
    for name in set(item.attrs) - OF_THE_LIBRARY:
        stored = h5py.h5a.open(item.id, name.encode())
        value = np.empty(stored.shape or (), stored.dtype)
        is_null = stored.get_space().get_simple_extent_type() == h5py.h5s.NULL
        if not is_null:
            stored.read(value, mtype=stored.get_type())
        found[name] = (stored.get_type().encode(), b"" if is_null else value.tobytes())
    return found


def test_attributes_are_those_of_the_source_byte_for_byte(sample: Sample, tmp_path: Path) -> None:
    write(sample, SUBSETS["across Greenwich"], tmp_path / "part.nc")
    with h5py.File(sample.path) as source, h5py.File(tmp_path / "part.nc") as result:
        assert set(result) == set(source)
        for name in source:
            before, after = raw_attributes(source[name]), raw_attributes(result[name])
            if name == sample.name:
                before = {f"source_file_{k}" if k in RENAMED else k: v for k, v in before.items()}
            assert after == before
        assert raw_attributes(result)["DATA_SOURCE"] == raw_attributes(source)["DATA_SOURCE"]


def test_provenance_is_in_the_file(sample: Sample, tmp_path: Path) -> None:
    write(sample, Subset(area=Area(60, -30, 20, 30)), tmp_path / "part.nc")
    with netCDF4.Dataset(tmp_path / "part.nc") as file:
        assert file.era5dl_source == sample.key
        assert file.era5dl_source_etag == '"etag"'
        assert file.era5dl_source_size == sample.path.stat().st_size
        assert file.era5dl_subset == '{"area": "60/-30/20/30"}'
        first, _, rest = file.history.partition("\n")
        assert first.startswith("2026-01-02T03:04:05Z: era5dl ")
        assert rest == "Thu Aug 18 2022: ncks -4 in out"


def test_structure_is_that_of_the_source(sample: Sample, tmp_path: Path) -> None:
    write(sample, SUBSETS["across Greenwich"], tmp_path / "part.nc")
    with netCDF4.Dataset(sample.path) as source, netCDF4.Dataset(tmp_path / "part.nc") as result:
        assert list(result.dimensions) == list(source.dimensions)
        assert [d.isunlimited() for d in result.dimensions.values()] == [
            d.isunlimited() for d in source.dimensions.values()
        ]
        for name, variable in source.variables.items():
            assert result[name].dimensions == variable.dimensions
            assert result[name].dtype == variable.dtype
            assert result[name].filters() == variable.filters()
        assert result[sample.name]._FillValue == source[sample.name]._FillValue


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("subset", ["across 180 degrees", "points", "hours", "days"])
@pytest.mark.parametrize("sample", ONE_OF_EACH_SHAPE, indirect=True)
def test_xarray_opens_it_with_decoded_times(sample: Sample, tmp_path: Path, subset: str, engine: str) -> None:
    import xarray

    write(sample, SUBSETS[subset], tmp_path / "part.nc")
    with xarray.open_dataset(tmp_path / "part.nc", engine=engine, decode_timedelta=False) as dataset:
        field = dataset[sample.name].load()
        first = field.dims[0]
        assert dataset[first].dtype.kind == "M"
        if subset == "points":
            assert field.dims[-1] == "station"
            assert {"latitude", "longitude"} <= set(field.coords)


@pytest.mark.parametrize("sample", ["an.sfc/2t"], indirect=True)
def test_names_of_points(sample: Sample, tmp_path: Path) -> None:
    import xarray

    write(sample, Subset(points=(Point(30, 114, "Wuhan 武汉"), Point(1, 2))), tmp_path / "part.nc")
    for engine in ("netcdf4", "h5netcdf"):
        with xarray.open_dataset(tmp_path / "part.nc", engine=engine, decode_timedelta=False) as dataset:
            assert [*dataset[sample.name].coords["station_name"].values] == ["Wuhan 武汉", ""]


@pytest.mark.parametrize("sample", ["an.sfc/2t"], indirect=True)
def test_ten_thousand_points(sample: Sample, tmp_path: Path) -> None:
    """Their list is longer than an attribute can be, but the file says which they are."""
    points = tuple(Point(n // 100 - 50, n % 100, "station") for n in range(10_000))
    subset = Subset(points=points, hours=(0,))
    write(sample, subset, tmp_path / "part.nc")
    other = Subset(points=(*points[1:], Point(1, 1)), hours=(0,))
    for wanted in (subset, other):
        with FileIO(tmp_path / "part.nc") as raw:
            is_it = is_subset_of(raw, sample.key, '"etag"', sample.path.stat().st_size, wanted)
        assert is_it is (wanted == subset)
    with netCDF4.Dataset(tmp_path / "part.nc") as result:
        assert len(result.dimensions["station"]) == 10_000
        assert json.loads(result.era5dl_subset)["points"]["count"] == 10_000


def test_the_index_reader_reads_it(sample: Sample, tmp_path: Path) -> None:
    write(sample, SUBSETS["hours"], tmp_path / "part.nc")
    data = (tmp_path / "part.nc").read_bytes()
    source = SparseBytes(len(data))
    source.add(0, data)
    assert read_index(source).variables[sample.name].chunks


def test_whole_chunks_are_copied(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "an.pl/t", HOUR)
    write(sample, Subset(hours=(6, 7)), tmp_path / "part.nc")
    with h5py.File(sample.path) as source, h5py.File(tmp_path / "part.nc") as result:
        for number in (0, 1):
            before = source[sample.name].id.read_direct_chunk((6 + number, 0, 0, 0))
            assert result[sample.name].id.read_direct_chunk((number, 0, 0, 0)) == before


def test_an_older_file_is_replaced_and_a_link_is_not_followed(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "invariant/z", HOUR)
    (tmp_path / "part.nc").write_text("old")
    (tmp_path / "target").write_text("not ours")
    (tmp_path / "part.nc.part").symlink_to(tmp_path / "target")
    write(sample, SUBSETS["one cell"], tmp_path / "part.nc")
    check_equal(sample, SUBSETS["one cell"], tmp_path / "part.nc")
    assert (tmp_path / "target").read_text() == "not ours"


# -- damage ------------------------------------------------------------------------------------------------------------


def flips(part: FileSubset, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Positions within the chunks of a subset, and single bits."""
    dice = random.Random(seed)
    for _ in range(count):
        chunk = dice.choice(part.chunks)
        yield chunk.offset + dice.randrange(chunk.size), 1 << dice.randrange(8)


def check_flipped_bits(sample: Sample, subset: Subset, folder: Path, count: int, seed: int) -> None:
    """A flipped bit is found, or (between the end of the data and their checksum) changes no value."""
    whole = sample.path.read_bytes()
    found = 0
    for at, bit in flips(plan(sample, subset), count, seed):
        spoilt = bytearray(whole)
        spoilt[at] ^= bit
        path = folder / "part.nc"
        try:
            write(sample, subset, path, bytes(spoilt), workers=1)
        except DamagedChunk as error:
            assert error.range[0] <= at < error.range[1]
            assert list(folder.iterdir()) == []
            found += 1
        else:
            check_equal(sample, subset, path)
            path.unlink()
    assert found >= count * 0.9


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("subset", ["one cell", "hours"])
@pytest.mark.parametrize("name", ["an.pl/t", "an.sfc/2t", "fc.sfc.accumu/lsp"])
def test_flipped_bits_never_give_a_wrong_value(
    tmp_path_factory: pytest.TempPathFactory, name: str, subset: str
) -> None:
    sample = write_sample(tmp_path_factory.mktemp("source"), name, HOUR)
    check_flipped_bits(sample, SUBSETS[subset], tmp_path_factory.mktemp("result"), 20 * TIMES, seed=2)


class FakeFailure(OSError):
    pass


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = write_sample(tmp_path, "an.sfc/2t", HOUR)
    (tmp_path / "out").mkdir()

    def fail(fd: int) -> None:
        raise FakeFailure(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FakeFailure):
        write(sample, SUBSETS["one cell"], tmp_path / "out" / "part.nc")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 100, 5_000, 20_000, 60_000])
def test_a_full_disk_is_an_error_whenever_it_occurs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """HDF5 writes most when its objects are closed, and h5py ignores exceptions there."""
    sample = write_sample(tmp_path, "an.sfc/2t", HOUR)
    (tmp_path / "out").mkdir()

    class SmallDisk(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > room:
                raise FakeFailure(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr("era5dl.folder.new_file.FileIO", SmallDisk)
    with pytest.raises(FakeFailure, match="No space left"):
        write(sample, SUBSETS["hours"], tmp_path / "out" / "part.nc")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("subset", ["hours", "one cell"])
def test_a_disk_that_alters_bytes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subset: str) -> None:
    """The file is read back before it gets its name."""
    sample = write_sample(tmp_path, "an.pl/t", HOUR)
    (tmp_path / "out").mkdir()
    altered = 0

    class BadDisk(io.FileIO):
        def write(self, data: Any) -> int:
            nonlocal altered
            if len(data) > 1_000 and not altered:  # of a chunk
                altered, data = 1, bytes(data[:-1]) + bytes([data[-1] ^ 1])
            return super().write(data)

    monkeypatch.setattr("era5dl.folder.new_file.FileIO", BadDisk)
    with pytest.raises(OSError, match=r"does not have the values|cannot be read"):
        write(sample, SUBSETS[subset], tmp_path / "out" / "part.nc")
    assert altered
    assert list((tmp_path / "out").iterdir()) == []
