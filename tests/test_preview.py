"""Tests of previews: fields equal what xarray reads, colours, maps, pictures, and files that cannot be shown."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray
from PIL import Image

from era5dl.cli.main import main
from era5dl.errors import Era5Error, Stopped
from era5dl.preview.choice import choose_level, choose_time
from era5dl.preview.coastlines import coast_lines
from era5dl.preview.colormap import COLORMAPS, DIVERGING, MOISTURE, PLASMA, VIRIDIS, choose_colormap
from era5dl.preview.colour_scale import make_scale
from era5dl.preview.coordinates import Grid, Points
from era5dl.preview.field_file import Field, FieldFile, FieldVariable
from era5dl.preview.map_layout import fit
from era5dl.preview.map_maker import MapMaker
from era5dl.preview.picture import draw_picture
from era5dl.preview.rendering import MissingColours, render, to_ppm
from era5dl.preview.shown_map import MapRequest
from era5dl.subset.selection import Area, Point, Subset
from tests.netcdf_files import ONE_OF_EACH_PRODUCT, Sample, write_sample
from tests.test_subset_merge import merge_all, write_part

HOUR = datetime(2021, 2, 10, 6)
Opener = Callable[[Path], FieldFile]
GLOBE = Grid(tuple(np.arange(90.0, -91, -2.5).tolist()), tuple(np.arange(0.0, 360, 2.5).tolist()))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder = tmp_path_factory.mktemp("samples")
    return {name: write_sample(folder, name, HOUR, step=20.0) for name in ONE_OF_EACH_PRODUCT}


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Open files, and close them at the end."""
    with ExitStack() as files:
        yield lambda path: files.enter_context(FieldFile(path))


def field_of(values: np.ndarray, long_name: str = "x", units: str = "", grid: Grid = GLOBE) -> Field:
    variable = FieldVariable("x", long_name, units, (HOUR,), (), grid)
    there = values[np.isfinite(values)]
    ends = (float(there.min()), float(there.max()), float(there.mean())) if len(there) else (None, None, None)
    return Field(variable, 0, 0, values.astype(np.float32), *ends)


def truth(path: Path, variable: FieldVariable, time: int, level: int) -> np.ndarray:
    """Return the values as xarray reads them, at this valid time and level."""
    with xarray.open_dataset(path, decode_timedelta=False, engine="h5netcdf") as data:
        found = data[variable.name]
        if "forecast_initial_time" in found.dims:
            moment = np.datetime64(variable.times[time])
            valid = found.forecast_initial_time + found.forecast_hour.astype("timedelta64[h]")
            row, column = np.argwhere(valid.values == moment)[0]
            found = found.isel(forecast_initial_time=row, forecast_hour=column)
        elif "time" in found.dims:
            found = found.isel(time=0 if not variable.times else time)
        if "level" in found.dims:
            found = found.sel(level=variable.levels[level])
        return np.where(np.isfinite(found.values), found.values, np.nan)


@pytest.mark.parametrize("name", ONE_OF_EACH_PRODUCT)
def test_fields_of_all_products_are_those_of_xarray(
    name: str, samples: dict[str, Sample], opened: Callable[[Path], FieldFile]
) -> None:
    path = samples[name].path
    file = opened(path)
    (variable,) = file.variables
    assert list(variable.times) == sorted(set(variable.times)) and bool(variable.times) == (name != "invariant/z")
    for time in {0, len(variable.times) // 2, max(0, len(variable.times) - 1)}:
        for level in {0, max(0, len(variable.levels) - 1)}:
            field = file.read(variable, time, level)
            np.testing.assert_array_equal(field.values, truth(path, variable, time, level))
    weights = np.broadcast_to(np.cos(np.deg2rad(variable.places.latitudes))[:, None], field.values.shape)
    there = np.isfinite(field.values)
    assert (field.minimum, field.maximum) == (np.nanmin(field.values), np.nanmax(field.values))
    finite = np.average(field.values[there].astype(np.float64), weights=weights[there])
    assert field.mean == pytest.approx(min(max(finite, field.minimum), field.maximum), rel=1e-5)


def test_subsets_merged_files_and_points(tmp_path: Path, opened: Opener) -> None:
    area = Subset(area=Area(60, -40, 20, 40), hours=(0, 12))
    months = [datetime(2021, 1, 10), datetime(2021, 2, 10)]
    for month in months:
        write_part(tmp_path, "an.sfc/2t", month, area)
    (merged,) = merge_all(tmp_path)
    file = opened(merged)
    (variable,) = file.variables
    grid = variable.places
    assert isinstance(grid, Grid) and not grid.is_global and grid.longitudes == (-40, -20, 0, 20, 40)
    assert (len(variable.times), variable.times[-1]) == (2 * 59, datetime(2021, 2, 28, 12))
    np.testing.assert_array_equal(file.read(variable, 117).values, truth(merged, variable, 117, 0))
    layout = fit(grid, 800, 600)
    assert (layout.west, layout.east, layout.north) == (-50, 50, 60)
    at = file.read(variable, 117).value_at(41, 5)
    assert at is not None and at[:2] == (50, 0)
    assert file.read(variable, 117).value_at(41, 100) is None
    points = write_part(tmp_path, "an.sfc/2t", HOUR, Subset(points=(Point(20, 40), Point(-20, -60)), hours=(6,)))
    series = opened(points)
    field = series.read(series.variables[0])
    assert field.variable.places == Points((30, -10), (40, -60)) and field.values.shape == (28, 2)
    with xarray.open_dataset(points, engine="h5netcdf") as data:
        expected = data["VAR_2T"].values
    np.testing.assert_array_equal(field.values, np.where(np.isfinite(expected), expected, np.nan))
    assert Image.open(io.BytesIO(draw_picture(field, make_scale(field), width=800))).size == (800, 448)
    maker = MapMaker()
    shown = maker.make(MapRequest(points, width=400, height=300), lambda: False)
    maker.close()
    assert shown.layout is None and Image.open(io.BytesIO(shown.image)).size == (400, 300)


def test_files_of_other_programs(tmp_path: Path, opened: Opener) -> None:
    """Without chunks, packed as integers, with other names, several variables, and times in days."""
    path = tmp_path / "other.nc"
    values = np.arange(3 * 2 * 4 * 6).reshape(3, 2, 4, 6)
    with netCDF4.Dataset(path, "w") as file:
        axes = {"valid_time": [1.0, 1.25, 1.5], "pressure_level": [850, 500], "latitude": [9.0, 8, 7, 6]}
        for name, numbers in {**axes, "longitude": [-179.0, -178, -177, -176, -175, -174]}.items():
            file.createDimension(name, len(numbers))
            file.createVariable(name, "f8", (name,))[:] = numbers
        file["valid_time"].units = "days since 2000-02-28"
        packed = file.createVariable("t", "i2", tuple(file.dimensions), fill_value=-9)
        packed.setncatts({"scale_factor": 0.5, "add_offset": 200.0})
        packed.set_auto_maskandscale(False)
        packed[:] = np.where(values == 30, -9, values)
        file.createVariable("mask", "u1", ("latitude", "longitude"))[:] = values[0, 0]
    file = opened(path)
    packed_variable, mask = file.variables
    assert packed_variable.times[1] == datetime(2000, 2, 29, 6) and packed_variable.levels == (850, 500)
    expected = np.where(values == 30, np.nan, values * 0.5 + 200)
    for time in range(3):
        for level in range(2):
            np.testing.assert_array_equal(file.read(packed_variable, time, level).values, expected[time, level])
    np.testing.assert_array_equal(file.read(mask).values, values[0, 0])


def test_decoded_chunks_are_kept_within_a_limit(
    samples: dict[str, Sample], opened: Callable[[Path], FieldFile]
) -> None:
    file = opened(samples["an.pl/t"].path)
    (variable,) = file.variables
    cache = file._cache
    file.read(variable, 0, 0)
    one = cache.size
    assert one == 37 * 10 * 18 * 4
    cache._limit = 2 * one
    file._file.close()  # what is in memory needs no file
    assert file.read(variable, 0, 36).values.shape == (10, 18)
    file = opened(samples["an.pl/t"].path)
    file._cache._limit = 2 * one
    for time in range(5):
        file.read(variable, time, 0)
        assert file._cache.size <= 2 * one
    with pytest.raises(Stopped):
        file.read(variable, 20, 0, lambda: True)


def test_files_that_cannot_be_shown_say_why(
    samples: dict[str, Sample], tmp_path: Path, opened: Callable[[Path], FieldFile]
) -> None:
    data = samples["an.sfc/2t"].path.read_bytes()
    broken = tmp_path / "e5.nc"

    def error_of(content: bytes) -> Era5Error:
        broken.write_bytes(content)
        with pytest.raises(Era5Error) as caught:
            file = opened(broken)
            for time in range(0, len(file.variables[0].times), 20):
                file.read(file.variables[0], time)
        assert str(broken) in str(caught.value)
        return caught.value

    assert "is not a netCDF-4 file" in str(error_of(b"CDF\x01" + bytes(100)))
    half = error_of(data[: len(data) // 2])
    assert "is damaged or not complete" in str(half) and "download it again" in half.remedy
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0x10
    assert "damaged" in str(error_of(bytes(flipped)))
    with pytest.raises(Era5Error, match="is not a file"):
        FieldFile(tmp_path)


def test_colour_maps_are_uniform_and_fit_their_variables() -> None:
    for colormap in COLORMAPS:
        table = colormap.table().astype(float)
        assert table.shape == (256, 3) and np.abs(np.diff(table, axis=0)).max() < 12  # no bands
    chosen = [
        choose_colormap("2 metre temperature", "K", 200, 300),
        choose_colormap("10 metre U wind component", "m s**-1", -20, 30),
        choose_colormap("Large-scale precipitation", "m", 0, 0.01),
        choose_colormap("Mean sea level pressure", "Pa", 95000, 105000),
        choose_colormap("Geopotential", "m**2 s**-2", -20, 50000),
    ]
    assert chosen == [PLASMA, DIVERGING, MOISTURE, VIRIDIS, VIRIDIS]


@pytest.mark.parametrize(
    ("values", "low", "high", "texts"),
    [
        (np.linspace(237.4, 301.2, 100), 236, 302, ["240", "250", "260", "270", "280", "290", "300"]),
        (np.linspace(-6, 11, 100), -11, 11, ["−10", "−5", "0", "5", "10"]),
        (np.linspace(0, 0.00312, 100), 0, 0.0032, ["0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]),
        (np.full(100, 7.0), 6.93, 7.07, None),
        (np.full(100, np.nan), 0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_ranges_and_ticks_are_round_numbers(
    values: np.ndarray, low: float, high: float, texts: list[str] | None
) -> None:
    scale = make_scale(field_of(values.reshape(10, 10)))
    assert scale.low == pytest.approx(low, abs=0.04 * (high - low)) and scale.low <= np.nan_to_num(values).min()
    assert scale.high == pytest.approx(high, abs=0.04 * (high - low))
    ticks = scale.ticks()
    assert all(-1e-9 <= share <= 1 + 1e-9 for share, _ in ticks) and 3 <= len(ticks) <= 9
    assert texts is None or [text for _, text in ticks] == [t.replace("−", "\N{MINUS SIGN}") for t in texts]


def test_a_scale_keeps_the_range_of_earlier_times_and_cuts_rare_extremes() -> None:
    first = make_scale(field_of(np.linspace(250, 290, 100).reshape(10, 10), units="K"))
    later = make_scale(field_of(np.linspace(260, 270, 100).reshape(10, 10), units="K"), first)
    assert (later.low, later.high) == (first.low, first.high)
    values = np.random.default_rng(1).normal(0, 1, (200, 200))
    values[3, 3] = 1000
    cut = make_scale(field_of(values))
    assert cut.high < 10 and cut.above and not cut.below


def test_pixels_have_the_colours_of_their_values_and_gaps_are_striped() -> None:
    values = np.zeros((73, 144))
    values[:, 72:] = 100.0  # the western half of a map from -180 to 180
    values[60:, :] = np.nan
    field = field_of(values)
    layout = fit(GLOBE, 720, 500)
    assert (layout.width, layout.height) == (720, 360)
    missing = MissingColours((1, 2, 3), (9, 8, 7))
    pixels = render(field, layout, make_scale(field), missing)
    table = VIRIDIS.table()
    ocean = {"west": layout.pixel(-140, 10), "east": layout.pixel(80, -25)}
    assert pixels[round(ocean["west"][1]), round(ocean["west"][0])].tolist() == table[255].tolist()
    assert pixels[round(ocean["east"][1]), round(ocean["east"][0])].tolist() == table[0].tolist()
    gap = pixels[325:328, 20:30].reshape(-1, 3)
    assert {tuple(pixel) for pixel in gap.tolist()} >= {(1, 2, 3), (9, 8, 7)}
    ppm = to_ppm(pixels)
    assert ppm.startswith(b"P6 720 360 255\n") and len(ppm) == 15 + 720 * 360 * 3
    assert Image.open(io.BytesIO(ppm)).getpixel((20, 326)) == tuple(pixels[326, 20])


def test_coastlines_are_cut_at_the_edges_of_the_map_and_have_no_edge_of_the_world() -> None:
    lines = list(coast_lines((170, -50, 190, 70)))
    points = [place for line in lines for place in line]
    assert points and all(170 - 1e-9 <= x <= 190 + 1e-9 and -50 <= y <= 70 for x, y in points)
    world = [place for line in coast_lines((-180, -90, 180, 90)) for place in line]
    assert not any(y < -86 for _, y in world)


def test_choice_of_time_and_level(samples: dict[str, Sample], opened: Opener) -> None:
    file = opened(samples["an.pl/t"].path)
    (variable,) = file.variables
    assert [choose_time(variable, text) for text in (None, "2021-02-10", "2021-02-10T06", "2021-02-10 23:00Z")] == [
        0, 0, 6, 23,
    ]  # fmt: skip
    assert (
        variable.levels[choose_level(variable, None)] == 500 and variable.levels[choose_level(variable, 1000)] == 1000
    )
    for wrong in ("2021-02-11", "yesterday", "2021-02-10T06:30"):
        with pytest.raises(Era5Error) as caught:
            choose_time(variable, wrong)
        assert "2021-02-10T00" in caught.value.remedy
    with pytest.raises(Era5Error) as caught:
        choose_level(variable, 501)
    assert "500" in caught.value.remedy


def test_the_command_writes_a_picture_and_says_what_it_shows(
    samples: dict[str, Sample], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = samples["an.pl/t"].path, tmp_path / "map.png"
    flags = ["--time", "2021-02-10T06", "--level", "850", "-o", str(picture)]
    assert main(["preview", str(path), *flags, "--json"]) == 0
    record, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert (record["event"], end["event"], end["exit_code"]) == ("field", "end", 0)
    assert (record["valid_time"], record["level"], record["units"]) == ("2021-02-10T06:00", 850, "K")
    assert record["min"] <= record["mean"] <= record["max"] and record["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["preview", str(path)]) == 0
    assert "(area-weighted)" in capsys.readouterr().out
    for wrong, words in (
        (["-o", str(tmp_path / "map.jpg")], "Give a name that ends with .png"),
        (["-o", str(tmp_path / "none" / "map.png")], "none"),
        (["--variable", "z"], "It has T"),
        (["--time", "2021-03-01"], "Its times are from"),
        (["--level", "nan"], "It has 1, 2"),
    ):
        assert main(["preview", str(path), *wrong]) in (2, 3)
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("module", ["numpy", "PIL"])
def test_without_a_library_the_command_says_what_to_install(
    module: str, samples: dict[str, Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in [one for one in sys.modules if one.startswith("era5dl.preview.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("rendering", "picture"):
        monkeypatch.delattr(sys.modules["era5dl.preview"], name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    path = shutil.copy(samples["invariant/z"].path, tmp_path / "z.nc")
    assert main(["preview", str(path), "-o", str(tmp_path / "z.png")]) == 2
    assert 'pip install "era5dl[preview]"' in capsys.readouterr().err


def test_times_without_a_calendar_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "times.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, numbers in {"time": [1e300], "latitude": [1.0, 2], "longitude": [1.0, 2]}.items():
            file.createDimension(name, len(numbers))
            file.createVariable(name, "f8", (name,))[:] = numbers
        file["time"].units = "days since 2000-02-30"
        file.createVariable("x", "f4", ("time", "latitude", "longitude"))[:] = 0
    with pytest.raises(Era5Error, match="not in the calendar"):
        FieldFile(path)
