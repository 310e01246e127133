"""Parsing of subsets: hours, levels, areas and points from the texts and numbers that users write, and from files."""

from __future__ import annotations

import csv
import operator
import re
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

from era5dl.days import Days
from era5dl.errors import BadSelection
from era5dl.subset.grid import era5_grid
from era5dl.subset.selection import HOURS_OF_DAY, MAX_POINTS, Area, Point, Subset, nearest, pressure_levels

_NUMBER = re.compile(r"[-+]?([0-9]{1,9}(\.[0-9]{0,15})?|\.[0-9]{1,15})", re.ASCII)
_AREA_HINT = "Write north/west/south/east in degrees, such as 54/73/18/135; south and west are negative."
_POINT_HINT = "Write latitude,longitude in degrees, such as 30.6,114.3; south and west are negative."
_POINTS_HINT = "Write latitude,longitude or latitude,longitude,name in each line; south and west are negative."
_MAX_POINTS_FILE = 2 << 20  # bytes


def parse_subset(
    *,
    hours: Any = (),
    levels: Any = (),
    area: Any = None,
    point: Any = None,
    days: Days = (),
    prove: bool = False,
) -> Subset:
    """Return the subset of values as in the functions below. Raises BadSelection, also if no grid point is selected."""
    subset = Subset(
        hours=parse_hours(hours),
        levels=parse_levels(levels),
        area=None if area is None else parse_area(area),
        points=parse_points(point),
        days=days,
        prove=prove,
    )
    era5_grid().cells(subset)
    return subset


def parse_hours(items: Any) -> tuple[int, ...]:
    """Return hours of the day: from 6, "6", "06:00", "0-23", "0,6,12,18", or any mixture. Raises BadSelection."""
    hours: list[int] = []
    for text in _pieces(items):
        match = re.fullmatch(r"([0-9]{1,2})(?::00)?(?:\s*-\s*([0-9]{1,2})(?::00)?)?", text, re.ASCII)
        if match is None:
            remedy = "Write hours (UTC) such as 0,6,12,18 or 9-17."
            raise BadSelection(f"“{text}” is not an hour of the day.", remedy=remedy)
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last and first in HOURS_OF_DAY:
            remedy = f"For hours across midnight, write {first}-23,0-{last}."
            raise BadSelection(f"The range of hours “{text}” ends before it begins.", remedy=remedy)
        hours += range(first, last + 1)
    return tuple(hours)


def parse_levels(items: Any) -> tuple[int, ...]:
    """Return pressure levels in hPa: from 500, "500,850", "850-500" (all levels between), or any mixture.

    Raises BadSelection.
    """
    levels: list[int] = []
    for text in _pieces(items):
        match = re.fullmatch(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?", text, re.ASCII)
        if match is None:
            remedy = "Levels are pressures in hPa, such as 500,850 or 850-1000."
            raise BadSelection(f"“{text}” is not a level.", remedy=remedy)
        if match[2] is None:
            levels.append(int(match[1]))
            continue
        low, high = sorted(map(int, match.groups()))
        found = [level for level in pressure_levels() if low <= level <= high]
        if not found:
            names = " and ".join(f"{choice:g} hPa" for choice in nearest(low, pressure_levels()))
            raise BadSelection(f"There is no level between {low} and {high} hPa.", remedy=f"Nearest: {names}.")
        levels += found
    return tuple(levels)


def parse_area(value: Any) -> Area:
    """Return the area of "54/73/18/135", "54,73,18,135" or four numbers. Raises BadSelection."""
    if isinstance(value, Area):
        return value
    edges = _degrees(value, _AREA_HINT)
    if len(edges) != 4:
        raise BadSelection(f"{_shown(value)} is not an area: it has {len(edges)} of 4 numbers.", remedy=_AREA_HINT)
    return Area(*edges)


def parse_point(value: Any) -> Point:
    """Return the point of "30.6,114.3", "30.6/114.3" or two numbers, which a name may follow. Raises BadSelection."""
    if isinstance(value, Point):
        return value
    if not isinstance(value, str) and len(parts := _listed(value, _POINT_HINT)) == 3 and isinstance(parts[2], str):
        return Point(_number(parts[0], _POINT_HINT), _number(parts[1], _POINT_HINT), parts[2].strip())
    degrees = _degrees(value, _POINT_HINT)
    if len(degrees) != 2:
        raise BadSelection(f"{_shown(value)} is not a point: it has {len(degrees)} of 2 numbers.", remedy=_POINT_HINT)
    return Point(degrees[0], degrees[1])


def parse_points(value: Any) -> tuple[Point, ...]:
    """Return the points of one or several values as in `parse_point`. Raises BadSelection."""
    if value is None:
        return ()
    if isinstance(value, str | Point):
        return (parse_point(value),)
    items = _listed(value, _POINT_HINT)
    if items and not isinstance(items[0], str | Point) and not _is_iterable(items[0]):
        return (parse_point(items),)  # two numbers
    return tuple(map(parse_point, items))


def read_points(path: Path) -> tuple[Point, ...]:
    """Return the points of a CSV file with lines `latitude,longitude` or `latitude,longitude,name`.

    Semicolons and tabs may separate them, too. A heading, empty lines, and lines that begin with "#" are ignored.
    Raises BadSelection, with the number of the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_POINTS_FILE + 1)
    except OSError as error:
        remedy = "Specify a CSV file with latitude,longitude in each line."
        raise BadSelection(f"The list of points cannot be read: {error}", remedy=remedy) from error
    if len(data) > _MAX_POINTS_FILE:
        remedy = "Divide it into several."
        raise BadSelection(f"The list of points {path} is longer than {MAX_POINTS:,} points can be.", remedy=remedy)
    try:
        lines = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError:
        remedy = "Save it as UTF-8 text."
        raise BadSelection(f"The list of points {path} is not a text file in UTF-8.", remedy=remedy) from None
    points: list[Point] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#") or (not points and _is_heading(line)):
            continue
        try:
            points.append(_parse_line(line))
        except BadSelection as error:
            message = f"Line {number} of the list of points: {error}"
            raise BadSelection(message, remedy=error.remedy or _POINTS_HINT) from None
    if not points:
        raise BadSelection(f"The list of points {path} is empty.", remedy=_POINTS_HINT)
    return tuple(points)


def _is_heading(line: str) -> bool:
    return re.match(r"\s*\"?(lat|latitude)\b", line, re.IGNORECASE) is not None


def _parse_line(line: str) -> Point:
    separator = next((mark for mark in ";\t" if mark in line), ",")
    try:
        (fields,) = csv.reader(StringIO(line), delimiter=separator, strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        raise BadSelection(f"{_shown(line)} is not a line of a CSV file.", remedy=_POINTS_HINT) from None
    if len(fields) not in (2, 3):
        message = f"{_shown(line)} has {len(fields)} values instead of 2 or 3."
        raise BadSelection(message, remedy=_POINTS_HINT)
    latitude, longitude = (_number(field.strip(), _POINTS_HINT) for field in fields[:2])
    return Point(latitude, longitude, "".join(fields[2:]).strip())


def _pieces(items: Any) -> list[str]:
    """Return the texts between commas of all items."""
    if isinstance(items, str) or not _is_iterable(items):
        items = [items]
    return [piece.strip() for item in items for piece in str(item).split(",")]


def _degrees(value: Any, hint: str) -> list[float]:
    if isinstance(value, str):
        return [_number(part.strip(), hint) for part in value.split("/" if "/" in value else ",")]
    return [_number(part, hint) for part in _listed(value, hint)]


def _number(value: Any, hint: str) -> float:
    """Return a number as an int or a float, also of NumPy."""
    if isinstance(value, str):
        value = value.replace("\N{MINUS SIGN}", "-")
        if _NUMBER.fullmatch(value) is None:
            raise BadSelection(f"{_shown(value)} is not a number of degrees.", remedy=hint)
        return float(value)
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise BadSelection(f"{_shown(value)} is not a number of degrees.", remedy=hint)
    return operator.index(value) if isinstance(value, SupportsIndex) else float(value)


def _listed(value: Any, hint: str) -> list[Any]:
    if not _is_iterable(value):
        raise BadSelection(f"{_shown(value)} is not a list of degrees.", remedy=hint)
    return list(value)


def _is_iterable(value: Any) -> bool:
    return isinstance(value, Iterable)


def _shown(value: Any) -> str:
    return f"“{str(value)[:80]}”"
