"""Subset selection: the hours, levels, and area or points that the user wants out of each file, in canonical form."""

from __future__ import annotations

import hashlib
import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from typing import Any

from era5dl.catalog import Cadence, products
from era5dl.catalog.keys import KeyParts
from era5dl.days import Days, days_from_json, days_to_json, merge_days
from era5dl.errors import BadSelection

HOURS_OF_DAY = range(24)
MAX_POINTS = 10_000
_MAX_NAME = 80  # characters
_HOUR = timedelta(hours=1)
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
    """A place in degrees; longitude -180 to 360. It stands for the nearest grid point. Raises BadSelection.

    name: such as that of a weather station; may be empty.
    """

    latitude: float
    longitude: float
    name: str = ""

    def __post_init__(self) -> None:
        _check_degrees("latitude", self.latitude, _LATITUDES)
        _check_degrees("longitude", self.longitude, _LONGITUDES)
        if len(self.name) > _MAX_NAME or not all(character.isprintable() for character in self.name):
            remedy = f"Use at most {_MAX_NAME} printable characters."
            raise BadSelection(f"{self.name[:_MAX_NAME]!a} is not a possible name of a point.", remedy=remedy)

    def __str__(self) -> str:
        return f"{_plain(self.latitude)},{_plain(self.longitude)}"


@dataclass(frozen=True)  # without slots, for cached properties
class Subset:
    """What is wanted of each file. Empty, or None, means everything. Raises BadSelection.

    hours: of the day, UTC; for forecasts, of the valid time. levels: hPa, for variables on pressure levels; files
    without levels are not affected. days: ranges of days, UTC. Different ways to ask for the same thing are equal.
    prove: fetch whole files and verify them by their ETags before the subsets are taken out of them. The written files
    are the same.
    """

    hours: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    area: Area | None = None
    points: tuple[Point, ...] = ()
    days: Days = ()
    prove: bool = False

    def __post_init__(self) -> None:
        for name in ("hours", "levels", "points", "days"):  # an iterator could be read only once
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.area is not None and self.points:
            raise BadSelection("Both an area and points are selected.", remedy="Use either an area or points.")
        hours, levels = _checked_hours(self.hours), _checked_levels(self.levels)
        object.__setattr__(self, "hours", () if len(hours) == len(HOURS_OF_DAY) else hours)
        object.__setattr__(self, "levels", () if levels and levels == pressure_levels() else levels)
        if len(points := tuple(dict.fromkeys(self.points))) < len(self.points):
            object.__setattr__(self, "points", points)  # else the tuple is shared by the subsets of all files
        object.__setattr__(self, "days", merge_days(self.days))
        if len(self.points) > MAX_POINTS:
            remedy = "Divide them among several downloads, or use an area."
            raise BadSelection(f"{len(self.points):,} points are more than {MAX_POINTS:,}.", remedy=remedy)

    @property
    def is_everything(self) -> bool:
        """Whether it restricts nothing."""
        return not (self.hours or self.levels or self.area or self.points or self.days)

    @cached_property
    def id(self) -> str:
        """8 hex digits, the same for subsets with the same elements; a part of file names."""
        text = json.dumps(self.elements_to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:8]

    def for_file(self, key: KeyParts) -> Subset:
        """Return what it restricts of one file. Equal results select the same elements of this file.

        Days are those of the file; a restriction to all of its days, to levels of a file without levels, or to hours
        and days of an invariant is dropped. Raises BadSelection when no hour of the file is selected.
        """
        is_fixed = key.product.cadence is Cadence.FIXED
        levels = self.levels if key.product.levels_hpa else ()
        days = self.days_of(key)
        if (days, levels) == (self.days, self.levels) and not (is_fixed and self.hours):
            return self
        hours = () if is_fixed else self.hours
        known = self._for_files.get((hours, levels, days))
        if known is None:  # the same object for similar files: its points are validated, and its id is computed, once
            known = replace(self, hours=hours, levels=levels, days=days)
            self._for_files[hours, levels, days] = known
        return known

    def days_of(self, key: KeyParts) -> Days:
        """Return its days that are in a file; () if they are all days of the file.

        Raises BadSelection when no hour of the file is selected.
        """
        if key.product.cadence is Cadence.FIXED:
            return ()
        first = key.start
        if key.product.cadence is Cadence.HALF_MONTH and first < key.end:  # after 9999-12-31 there is no hour
            first += _HOUR
        whole = ((first.date(), key.end.date()),)
        days = _within(self.days, first, key.end) if self.days else whole
        if not any(_has_hour(self.hours, first, key.end, span) for span in days):
            remedy = f"It has the hours {first:%Y-%m-%d %H} to {key.end:%Y-%m-%d %H} UTC."
            raise BadSelection("No hour of this file is selected.", remedy=remedy)
        return () if days == whole else days

    def selects_any_of(self, key: KeyParts) -> bool:
        """Return whether any hour of a file is selected."""
        try:
            self.days_of(key)
        except BadSelection:
            return False
        return True

    @cached_property
    def _for_files(self) -> dict[Any, Subset]:
        return {}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form, equal for equal subsets."""
        form = self.elements_to_json()
        return {**form, "prove": True} if form and self.prove else form

    def elements_to_json(self) -> dict[str, Any]:
        """Return a JSON-able form of what is restricted, equal if the same elements are selected."""
        form: dict[str, Any] = {"hours": list(self.hours), "levels": list(self.levels)}
        form["area"] = str(self.area) if self.area else ""
        form["points"] = [
            [_plain(point.latitude), _plain(point.longitude), *([point.name] if point.name else [])]
            for point in self.points
        ]
        form["days"] = days_to_json(self.days)
        return {name: value for name, value in form.items() if value}

    @classmethod
    def from_json(cls, value: Any) -> Subset:
        """Return the subset that `to_json` wrote. Raises BadSelection for anything else."""
        if not isinstance(value, Mapping):
            raise BadSelection("A subset must be a JSON object.")
        unknown = sorted(map(repr, value.keys() - {"hours", "levels", "area", "points", "days", "prove"}))
        if unknown:  # of a later version: to ignore it would select too much
            raise BadSelection(f"A subset cannot have {', '.join(unknown)[:80]}.")
        lists = {name: value.get(name, []) for name in ("hours", "levels", "points", "days")}
        if not all(isinstance(one, list) for one in lists.values()):
            raise BadSelection(f"{', '.join(map(_quoted, lists))} of a subset must be lists.")
        if (prove := value.get("prove", False)) not in (True, False):
            raise BadSelection("“prove” of a subset must be true or false.")
        return cls(
            hours=tuple(lists["hours"]),
            levels=tuple(lists["levels"]),
            area=_area_from_json(value.get("area")),
            points=tuple(map(_point_from_json, lists["points"])),
            days=days_from_json(lists["days"]),
            prove=bool(prove),
        )


@cache
def pressure_levels() -> tuple[int, ...]:
    """Return the pressure levels of the catalogue in hPa, ascending."""
    return tuple(sorted({level for product in products() for level in product.levels_hpa}))


def nearest(value: float, choices: Sequence[float]) -> tuple[float, ...]:
    """Return the one or two of these ascending numbers between which `value` is."""
    at = bisect_left(choices, value)
    return tuple(choices[max(at - 1, 0) : at + 1])


def _area_from_json(value: Any) -> Area | None:
    if value is None:
        return None
    edges = value.split("/") if isinstance(value, str) else []
    if len(edges) != 4 or not all(re.fullmatch(r"[-+.0-9e]{1,32}", edge) for edge in edges):
        raise BadSelection("“area” of a subset must be a text north/west/south/east.")
    try:
        north, west, south, east = map(float, edges)
    except ValueError:
        raise BadSelection("“area” of a subset must be a text north/west/south/east.") from None
    return Area(north, west, south, east)


def _point_from_json(value: Any) -> Point:
    if not isinstance(value, list) or len(value) not in (2, 3) or not all(isinstance(name, str) for name in value[2:]):
        raise BadSelection("“points” of a subset must be a list of [latitude, longitude].")
    return Point(*value)


def _within(days: Days, first: datetime, last: datetime) -> Days:
    """Return those of the days that have any hour from `first` to `last`."""
    begin, end = first.date(), last.date()
    found: list[tuple[date, date]] = []
    for number in range(max(bisect_left(days, (begin, begin)) - 1, 0), len(days)):
        start, stop = days[number]
        if start > end:
            break
        if stop >= begin:
            found.append((max(start, begin), min(stop, end)))
    return tuple(found)


def _has_hour(hours: tuple[int, ...], first: datetime, last: datetime, span: tuple[date, date]) -> bool:
    """Return whether there is any of these hours of the day (none: all) from `first` to `last` and in these days."""
    start = max(first, datetime.combine(span[0], time()))
    stop = min(last, datetime.combine(span[1], time(23)))
    count = (stop - start) // _HOUR + 1
    return not hours or any((start.hour + number) % 24 in hours for number in range(min(count, 24)))


def _quoted(name: str) -> str:
    return f"“{name}”"


def _checked_hours(hours: Iterable[int]) -> tuple[int, ...]:
    for hour in hours:
        if type(hour) is not int or hour not in HOURS_OF_DAY:
            remedy = "Hours are whole numbers from 0 to 23, UTC."
            if hour == 24:
                remedy = "Hour 24 is hour 0 of the next day. " + remedy
            raise BadSelection(f"There is no hour {hour}.", remedy=remedy)
    return tuple(sorted(set(hours)))


def _checked_levels(levels: tuple[int, ...]) -> tuple[int, ...]:
    known = pressure_levels() if levels else ()
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
    if type(value) is int:
        return abs(value) < 2**53  # a larger one may not be convertible to float
    return type(value) is float and math.isfinite(value)


EVERYTHING = Subset()
"""Whole files."""
