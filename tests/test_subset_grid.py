"""Tests of the grid: areas across Greenwich, 180 degrees and the poles, against an independent rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from era5dl.errors import BadSelection
from era5dl.subset.grid import Grid
from era5dl.subset.selection import Area, Point, Subset
from tests.fuzzing import bounded


def grid_of(step: float) -> Grid:
    rows, columns = round(180 / step) + 1, round(360 / step)
    return Grid(tuple(90 - row * step for row in range(rows)), tuple(column * step for column in range(columns)))


ERA5 = grid_of(0.25)
COARSE = grid_of(2.5)

AREAS = {
    "plain": (55, 5, 45, 15),
    "across Greenwich": (55, -10, 45, 10),
    "across Greenwich, 0 to 360": (5, 350, -5, 10),
    "across 180 degrees": (60, 170, 50, -170),
    "across 180 degrees, 0 to 360": (60, 170, 50, 190),
    "north pole": (90, -180, 80, 180),
    "south pole": (-80, 0, -90, 360),
    "everything": (90, -180, -90, 180),
    "all but Europe": (75, 60, 10, -20),
    "one row": (0, 10, 0, 30),
    "west of 180": (10, 170, 0, 180),
    "east of 180": (10, 180, 0, -170),
}


def columns_by_rule(grid: Grid, west: float, east: float) -> set[int]:
    """A meridian belongs to an area when one of its turns is between its edges."""
    while east < west:
        east += 360
    turns = range(-2, 3)
    return {
        column
        for column, longitude in enumerate(grid.longitudes)
        if any(west - 1e-6 <= longitude + 360 * turn <= east + 1e-6 for turn in turns)
    }


def check(grid: Grid, area: Area) -> None:
    cells = grid.inside(area)
    assert set(cells.columns) == columns_by_rule(grid, area.west, area.east)
    assert len(set(cells.columns)) == len(cells.columns)
    assert list(cells.rows) == [r for r, y in enumerate(grid.latitudes) if area.south - 1e-6 <= y <= area.north + 1e-6]
    assert cells.latitudes == tuple(grid.latitudes[row] for row in cells.rows)
    step = grid.longitudes[1]
    assert all(b - a == pytest.approx(step) for a, b in pairwise(cells.longitudes))
    assert all(
        x % 360 == pytest.approx(grid.longitudes[c]) for x, c in zip(cells.longitudes, cells.columns, strict=True)
    )
    assert cells.longitudes[0] >= -180
    assert cells.longitudes[-1] < 540


@pytest.mark.parametrize("grid", [ERA5, COARSE], ids=["0.25", "2.5"])
@pytest.mark.parametrize("area", AREAS)
def test_cells_inside_an_area(grid: Grid, area: str) -> None:
    check(grid, Area(*AREAS[area]))


@pytest.mark.slow
@bounded(200)
@given(
    st.sampled_from([0.25, 2.5, 10.0]).map(grid_of),
    st.lists(st.floats(-90, 90) | st.integers(-90, 90), min_size=2, max_size=2),
    *[st.floats(-180, 360) | st.integers(-180, 360)] * 2,
)
def test_cells_inside_any_area(grid: Grid, latitudes: list[float], west: float, east: float) -> None:
    south, north = sorted(latitudes)
    try:
        area = Area(north, west, south, east)
    except BadSelection:
        return
    try:
        check(grid, area)
    except BadSelection as error:
        assert "There is no grid point" in str(error)
        rows = [y for y in grid.latitudes if south - 1e-6 <= y <= north + 1e-6]
        assert not rows or not columns_by_rule(grid, west, east)


@pytest.mark.parametrize(
    ("west", "east", "first", "last"),
    [
        (-10, 10, -10, 10),
        (350, 10, -10, 10),
        (170, -170, 170, 190),
        (170, 190, 170, 190),
        (-180, 180, -180, 179.75),
        (0, 360, 0, 359.75),
        (60, -20, 60, 340),
        (200, 220, 200, 220),
        (-160, -140, -160, -140),
        (0, 20, 0, 20),
    ],
)
def test_longitudes_are_written_as_the_climate_data_store_does(
    west: float, east: float, first: float, last: float
) -> None:
    longitudes = ERA5.inside(Area(10, west, 0, east)).longitudes
    assert (longitudes[0], longitudes[-1]) == (first, last)


def test_everything_is_the_grid_itself() -> None:
    cells = COARSE.cells(Subset())
    assert (cells.latitudes, cells.longitudes) == (COARSE.latitudes, COARSE.longitudes)
    assert len(cells) == 73 * 144


def test_an_area_between_grid_points_names_the_nearest() -> None:
    with pytest.raises(BadSelection, match="no grid point in the area") as caught:
        ERA5.inside(Area(10.1, 0.3, 10.05, 0.4))
    assert "--point 10,0.25" in caught.value.remedy


@pytest.mark.parametrize(
    ("point", "latitude", "longitude"),
    [
        ((30.6, 114.3), 30.5, 114.25),
        ((-33.9, 151.2), -34, 151.25),
        ((90, -180), 90, -180),
        ((-90, 0), -90, 0),
        ((0, 359.99), 0, 0),
        ((51.5, -0.01), 51.5, 0),
        ((51.5, -0.2), 51.5, -0.25),
        ((0, 180), 0, 180),
        ((0, -179.99), 0, -180),
    ],
)
def test_nearest_grid_point(point: tuple[float, float], latitude: float, longitude: float) -> None:
    cells = ERA5.nearest([Point(*point)])
    assert (cells.latitudes, cells.longitudes) == ((latitude,), (longitude,))
    assert ERA5.latitudes[cells.rows[0]] == latitude
    assert ERA5.longitudes[cells.columns[0]] == longitude % 360


@pytest.mark.slow
@bounded(200)
@given(st.floats(-90, 90), st.floats(-180, 360))
def test_no_grid_point_is_nearer(latitude: float, longitude: float) -> None:
    cells = COARSE.nearest([Point(latitude, longitude)])
    apart = abs(cells.longitudes[0] - longitude) % 360
    assert abs(cells.latitudes[0] - latitude) <= 1.25 + 1e-9
    assert min(apart, 360 - apart) <= 1.25 + 1e-9


def test_cells_of_points_are_in_pairs() -> None:
    cells = ERA5.cells(Subset(points=(Point(10, 20), Point(-10, 350))))
    assert cells.paired
    assert len(cells) == 2
    assert (cells.rows, cells.columns) == ((320, 400), (80, 1400))


LATITUDES, LONGITUDES = COARSE.latitudes, COARSE.longitudes


@pytest.mark.parametrize(
    ("latitudes", "longitudes"),
    [
        (LATITUDES[::-1], LONGITUDES),
        (LATITUDES, LONGITUDES[1:]),
        (LATITUDES, LONGITUDES[::-1]),
        (LATITUDES, tuple(x - 180 for x in LONGITUDES)),
        ((90.0, *LATITUDES[2:]), LONGITUDES),
        (LATITUDES[:1], LONGITUDES),
        (LATITUDES, (0.0,)),
        ((100.0, 0.0), LONGITUDES),
        ((float("nan"), *LATITUDES[1:]), LONGITUDES),
    ],
)
def test_other_grids_are_refused(latitudes: tuple[float, ...], longitudes: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="grid"):
        Grid(latitudes, longitudes)
