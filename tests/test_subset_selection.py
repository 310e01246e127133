"""Tests of subset selections: hours, levels, areas and points, and the errors for those that are not possible."""

from __future__ import annotations

import json
from datetime import date

import pytest

from era5dl.catalog import parse_key
from era5dl.catalog.keys import KeyParts
from era5dl.errors import BadSelection
from era5dl.subset.geometry import expected_geometry
from era5dl.subset.ranges import select_elements
from era5dl.subset.selection import Area, Point, Subset, pressure_levels


def test_different_ways_to_ask_for_the_same_are_equal() -> None:
    assert Subset(hours=(18, 6, 6), levels=(850, 500)) == Subset(hours=(6, 18), levels=(500, 850))
    assert Subset(points=(Point(1, 2), Point(3, 4), Point(1, 2))) == Subset(points=(Point(1, 2), Point(3, 4)))


def test_all_hours_and_all_levels_restrict_nothing() -> None:
    assert Subset(hours=tuple(range(24)), levels=pressure_levels()).is_everything
    assert not Subset(hours=(0,)).is_everything
    assert not Subset(area=Area(90, -180, -90, 180)).is_everything


def test_json_has_what_is_restricted() -> None:
    subset = Subset(hours=(6,), levels=(500,), area=Area(54, 73, 18, 135), days=((date(2021, 1, 1), date(2021, 1, 3)),))
    assert subset.to_json() == {
        "hours": [6],
        "levels": [500],
        "area": "54/73/18/135",
        "days": [["2021-01-01", "2021-01-03"]],
    }
    assert Subset(points=(Point(30.6, 114.3),)).to_json() == {"points": [[30.6, 114.3]]}
    assert Subset().to_json() == {}


def test_json_of_areas_and_points_is_exact() -> None:
    area = Area(54.1234567, -0.0, 18, 1e-07)
    assert Subset(area=area).to_json() == {"area": "54.1234567/0/18/1e-07"}
    assert [float(edge) for edge in str(area).split("/")] == [area.north, area.west, area.south, area.east]
    almost = Area(54.12345671, 0, 18, 1e-07)
    assert Subset(area=almost).to_json() != Subset(area=area).to_json()
    assert str(Point(30.12345678, 114.0)) == "30.12345678,114"


def test_json_texts_of_equal_subsets_are_equal() -> None:
    for one, other in [
        (Subset(area=Area(10, 0, -5, 5)), Subset(area=Area(10.0, -0.0, -5.0, 5.0))),
        (Subset(points=(Point(0, 5),)), Subset(points=(Point(-0.0, 5.0),))),
    ]:
        assert one == other
        assert json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_iterators_select_what_they_yield() -> None:
    day = (date(2021, 1, 1), date(2021, 1, 3))
    subset = Subset(hours=(hour for hour in (6, 18)), levels=iter([500]), days=iter([day]))  # type: ignore[arg-type]
    assert subset == Subset(hours=(6, 18), levels=(500,), days=(day,))
    assert Subset(points=iter([Point(1, 2)])) == Subset(points=(Point(1, 2),))  # type: ignore[arg-type]
    assert Subset(area=Area(10, 0, 0, 10), points=iter(())).points == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("west", "east", "width"),
    [
        (0, 10, 10),
        (350, 10, 20),
        (-10, 10, 20),
        (170, -170, 20),
        (170, 190, 20),
        (60, -20, 280),
        (-180, 180, 360),
        (0, 360, 360),
        (-180, 360, 360),
    ],
)
def test_width_of_an_area(west: float, east: float, width: float) -> None:
    assert Area(10, west, 0, east).width == width


BAD_AREAS = [
    ((10, 0, 20, 5), "South, 20, is north of north, 10", "20/0/10/5"),
    ((95, 0, 20, 5), "North is 95", "from -90 to 90"),
    ((10, 0, -90.5, 5), "South is -90.5", "from -90 to 90"),
    ((10, -181, 0, 5), "West is -181", "from -180 to 360"),
    ((10, 0, 0, 361), "East is 361", "from -180 to 360"),
    ((10, 5, 0, 5), "the same meridian", "west -180 and east 180"),
    ((10, 180, 0, -180), "the same meridian", "move east"),
    ((float("nan"), 0, 0, 5), "North is “nan”", "degrees"),
    ((10, 0, 0, float("inf")), "East is “inf”", "degrees"),
    ((10, 0, 0, "5"), "East is “5”", "degrees"),
    ((10, 0, 0, True), "East is “True”", "degrees"),
]


@pytest.mark.parametrize(("edges", "message", "remedy"), BAD_AREAS)
def test_areas_that_are_not_possible(edges: tuple[float, float, float, float], message: str, remedy: str) -> None:
    with pytest.raises(BadSelection) as caught:
        Area(*edges)
    assert message in str(caught.value)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(("latitude", "longitude"), [(91, 0), (float("nan"), 0), (0, -200), (0, 400)])
def test_points_that_are_not_possible(latitude: float, longitude: float) -> None:
    with pytest.raises(BadSelection, match="is not possible") as caught:
        Point(latitude, longitude)
    assert "degrees from" in caught.value.remedy


def test_an_area_and_points_exclude_one_another() -> None:
    with pytest.raises(BadSelection) as caught:
        Subset(area=Area(10, 0, 0, 10), points=(Point(5, 5),))
    assert caught.value.remedy == "Use either an area or points."


@pytest.mark.parametrize("hour", [24, -1, 1.5, "6", True])
def test_hours_that_do_not_exist(hour: int) -> None:
    with pytest.raises(BadSelection, match="There is no hour") as caught:
        Subset(hours=(0, hour))
    assert "0 to 23" in caught.value.remedy
    assert ("next day" in caught.value.remedy) == (hour == 24)


@pytest.mark.parametrize(
    ("level", "neighbours"),
    [(501, "500 hPa and 550 hPa"), (0.5, "1 hPa"), (2000, "1000 hPa"), (999, "975 hPa and 1000")],
)
def test_levels_that_do_not_exist_have_neighbours(level: float, neighbours: str) -> None:
    with pytest.raises(BadSelection, match=f"no level at {level:g} hPa") as caught:
        Subset(levels=(level,))  # type: ignore[arg-type]
    assert neighbours in caught.value.remedy


def test_levels_are_numbers() -> None:
    with pytest.raises(BadSelection, match="not a level"):
        Subset(levels=(float("nan"),))  # type: ignore[arg-type]


def file(key: str) -> KeyParts:
    parts = parse_key(key)
    assert parts
    return parts


DAY = file("e5.oper.an.pl/202101/e5.oper.an.pl.128_130_t.ll025sc.2021010100_2021010123.nc")
MONTH = file("e5.oper.an.sfc/202101/e5.oper.an.sfc.128_167_2t.ll025sc.2021010100_2021013123.nc")
FORECAST = file("e5.oper.fc.sfc.accumu/202101/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.2021010106_2021011606.nc")
FIXED = file("e5.oper.invariant/197901/e5.oper.invariant.128_172_lsm.ll025sc.1979010100_1979010100.nc")
JANUARY = ((date(2021, 1, 1), date(2021, 1, 31)),)


def test_what_is_restricted_of_a_file() -> None:
    """Equal subsets of a file have equal names, so what does not affect it is dropped."""
    china = Area(54, 73, 18, 135)
    subset = Subset(hours=(0, 12), levels=(500,), area=china, days=JANUARY)
    assert subset.for_file(DAY) == Subset(hours=(0, 12), levels=(500,), area=china)
    assert subset.for_file(MONTH) == Subset(hours=(0, 12), area=china)
    assert subset.for_file(FIXED) == Subset(area=china)
    assert Subset(levels=(500,), days=JANUARY).for_file(MONTH).is_everything
    days = ((date(2020, 5, 1), date(2020, 5, 9)), (date(2020, 12, 9), date(2021, 1, 4)), (date(2021, 1, 9),) * 2)
    assert Subset(days=days).for_file(MONTH) == Subset(
        days=((date(2021, 1, 1), date(2021, 1, 4)), (date(2021, 1, 9),) * 2)
    )


@pytest.mark.parametrize(
    ("key", "subset"),
    [
        (MONTH, Subset(days=((date(2021, 2, 1), date(2021, 2, 1)),))),
        (FORECAST, Subset(hours=(6,), days=((date(2021, 1, 1), date(2021, 1, 1)),))),  # begins at 07 UTC
        (FORECAST, Subset(hours=(7, 23), days=((date(2021, 1, 16), date(2021, 1, 31)),))),  # ends at 06 UTC
    ],
)
def test_a_file_in_which_no_hour_is_selected(key: KeyParts, subset: Subset) -> None:
    with pytest.raises(BadSelection, match="No hour of this file is selected"):
        subset.for_file(key)
    with pytest.raises(BadSelection, match="No hour of this file is selected"):
        select_elements(expected_geometry(key), subset)


def test_first_and_last_hour_of_a_forecast_file() -> None:
    assert Subset(hours=(7,), days=((date(2021, 1, 1),) * 2,)).for_file(FORECAST)
    assert Subset(hours=(6,), days=((date(2021, 1, 16),) * 2,)).for_file(FORECAST)


def test_the_last_hour_that_can_be_in_a_name() -> None:
    name = "e5.oper.fc.sfc.accumu/999912/e5.oper.fc.sfc.accumu.128_142_lsp.ll025sc.9999123123_9999123123.nc"
    assert not Subset(hours=(7,)).selects_any_of(file(name))


def test_id_is_stable() -> None:
    """It is in the names of files: it must never change."""
    assert Subset(hours=(0, 12), area=Area(54, 73, 18, 135)).id == "cd6e4f41"
    assert Subset(hours=(12, 0, 0), area=Area(54.0, 73, 18, 135)).id == "cd6e4f41"


@pytest.mark.parametrize(
    "subset",
    [
        Subset(),
        Subset(hours=(0, 12), levels=(500,), area=Area(54.125, -10, -0.0, 1e-07), days=JANUARY),
        Subset(points=(Point(30.6, 114.3, "Wuhan 武汉"), Point(-33.9, 18.4))),
    ],
)
def test_json_is_read_as_written(subset: Subset) -> None:
    assert Subset.from_json(json.loads(json.dumps(subset.to_json()))) == subset


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"hours": 6},
        {"hours": [[6]]},
        {"hours": ["6"]},
        {"levels": [10**400]},
        {"levels": [[]]},
        {"area": [54, 73, 18, 135]},
        {"area": "54/73/18"},
        {"area": "54/73/18/1e999"},
        {"area": "54/73/18/e"},
        {"area": "54/73/18/" + "1" * 5000},
        {"points": [30.6, 114.3]},
        {"points": [[30.6, 114.3, 5]]},
        {"points": [[30.6, [114.3]]]},
        {"points": [[1, 2, "bell\a"]]},
        {"points": [[1, n / 1000] for n in range(10_001)]},
        {"days": [["2021-01-02", "2021-01-01"]]},
        {"a restriction of a later version": 1},
    ],
)
def test_json_of_no_subset_is_refused(value: object) -> None:
    with pytest.raises(BadSelection):
        Subset.from_json(value)
