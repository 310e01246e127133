"""Tests of the texts and numbers from which subsets are parsed, and of the errors for those that are not possible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import era5dl
from era5dl.errors import BadSelection
from era5dl.subset.parsing import parse_area, parse_hours, parse_levels, parse_point, parse_points
from era5dl.subset.selection import Area, Point, Subset

CHINA = Area(54, 73, 18, 135)
WUHAN = Point(30.6, 114.3)
MAY = {"start": "2021-05-01", "end": "2021-05-03"}


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        (6, [6]),
        ("6", [6]),
        ("0,6, 12 ,18", [0, 6, 12, 18]),
        (["06:00", "18"], [6, 18]),
        ("0-23", list(range(24))),
        ("22-23,0-2", [22, 23, 0, 1, 2]),
        (range(0, 24, 6), [0, 6, 12, 18]),
        (np.arange(3), [0, 1, 2]),
        ((), []),
    ],
)
def test_hours(given: Any, hours: list[int]) -> None:
    assert list(parse_hours(given)) == hours


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        (500, [500]),
        ("850, 500", [850, 500]),
        ("850-1000", [850, 875, 900, 925, 950, 975, 1000]),
        ("1000-850", [850, 875, 900, 925, 950, 975, 1000]),
        ([500, "2-5"], [500, 2, 3, 5]),
    ],
)
def test_levels(given: Any, levels: list[int]) -> None:
    assert list(parse_levels(given)) == levels


@pytest.mark.parametrize(
    "given",
    ["54/73/18/135", "54,73,18,135", " +54.0 / 73 / 18 / 135. ", [54, 73, 18, 135], np.array([54, 73, 18, 135]), CHINA],
)
def test_areas(given: Any) -> None:
    assert parse_area(given) == CHINA


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ("30.6,114.3", [WUHAN]),
        ("30.6/114.3", [WUHAN]),
        ((30.6, 114.3), [WUHAN]),
        (np.array([30.6, 114.3]), [WUHAN]),
        (WUHAN, [WUHAN]),
        (["30.6,114.3", (-33.9, 18.4), Point(1, 2)], [WUHAN, Point(-33.9, 18.4), Point(1, 2)]),
        (np.array([[30.6, 114.3], [1, 2]]), [WUHAN, Point(1, 2)]),
        ([(30.6, 114.3, " Wuhan "), ("1", "2")], [Point(30.6, 114.3, "Wuhan"), Point(1, 2)]),
        ((30.6, 114.3, "Wuhan"), [Point(30.6, 114.3, "Wuhan")]),
        (None, []),
        ([], []),
    ],
)
def test_points(given: Any, points: list[Point]) -> None:
    assert list(parse_points(given)) == points


@pytest.mark.parametrize(
    ("parse", "given", "message", "remedy"),
    [
        (parse_hours, "noon", "“noon” is not an hour", "such as 0,6,12,18"),
        (parse_hours, "0,,6", "“” is not an hour", "such as 0,6,12,18"),
        (parse_hours, "6:30", "“6:30” is not an hour", "such as 0,6,12,18"),
        (parse_hours, 1.5, "“1.5” is not an hour", "such as 0,6,12,18"),
        (parse_hours, "-1", "“-1” is not an hour", "such as 0,6,12,18"),
        (parse_hours, "22-3", "ends before it begins", "22-23,0-3"),
        (parse_levels, "surface", "“surface” is not a level", "such as 500,850"),
        (parse_levels, "501-509", "no level between 501 and 509 hPa", "500 hPa and 550 hPa"),
        (parse_area, "China", "“China” is not a number of degrees", "north/west/south/east"),
        (parse_area, "54N/73E/18N/135E", "“54N” is not a number of degrees", "south and west are negative"),
        (parse_area, "54/73/18", "has 3 of 4 numbers", "north/west/south/east"),
        (parse_area, "30,6/73/18/135", "“30,6” is not a number", "north/west/south/east"),
        (parse_area, "nan/73/18/135", "“nan” is not a number", "north/west/south/east"),
        (parse_area, 54, "“54” is not a list of degrees", "north/west/south/east"),
        (parse_area, (54, 73, 18, None), "“None” is not a number", "north/west/south/east"),
        (parse_point, "30.6", "has 1 of 2 numbers", "latitude,longitude"),
        (parse_point, "30.6;114.3", "“30.6;114.3” is not a number", "latitude,longitude"),
        (parse_points, [1, 2, 3], "has 3 of 2 numbers", "latitude,longitude"),
        (parse_points, [True, 2], "“True” is not a number", "latitude,longitude"),
        (parse_points, 5, "“5” is not a list", "latitude,longitude"),
    ],
)
def test_what_is_not_possible(parse: Any, given: Any, message: str, remedy: str) -> None:
    with pytest.raises(BadSelection) as caught:
        parse(given)
    assert message in str(caught.value)
    assert remedy in caught.value.remedy


def test_select_a_subset() -> None:
    selection = era5dl.select("an.pl/t", **MAY, hours="0,12", levels=500, area="54/73/18/135")
    assert selection.subset == Subset(hours=(0, 12), levels=(500,), area=CHINA, days=selection.days)
    assert era5dl.select("2t", **MAY, point=(30.6, 114.3)).subset == Subset(points=(WUHAN,), days=selection.days)
    assert era5dl.select("2t", **MAY, only_days=True).subset == Subset(days=selection.days)
    assert era5dl.select("2t", **MAY, points=[(30.6, 114.3)]) == era5dl.select("2t", **MAY, point=(30.6, 114.3))
    assert era5dl.select("2t", **MAY, points=[era5dl.Point(30.6, 114.3)], prove=True).subset.prove
    assert era5dl.select("2t", **MAY, area=era5dl.Area(54, 73, 18, 135)).subset.area == CHINA
    with pytest.raises(BadSelection, match="Both point and points"):
        era5dl.select("2t", **MAY, point=(30.6, 114.3), points=[(30.6, 114.3)])
    assert era5dl.select("2t", **MAY, prove=True) == era5dl.select("2t", **MAY), "whole files are always verified"
    assert era5dl.select("2t", **MAY).subset.is_everything
    assert era5dl.select("2t", **MAY, hours=range(24)).subset.is_everything


def test_values_of_requests_to_the_climate_data_store() -> None:
    selection = era5dl.select("an.pl/t", **MAY, hours=["00:00", "12:00"], levels=["500", "850"], area=[54, 73, 18, 135])
    assert selection.subset == Subset((0, 12), (500, 850), CHINA, days=selection.days)


def test_selections_of_invariants_have_no_hours_and_days() -> None:
    assert era5dl.select("lsm", **MAY, hours=6, area=CHINA).subset == Subset(area=CHINA)
    assert era5dl.select("lsm", **MAY, only_days=True).subset.is_everything


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"levels": 500}, "none of the variables is on pressure levels", "an.pl"),
        ({"area": "30.6/114.3/30.55/114.4"}, "no grid point in the area", "--point 30.5,114.25"),
        ({"area": CHINA, "point": WUHAN}, "Both an area and points", "either"),
        ({"hours": 24}, "no hour 24", "hour 0 of the next day"),
    ],
)
def test_subsets_that_select_nothing(options: dict[str, Any], message: str, remedy: str) -> None:
    with pytest.raises(BadSelection) as caught:
        era5dl.select("2t", **MAY, **options)
    assert message in str(caught.value)
    assert remedy in caught.value.remedy
