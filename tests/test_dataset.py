"""Tests of `era5dl.open`: values as a plain calculation with xarray on the same files, holes, areas and bad files."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import xarray

import era5dl
from era5dl import dataset
from era5dl.bucket.interface import ObjectInfo
from era5dl.catalog import find_variable, parse_key, variables
from era5dl.dataset import names as dataset_names
from era5dl.dataset.time_axis import parse_time
from era5dl.errors import AmbiguousName, BadSelection, Era5Error, UsageError
from era5dl.planner.plan import Missing, Plan
from era5dl.session import Session
from era5dl.settings import Settings
from era5dl.subset.find_parts import read_local_index
from era5dl.subset.geometry import EPOCH
from era5dl.subset.ranges import plan_file
from era5dl.subset.selection import EVERYTHING, Area, Point, Subset
from era5dl.subset.write import Provenance, write_subset
from tests.netcdf_files import ONE_OF_EACH_PRODUCT, Sample, write_sample

STEP = 30.0  # degrees
TURN_OF_THE_YEAR = [datetime(2020, 12, 31, 12), datetime(2021, 1, 1, 12)]
JANUARY = [datetime(2021, 1, 10), datetime(2021, 1, 20)]


@cache
def sample_of(name: str, hour: datetime) -> tuple[Sample, bytes]:
    with TemporaryDirectory() as folder:
        chunks = (27, 4, 12) if "an.sfc" in name or "an.vinteg" in name else None  # in halves: tiny chunks are slow
        sample = write_sample(Path(folder), name, hour, step=STEP, chunks=chunks)
        return sample, sample.path.read_bytes()


def put(folder: Path, name: str, hour: datetime, subset: Subset = EVERYTHING) -> Path:
    """Write the file with this hour, or a subset of it."""
    sample, data = sample_of(name, hour)
    key = parse_key(sample.key)
    assert key is not None
    wanted = subset.for_file(key)
    path = folder / (f"{sample.path.stem}.{wanted.id}.nc" if subset != EVERYTHING else sample.path.name)
    path.write_bytes(data)
    if wanted.is_everything:
        return path
    with FileIO(path) as file:
        part = plan_file(read_local_index(file), key, wanted)
    created = datetime(2026, 1, 1, tzinfo=timezone.utc)
    write_subset(path, part, lambda at, size: data[at : at + size], Provenance(sample.key, '"abc-2"', created))
    return path


def plain(*paths: Path) -> xarray.DataArray:
    """Return the variable of these files side by side, as anybody would do it with xarray; with valid times."""
    found = []
    for path in paths:
        with xarray.open_dataset(path, decode_timedelta=False) as file:
            field = next(one for one in file.data_vars.values() if one.ndim > 1).load()
        if "forecast_hour" in field.dims:
            initial, hours = field.forecast_initial_time.values, field.forecast_hour.values.astype("timedelta64[h]")
            field = field.stack(time=("forecast_initial_time", "forecast_hour"), create_index=False)
            field = field.transpose("time", ...).drop_vars(["forecast_initial_time", "forecast_hour"])
            field = field.assign_coords(time=(initial[:, None] + hours[None, :]).ravel())
        found.append(field)
    return xarray.concat(found, "time") if len(found) > 1 else found[0]


def same(found: xarray.DataArray, expected: xarray.DataArray) -> bool:
    assert found.dims == expected.dims
    assert found.dtype == expected.dtype
    for name in found.dims:
        assert (found[name].values == expected[name].values).all(), name
    return bool(np.array_equal(found.values, expected.values, equal_nan=True))


@pytest.mark.parametrize("name", ONE_OF_EACH_PRODUCT)
def test_every_product_over_the_turn_of_the_year(name: str, tmp_path: Path) -> None:
    paths = list(dict.fromkeys(put(tmp_path, name, hour) for hour in TURN_OF_THE_YEAR))
    with era5dl.open(tmp_path, name, dask=False) as data:
        field = data[find_variable(name).nc_var]
        expected = plain(*paths)
        expected = expected.isel(time=0) if name.startswith("invariant") else expected
        assert same(field[..., ::-2], expected[..., ::-2])  # before all of it is loaded, and kept in memory
        assert same(field[..., [3, 3, 0], 2], expected[..., [3, 3, 0], 2])
        if "time" in field.dims:
            assert (np.diff(field.time.values) == np.timedelta64(1, "h")).all()
            assert same(field[20:30:3, ..., 1:2], expected[20:30:3, ..., 1:2])
            assert same(field[-1], expected[-1])
        assert same(field, expected)
        assert "era5dl_missing_hours" not in field.attrs
        assert field.attrs["units"] == find_variable(name).units
        assert paths[0].name in field.attrs["era5dl_sources"]
        assert not {"minimum_value", "_FillValue"} & set(field.attrs)


def test_chunks_of_dask_are_those_of_the_files(tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    paths = [put(tmp_path, name, hour) for name in ("an.sfc/2t", "fc.sfc.accumu/lsp") for hour in TURN_OF_THE_YEAR]
    with era5dl.open(tmp_path, dask=True) as data:
        assert same(data.VAR_2T.dropna("time", how="all"), plain(*paths[:2]))
        assert same(data.LSP.dropna("time", how="all"), plain(*paths[2:]))
        assert data.VAR_2T.chunksizes["time"] == (744, 744)
        assert data.LSP.chunksizes["time"] == (367, 384, 737)


def test_a_hole_in_the_middle_is_nan_and_listed(tmp_path: Path) -> None:
    days = [datetime(2021, 1, day) for day in (1, 2, 3, 6)]
    paths = [put(tmp_path, "an.pl/t", day) for day in days]
    paths[1].unlink()
    with era5dl.open(str(tmp_path)) as data:
        assert data.sizes["time"] == 6 * 24
        assert data.T.attrs["era5dl_missing_hours"] == "2021-01-02T00/2021-01-02T23, 2021-01-04T00/2021-01-05T23"
        assert data.attrs["era5dl_missing_hours"].endswith("T: 72 of 144")
        expected = plain(paths[0], *paths[2:])
        assert same(data.T.sel(time=expected.time), expected)
        assert np.isnan(data.T.sel(time="2021-01-04")).all()
        assert np.isnan(data.T.isel(time=[30, 25], level=[0], latitude=0, longitude=0)).all()
    with era5dl.open(tmp_path, time=("2021-01-03T20", "2021-01-04T02")) as data:
        assert data.T.attrs["era5dl_missing_hours"] == "2021-01-04T00/2021-01-04T02"
        assert same(data.T[:4], plain(paths[2])[20:])
    with era5dl.open(tmp_path, time="2021-01-09") as data:  # of nothing
        assert data.T.attrs["era5dl_missing_hours"] == "2021-01-09T00/2021-01-09T23"
        assert np.isnan(data.T).all()


def test_total_precipitation_is_the_sum_and_says_so(tmp_path: Path) -> None:
    large, convective = ([put(tmp_path, f"fc.sfc.accumu/{name}", hour) for hour in JANUARY] for name in ("lsp", "cp"))
    with era5dl.open(tmp_path, "tp", names="cds") as data:
        assert list(data.data_vars) == ["tp"]
        assert same(data.tp, plain(*large) + plain(*convective))
        assert data.tp.attrs["units"] == "m"
        assert "lsp + cp" in data.tp.attrs["comment"]
        assert len(data.tp.attrs["era5dl_sources"].splitlines()) == 4
    convective[0].unlink()
    with era5dl.open(tmp_path, ["tp", "lsp"]) as data:
        assert data.TP.attrs["era5dl_missing_hours"] == "2021-01-01T07/2021-01-16T06"
        assert np.isnan(data.TP[:360]).all()
        assert not np.isnan(data.LSP[:360]).all()
    convective[1].unlink()
    with pytest.raises(UsageError, match=r"no files of fc\.sfc\.accumu/cp"):
        era5dl.open(tmp_path, "tp")


PLACE = Area(60, -60, 0, 60)  # across Greenwich


def test_parts_and_whole_files_side_by_side_are_cut_to_the_area(tmp_path: Path) -> None:
    whole = put(tmp_path, "an.sfc/2t", TURN_OF_THE_YEAR[0])
    part = put(tmp_path, "an.sfc/2t", TURN_OF_THE_YEAR[1], Subset(area=PLACE))
    with pytest.raises(UsageError, match="different places") as caught:
        era5dl.open(tmp_path)
    assert whole.name in str(caught.value)
    assert "60/-60/0/60" in str(caught.value)
    assert "area=" in caught.value.remedy
    with era5dl.open(tmp_path, area="30/-30/0/30") as data:
        assert data.longitude.values.tolist() == [-30, 0, 30]
        first = plain(whole).sel(latitude=[30, 0], longitude=[330, 0, 30]).assign_coords(longitude=[-30, 0, 30])
        expected = xarray.concat([first, plain(part).sel(latitude=[30, 0], longitude=[-30, 0, 30])], "time")
        assert same(data.VAR_2T, expected)
        assert same(data.VAR_2T[700:800:7, ::-1, [2, 0]], expected[700:800:7, ::-1, [2, 0]])
    with era5dl.open(tmp_path, area=[90, 0, -90, 90]) as data:  # the part does not have it
        assert data.VAR_2T.attrs["era5dl_missing_hours"] == "2021-01-01T00/2021-01-31T23"
        assert same(data.VAR_2T[:744], plain(whole)[..., :4])


def test_a_part_is_not_needed_where_whole_files_have_its_hours(tmp_path: Path) -> None:
    whole = put(tmp_path, "an.sfc/2t", JANUARY[0])
    put(tmp_path, "an.sfc/2t", JANUARY[0], Subset(points=(Point(30, 30),)))
    with era5dl.open(tmp_path) as data:
        assert same(data.VAR_2T, plain(whole))


def test_hours_levels_and_points_of_parts(tmp_path: Path) -> None:
    days = [datetime(2021, 1, day) for day in (1, 2, 4)]
    paths = [put(tmp_path, "an.pl/t", day, Subset(hours=(0, 12), levels=(500, 850, 1000))) for day in days]
    with era5dl.open(tmp_path, levels=[850, 500]) as data:  # hours that were never selected are not missing
        assert data.T.attrs["era5dl_missing_hours"] == "2021-01-03T00/2021-01-03T12"
        expected = plain(*paths).sel(level=[500, 850])
        assert same(data.T.sel(time=expected.time), expected)
    with pytest.raises(BadSelection, match="no level 700"):
        era5dl.open(tmp_path, levels=700)
    points = tmp_path / "points"
    points.mkdir()
    path = put(points, "fc.sfc.accumu/lsp", JANUARY[0], Subset(points=(Point(30, 30, "Zürich"), Point(0, -60))))
    with era5dl.open(points) as data:
        assert data.LSP.dims == ("time", "station")
        assert data.station_name.values.tolist() == ["Zürich", ""]
        assert data.longitude.values.tolist() == [30, -60]
        assert np.array_equal(data.LSP.values, plain(path).values, equal_nan=True)
    with pytest.raises(UsageError, match="points"):
        era5dl.open(points, area=PLACE)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def overwrite(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)


def exchange(path: Path) -> None:
    path.write_bytes(sample_of("an.pl/t", JANUARY[1])[1])  # other times than its name says


@pytest.mark.parametrize("damage", [truncate, overwrite, exchange])
def test_a_bad_file_is_named_and_never_used(damage: Callable[[Path], None], tmp_path: Path) -> None:
    paths = [put(tmp_path, "an.pl/t", datetime(2021, 1, day)) for day in (1, 2)]
    damage(paths[1])
    data = era5dl.open(tmp_path)  # no file but the first is opened before it is needed
    assert same(data.T[:24], plain(paths[0]))
    with pytest.raises(Era5Error, match=paths[1].name):
        data.T.load()
    if damage is truncate:
        with era5dl.open(tmp_path, damaged="skip", time="2021-01") as found:
            assert found.attrs["era5dl_damaged_files"] == paths[1].name
            assert "2021-01-02T00/" in found.T.attrs["era5dl_missing_hours"]
            assert np.isnan(found.T[24:48]).all()


def test_two_different_copies_of_a_file(tmp_path: Path) -> None:
    path = put(tmp_path, "an.pl/t", JANUARY[0])
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / path.name).write_bytes(path.read_bytes() + (b"" if name == "same" else b"x"))
        if name == "same":
            assert same(era5dl.open(tmp_path).T, plain(path))
    with pytest.raises(Era5Error, match="different sizes"):
        era5dl.open(tmp_path)


def test_without_xarray_the_command_to_install_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "era5dl.dataset.open_folder", raising=False)
    monkeypatch.delattr(dataset, "open_folder", raising=False)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UsageError, match="xarray") as caught:
        era5dl.open(tmp_path)
    assert "era5dl[xarray]" in caught.value.remedy


def test_another_grid_in_between_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "an.sfc/2t", TURN_OF_THE_YEAR[0])
    write_sample(tmp_path, "an.sfc/2t", TURN_OF_THE_YEAR[1], step=45.0)
    with pytest.raises(Era5Error, match="different values of latitude"):
        era5dl.open(tmp_path).load()


def test_geopotential_of_both_products_and_other_names(tmp_path: Path) -> None:
    put(tmp_path, "an.pl/z", JANUARY[0])
    with era5dl.open(tmp_path, "z") as data:  # only one of the two is there
        assert data.Z.dims == ("time", "level", "latitude", "longitude")
    put(tmp_path, "invariant/z", JANUARY[0])
    with pytest.raises(AmbiguousName):
        era5dl.open(tmp_path, "z")
    with era5dl.open(tmp_path, names="cds") as data:
        assert data.z_invariant.dims == ("latitude", "longitude")
        assert set(data.data_vars) == {"z", "z_invariant"}
    with pytest.raises(UsageError, match="no names"):
        era5dl.open(tmp_path, names="grib")


def test_names_are_unique_within_a_product() -> None:
    for names in dataset_names.NAMES:
        found = dataset_names.dataset_names(variables(), names)
        assert len(set(found.values())) == len(variables())
    assert found[find_variable("2t")] == "t2m"
    assert found[find_variable("mtpr")] == "avg_tprate"
    assert found[find_variable("invariant/z")] == "z_invariant"


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("2021", "2021-01-01T00", "2021-12-31T23"),
        ("2020-02", "2020-02-01T00", "2020-02-29T23"),
        (("2020-12-31T18:00", "2021-01"), "2020-12-31T18", "2021-01-31T23"),
        ("2020-12-30/2020-12-31", "2020-12-30T00", "2020-12-31T23"),
        (slice("2020-12-30", None), "2020-12-30T00", None),
        (datetime(2021, 1, 1, 6), "2021-01-01T06", "2021-01-01T06"),
        ([np.datetime64("2021-01-01T06"), np.datetime64("2021-01-02")], "2021-01-01T06", "2021-01-02T23"),
    ],
)
def test_times(value: Any, first: str, last: str | None) -> None:
    found = [None if hour is None else str(np.datetime64(EPOCH, "h") + hour) for hour in parse_time(value)]
    assert found == [first, last]


@pytest.mark.parametrize("value", ["yesterday", "2021-02-30", "1066", ("2021", "2020"), (1, 2, 3), slice(0, 1, 2)])
def test_bad_times(value: Any) -> None:
    with pytest.raises(BadSelection) as caught:
        parse_time(value)
    assert caught.value.remedy


def test_a_folder_without_files(tmp_path: Path) -> None:
    (tmp_path / "other.nc").write_bytes(b"x")
    with pytest.raises(UsageError, match="no ERA5 files") as caught:
        era5dl.open(tmp_path)
    assert caught.value.remedy
    put(tmp_path, "an.sfc/2t", JANUARY[0])
    with pytest.raises(UsageError, match=r"no files of an\.sfc/2d") as caught:
        era5dl.open(tmp_path, "2d")
    assert "an.sfc/2t" in caught.value.remedy


def test_hours_that_were_not_planned_are_not_missing(tmp_path: Path) -> None:
    days = [datetime(2021, 1, day) for day in (1, 3, 4)]
    keys = [sample_of("an.pl/t", day)[0].key for day in days]
    selection = era5dl.select("an.pl/t", years=2021, months=1, days=[1, 3, 4])
    objects = tuple(
        ObjectInfo(key, len(sample_of("an.pl/t", day)[1]), '"x-2"', 0) for key, day in zip(keys, days, strict=True)
    )
    plan = Plan({"selection": selection.to_json()}, objects[:2], (Missing(keys[2], "absent"),))
    with pytest.raises(UsageError, match="not been downloaded"):
        era5dl.open(plan)
    Session.begin(tmp_path, plan, Settings()).close()
    paths = [put(tmp_path, "an.pl/t", day) for day in days[:2]]
    put(tmp_path, "an.sfc/2t", days[0])  # of no session
    for data in (era5dl.open(tmp_path, "t"), era5dl.open(plan)):
        assert list(data.data_vars) == ["T"]
        assert data.T.attrs["era5dl_missing_hours"] == "2021-01-04T00/2021-01-04T23"
        assert same(data.T[:48], plain(*paths))
        assert data.sizes["time"] == 72
    assert era5dl.open(tmp_path, "t", time="2021-01").sizes["time"] == 744
    assert era5dl.open(tmp_path).sizes["time"] == 744


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parent.parent / ".github/docs/open.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    folder = tmp_path / "era5"
    folder.mkdir()
    for hour in (datetime(2021, 2, 1), datetime(2021, 2, 10), datetime(2021, 2, 20)):
        for name in ("an.sfc/2t", "fc.sfc.accumu/lsp", "fc.sfc.accumu/cp"):
            put(folder, name, hour)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(example, found)
    assert found["data"].sizes == {"time": 28 * 24, "latitude": 1, "longitude": 2}
    assert "era5dl_missing_hours" not in found["data"].attrs


def test_arrays_can_be_pickled_as_dask_does(tmp_path: Path) -> None:
    path = put(tmp_path, "an.sfc/2t", JANUARY[0])
    data = era5dl.open(tmp_path, dask=False)
    assert same(pickle.loads(pickle.dumps(data)).VAR_2T, plain(path))


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from era5dl.subset import find_parts, merge_source

    seen: list[str] = []

    def note(root: Path, path: Path) -> FileIO:
        seen.append(path.name)
        return find_parts.open_part(root, path)

    monkeypatch.setattr(merge_source, "open_part", note)
    return seen


def test_one_file_is_opened_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = sample_of("an.pl/t", JANUARY[0])[1]
    for day in range(1, 31):
        name = f"e5.oper.an.pl.128_130_t.ll025sc.202104{day:02}00_202104{day:02}23.nc"
        (tmp_path / name).write_bytes(data if day == 1 else b"not read")
    put(tmp_path, "an.pl/t", datetime(2021, 4, 1))
    seen = opened(tmp_path, monkeypatch)
    found = era5dl.open(tmp_path)
    assert found.sizes["time"] == 720
    assert len(seen) == 1
    found.T[5:7].load()
    assert len(seen) == 2
