"""Tests of chunks and byte ranges of subsets, on files of all products, and of the estimate from a key alone."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.catalog import find_variable, key_of, period_of
from era5dl.catalog.keys import KeyParts, parse_key
from era5dl.errors import BadSelection
from era5dl.hdf5 import Index, SparseBytes, UnsupportedLayout, read_index
from era5dl.ranges import RangeSet
from era5dl.subset.estimate import estimate
from era5dl.subset.geometry import EPOCH, Geometry, expected_geometry, read_geometry
from era5dl.subset.ranges import GAP, Elements, coalesce, select_chunks, select_elements
from era5dl.subset.selection import Area, Point, Subset
from tests.fuzzing import bounded
from tests.netcdf_files import ONE_OF_EACH_PRODUCT, Sample, write_sample

HOUR = datetime(2021, 2, 10, 6)


def index_of(path: Path) -> Index:
    data = path.read_bytes()
    source = SparseBytes(len(data))
    source.add(0, data)
    return read_index(source)


def key_from(text: str) -> KeyParts:
    key = parse_key(text)
    assert key is not None
    return key


def key_at(name: str, hour: datetime) -> KeyParts:
    variable = find_variable(name)
    return key_from(key_of(variable, period_of(variable.product, hour)))


def hours_of(elements: Elements, geometry: Geometry) -> list[datetime]:
    """The selected valid times, in order."""
    if elements.steps:
        runs, ahead = elements.outer
        times = [geometry.times[runs[run]] + geometry.hours_ahead[ahead[hour]] for run, hour in elements.steps]
    else:
        times = [geometry.times[index] for index in elements.outer[0]]
    return [EPOCH + timedelta(hours=time) for time in times]


@pytest.fixture(scope="module", params=ONE_OF_EACH_PRODUCT)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("files"), request.param, HOUR)


# -- geometry ----------------------------------------------------------------------------------------------------------


def test_geometry_of_a_file_is_that_of_its_product(sample: Sample) -> None:
    geometry, field = read_geometry(index_of(sample.path), key_from(sample.key))
    expected = expected_geometry(key_from(sample.key))
    assert field.name == sample.name
    assert geometry.shape == field.shape == sample.values.shape
    assert (geometry.times, geometry.levels, geometry.hours_ahead) == (
        expected.times,
        expected.levels,
        expected.hours_ahead,
    )
    assert expected.shape[-2:] == (721, 1440)
    assert len(expected.chunk_shape) == len(expected.shape) == len(geometry.dimensions)


@pytest.mark.parametrize(
    ("name", "hour", "times"),
    [("an.sfc/2t", datetime(2020, 2, 5), 696), ("an.sfc/2t", datetime(2021, 1, 5), 744), ("an.pl/t", HOUR, 24)]
    + [("fc.sfc.accumu/lsp", datetime(2021, m, 20), n) for m, n in ((2, 26), (1, 32), (4, 30))],
)
def test_times_of_every_length_of_a_month(name: str, hour: datetime, times: int) -> None:
    key = key_at(name, hour)
    geometry = expected_geometry(key)
    assert len(geometry.times) == times
    assert EPOCH + timedelta(hours=geometry.times[0]) == key.start
    assert EPOCH + timedelta(hours=geometry.times[-1] + (geometry.hours_ahead or (0,))[-1]) == key.end


OTHER_FILES = {
    "name of another month": ("times", {}, lambda file: None),
    "other units": ("units", {"units": "hours since 1970-01-01 00:00:00"}, lambda file: None),
    "another grid": ("grid", {}, lambda file: file["latitude"].__setitem__(3, 1.0)),
    "another time": ("times", {}, lambda file: file["time"].__setitem__(3, 1)),
    "other levels": ("levels", {}, lambda file: file["level"].__setitem__(3, 4.0)),
    "two variables": ("not exactly one", {}, lambda file: file.__setitem__("second", np.zeros((2, 3)))),
    "no coordinate": ("no coordinate", {}, lambda file: file.move("longitude", "x")),
}


@pytest.mark.parametrize("how", OTHER_FILES)
def test_a_file_that_is_not_like_others_has_to_be_fetched_whole(tmp_path: Path, how: str) -> None:
    message, attributes, change = OTHER_FILES[how]
    sample = write_sample(tmp_path, "an.pl/t", HOUR)
    with netCDF4.Dataset(sample.path, "a") as file:
        file["time"].setncatts(attributes)
    with h5py.File(sample.path, "a") as file:
        change(file)
    key = key_from(sample.key) if how != "name of another month" else key_at("an.pl/t", HOUR + timedelta(days=30))
    with pytest.raises(UnsupportedLayout, match=message):
        read_geometry(index_of(sample.path), key)


# -- elements ----------------------------------------------------------------------------------------------------------


def test_hours_and_days_are_those_of_valid_times(sample: Sample) -> None:
    geometry, _ = read_geometry(index_of(sample.path), key_from(sample.key))
    days = ((date(2021, 2, 10), date(2021, 2, 11)),)
    elements = select_elements(geometry, Subset(hours=(0, 6, 18), days=days))
    hours = hours_of(elements, geometry)
    if geometry.is_fixed:
        assert len(hours) == 1, "an invariant applies to all dates"
        return
    available = [datetime(2021, 2, day, hour) for day in (10, 11) for hour in (0, 6, 18)]
    assert hours == (available[:3] if geometry.levels else available)


def test_forecast_steps_are_in_the_order_of_valid_times() -> None:
    geometry = expected_geometry(key_at("fc.sfc.accumu/lsp", HOUR))
    elements = select_elements(geometry, Subset())
    assert hours_of(elements, geometry) == [datetime(2021, 2, 1, 7) + timedelta(hours=n) for n in range(360)]


def test_levels_apply_to_files_with_levels_only(sample: Sample) -> None:
    geometry, _ = read_geometry(index_of(sample.path), key_from(sample.key))
    elements = select_elements(geometry, Subset(levels=(500, 1000)))
    if geometry.levels:
        assert [geometry.levels[index] for index in elements.outer[1]] == [500, 1000]
        assert elements.fields == 48
    else:
        assert len(elements) == sample.values.size


def test_no_selected_hour_names_those_of_the_file() -> None:
    geometry = expected_geometry(key_at("an.pl/t", HOUR))
    with pytest.raises(BadSelection, match="No hour of this file") as caught:
        select_elements(geometry, Subset(days=((date(2020, 1, 1), date(2020, 1, 2)),)))
    assert "2021-02-10 00 to 2021-02-10 23" in caught.value.remedy
    with pytest.raises(BadSelection) as caught:
        select_elements(expected_geometry(key_at("fc.sfc.accumu/lsp", HOUR)), Subset(days=((date(1990, 1, 1),) * 2,)))
    assert "2021-02-01 07 to 2021-02-16 06" in caught.value.remedy


# -- chunks and ranges -------------------------------------------------------------------------------------------------

SUBSETS = st.builds(
    lambda hours, levels, place: Subset(hours=tuple(hours), levels=tuple(levels), **place),
    st.sets(st.integers(0, 23), max_size=4),
    st.sets(st.sampled_from([1, 500, 850, 1000]), max_size=2),
    st.one_of(
        st.just({}),
        st.lists(st.builds(Point, st.integers(-90, 90), st.integers(-180, 360)), min_size=1, max_size=3).map(
            lambda points: {"points": tuple(points)}
        ),
        st.tuples(st.integers(0, 90), st.integers(-180, 180), st.integers(-90, -10), st.integers(10, 350)).map(
            lambda a: {"area": Area(a[0], a[1], a[2], min(a[1] + a[3], 360))}
        ),
    ),
)


@pytest.mark.slow
@bounded(40)
@given(SUBSETS)
def test_the_chunks_are_exactly_those_with_selected_elements(sample: Sample, subset: Subset) -> None:
    geometry, field = read_geometry(index_of(sample.path), key_from(sample.key))
    elements = select_elements(geometry, subset)
    marked = np.zeros(geometry.shape, bool)
    cells = elements.cells
    rows, columns = np.array(cells.rows), np.array(cells.columns)
    spots = (rows, columns) if cells.paired else (rows[:, None], columns[None, :])
    if elements.steps:
        for run, hour in elements.steps:
            marked[(elements.outer[0][run], elements.outer[1][hour], *spots)] = True
    else:
        for place in np.ndindex(*map(len, elements.outer)):
            marked[(*(indices[n] for indices, n in zip(elements.outer, place, strict=True)), *spots)] = True
    wanted = {
        chunk.origin
        for chunk in field.chunks
        if marked[tuple(slice(a, a + n) for a, n in zip(chunk.origin, geometry.chunk_shape, strict=True))].any()
    }
    assert {chunk.origin for chunk in select_chunks(field, elements)} == wanted
    assert len(elements) == marked.sum()


def test_everything_is_all_chunks(sample: Sample) -> None:
    geometry, field = read_geometry(index_of(sample.path), key_from(sample.key))
    assert select_chunks(field, select_elements(geometry, Subset())) == field.chunks


@pytest.mark.slow
@bounded(200)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5)), max_size=30), st.sampled_from([0, 1, 5000, GAP])
)
def test_coalesced_ranges_contain_the_ranges_and_gaps_only(places: list[tuple[int, int]], gap: int) -> None:
    ranges = [(start, start + size) for start, size in places]
    joined = coalesce(ranges, gap)
    assert all(b[0] - a[1] > gap for a, b in pairwise(joined))
    wanted, fetched = RangeSet(ranges), RangeSet(joined)
    assert all(fetched.covers(start, stop) for start, stop in ranges)
    for start, stop in joined:
        assert all(b - a <= gap for a, b in wanted.missing(start, stop))


# -- estimate ----------------------------------------------------------------------------------------------------------

MEASURED = [  # name, subset, size and fetched bytes in MB, of files with the shapes of the bucket's
    ("an.pl/t", HOUR, Subset(hours=(6,)), 1570, 65.5),
    ("an.pl/t", HOUR, Subset(hours=(0, 6, 12, 18)), 1570, 262),
    ("an.pl/t", HOUR, Subset(levels=(500,)), 1570, 1570),
    ("an.sfc/2t", datetime(2021, 1, 1), Subset(area=Area(72, -25, 33, 45)), 1363, 222),
    ("an.sfc/2t", datetime(2021, 1, 1), Subset(points=(Point(48.2, 16.4),)), 1363, 50.7),
    ("an.sfc/2t", datetime(2021, 1, 1), Subset(days=((date(2021, 1, 1), date(2021, 1, 7)),)), 1363, 346),
    ("an.sfc/2t", datetime(2021, 1, 1), Subset(hours=(0, 6, 12, 18)), 1363, 1363),
    ("fc.sfc.meanflux/mtpr", HOUR, Subset(days=((date(2021, 2, 5),) * 2,)), 637, 63.9),
    ("fc.sfc.meanflux/mtpr", HOUR, Subset(area=Area(50, 0, 40, 10)), 637, 637),
]


@pytest.mark.parametrize(("name", "hour", "subset", "size", "fetched"), MEASURED)
def test_the_estimate_is_about_what_is_fetched(
    name: str, hour: datetime, subset: Subset, size: float, fetched: float
) -> None:
    about = estimate(key_at(name, hour), int(size * 1e6), subset)
    assert about.fetched == pytest.approx(fetched * 1e6, rel=0.05)
    assert about.written <= about.fetched
    assert about.saves_traffic == (fetched < size)


def test_the_estimate_of_everything_is_the_file() -> None:
    about = estimate(key_at("an.sfc/2t", HOUR), 10**9, Subset())
    assert (about.fetched, about.written, about.saves_traffic) == (10**9, 10**9, False)


def test_an_area_of_a_forecast_saves_disk_space_only() -> None:
    about = estimate(key_at("fc.sfc.meanflux/mtpr", HOUR), 637_000_000, Subset(area=Area(50, 0, 40, 10)))
    assert not about.saves_traffic
    assert about.written < about.size / 300


@pytest.mark.parametrize("period", ["1940010100_9999123123", "2021010100_2021011023"])
def test_a_file_with_an_unusual_period_is_fetched_whole(period: str) -> None:
    """The name of a file must not decide how much memory is used."""
    folder = period[:6]
    key = parse_key(f"e5.oper.an.sfc/{folder}/e5.oper.an.sfc.128_167_2t.ll025sc.{period}.nc")
    assert key
    about = estimate(key, 10**9, Subset(hours=(0,), area=Area(50, 0, 40, 10)))
    assert about.fetched == about.written == 10**9
