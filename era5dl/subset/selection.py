"""Subset selection: the hours, levels, and area or points that the user wants out of each file, in canonical form."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from era5dl.catalog import products
from era5dl.errors import BadSelection
from era5dl.selection import Days

HOURS_OF_DAY = range(24)
_LATITUDES = (-90.0, 90.0)
_LONGITUDES = (-180.0, 360.0)


@dataclass(frozen=True, slots=True)
class Area:
    """A box in degrees, edges included. It extends from `west` to the east, also across Greenwich or 180 degrees.

    Longitudes are -180 to 360. Raises BadSelection when south is north of north, and where west and east are the same
    meridian, which could mean one meridian or the whole circle.
    """

    north: float
    west: float
    south: float
    east: float

    def __post_init__(self) -> None:
        _check_degrees("north", self.north, _LATITUDES)
        _check_degrees("south", self.south, _LATITUDES)
        _check_degrees("west", self.west, _LONGITUDES)
        _check_degrees("east", self.east, _LONGITUDES)
        if self.south > self.north:
            raise BadSelection(
                f"South, {self.south:g}, is north of north, {self.north:g}.",
                remedy=f"An area is north/west/south/east: {self.south:g}/{self.west:g}/{self.north:g}/{self.east:g}?",
            )
        if self.east <= self.west and self.width == 0:
            raise BadSelection(
                f"West, {self.west:g}, and east, {self.east:g}, are the same meridian.",
                remedy="For all longitudes use west -180 and east 180. For one meridian, move east by 0.1 degrees.",
            )

    @property
    def width(self) -> float:
        """Degrees of longitude from west to east, at most 360."""
        if self.east > self.west:
            return min(self.east - self.west, 360.0)
        return (self.east - self.west) % 360.0

    def __str__(self) -> str:
        return "/".join(str(_plain(edge)) for edge in (self.north, self.west, self.south, self.east))


@dataclass(frozen=True, slots=True)
class Point:
    """A place in degrees; longitude -180 to 360. It stands for the nearest grid point. Raises BadSelection."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        _check_degrees("latitude", self.latitude, _LATITUDES)
        _check_degrees("longitude", self.longitude, _LONGITUDES)

    def __str__(self) -> str:
        return f"{_plain(self.latitude)},{_plain(self.longitude)}"


@dataclass(frozen=True, slots=True)
class Subset:
    """What is wanted of each file. Empty, or None, means everything. Raises BadSelection.

    hours: of the day, UTC; for forecasts, of the valid time. levels: hPa, for variables on pressure levels; files
    without levels are not affected. days: ranges of days, UTC. Different ways to ask for the same thing are equal.
    """

    hours: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    area: Area | None = None
    points: tuple[Point, ...] = ()
    days: Days = ()

    def __post_init__(self) -> None:
        for name in ("hours", "levels", "points", "days"):  # an iterator could be read only once
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.area is not None and self.points:
            raise BadSelection("Both an area and points are selected.", remedy="Use either an area or points.")
        hours, levels = _checked_hours(self.hours), _checked_levels(self.levels)
        object.__setattr__(self, "hours", () if len(hours) == len(HOURS_OF_DAY) else hours)
        object.__setattr__(self, "levels", () if len(levels) == len(pressure_levels()) else levels)
        object.__setattr__(self, "points", tuple(dict.fromkeys(self.points)))

    @property
    def is_everything(self) -> bool:
        """Whether it restricts nothing."""
        return self == Subset()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form of what is restricted, equal for equal subsets."""
        form: dict[str, Any] = {"hours": list(self.hours), "levels": list(self.levels)}
        form["area"] = str(self.area) if self.area else ""
        form["points"] = [[_plain(point.latitude), _plain(point.longitude)] for point in self.points]
        form["days"] = [[first.isoformat(), last.isoformat()] for first, last in self.days]
        return {name: value for name, value in form.items() if value}


@cache
def pressure_levels() -> tuple[int, ...]:
    """Return the pressure levels of the catalogue in hPa, ascending."""
    return tuple(sorted({level for product in products() for level in product.levels_hpa}))


def nearest(value: float, choices: Sequence[float]) -> tuple[float, ...]:
    """Return the one or two of these ascending numbers between which `value` is."""
    at = bisect_left(choices, value)
    return tuple(choices[max(at - 1, 0) : at + 1])


def _checked_hours(hours: Iterable[int]) -> tuple[int, ...]:
    for hour in hours:
        if type(hour) is not int or hour not in HOURS_OF_DAY:
            remedy = "Hours are whole numbers from 0 to 23, UTC."
            if hour == 24:
                remedy = "Hour 24 is hour 0 of the next day. " + remedy
            raise BadSelection(f"There is no hour {hour}.", remedy=remedy)
    return tuple(sorted(set(hours)))


def _checked_levels(levels: Iterable[int]) -> tuple[int, ...]:
    known = pressure_levels()
    for level in levels:
        if not _is_number(level):
            raise BadSelection(f"“{level}” is not a level.", remedy="Levels are pressures in hPa, such as 500.")
        if level not in known:
            names = " and ".join(f"{choice:g} hPa" for choice in nearest(level, known))
            raise BadSelection(f"There is no level at {level:g} hPa.", remedy=f"Nearest: {names}.")
    return tuple(sorted({int(level) for level in levels}))


def _check_degrees(name: str, value: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if not _is_number(value) or not low <= value <= high:
        shown = f"{value:g}" if _is_number(value) else f"“{value}”"
        remedy = f"Use degrees from {low:g} to {high:g}."
        raise BadSelection(f"{name.capitalize()} is {shown}, which is not possible.", remedy=remedy)


def _plain(degrees: float) -> float:
    """Return the same number, as an integer where it is one. Equal numbers get equal texts: 5 and 5.0, 0 and -0.0."""
    return int(degrees) if degrees == int(degrees) else degrees


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
