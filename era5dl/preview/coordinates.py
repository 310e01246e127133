"""Coordinates of the variables in a netCDF file: latitudes and longitudes, points, and axes of valid times."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from era5dl.catalog import Variable as CatalogVariable
from era5dl.catalog import variables
from era5dl.catalog.key_names import describe_key
from era5dl.catalog.keys import key_of_file_name
from era5dl.hdf5 import Index, UnsupportedLayout, Variable

_TIMES = ("time", "valid_time")
_INITIAL, _AHEAD = "forecast_initial_time", "forecast_hour"
_MAX_TIMES = 1 << 20
_UNITS = re.compile(
    r"(second|minute|hour|day)s? since (\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.0*)?)?)?\s*Z?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Grid:
    """Latitudes in the order of the file. longitudes: ascending, may go on beyond 180 and 360 degrees."""

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.latitudes), len(self.longitudes)

    @property
    def step(self) -> tuple[float, float]:
        """Degrees between neighbours: latitudes, longitudes. Of a single row or column: a quarter."""
        return _step(self.latitudes), _step(self.longitudes)

    @property
    def is_global(self) -> bool:
        """Whether the longitudes go around the globe."""
        return self.longitudes[-1] - self.longitudes[0] + 1.5 * self.step[1] >= 360

    def nearest(self, latitude: float, longitude: float) -> tuple[int, int] | None:
        """Return row and column of the grid point nearest to a place; None outside of the grid."""
        down, right = self.step
        row = _nearest(self.latitudes, latitude)
        east = self.longitudes[0] + (longitude - self.longitudes[0] + right / 2) % 360 - right / 2
        column = _nearest(self.longitudes, east)
        if abs(self.latitudes[row] - latitude) > down * 0.51 or abs(self.longitudes[column] - east) > right * 0.51:
            return None
        return row, column


@dataclass(frozen=True, slots=True)
class Points:
    """Places of a dimension of stations."""

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.latitudes),)


@dataclass(frozen=True, slots=True)
class Time:
    """Valid times, ascending. steps: the indices of each in the dimensions of time. shape: their lengths."""

    moments: tuple[datetime, ...]
    steps: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]


def read_places(index: Index) -> Grid | Points | None:
    """Return the grid or the points of a file; None if it has neither."""
    latitude, longitude = (_first(index, *names) for names in (("latitude", "lat"), ("longitude", "lon")))
    if latitude is None or longitude is None:
        return None
    rows, columns = latitude.numbers(), longitude.numbers()
    if not rows or not columns or not all(map(math.isfinite, (*rows, *columns))):
        raise UnsupportedLayout("latitudes or longitudes that are no numbers")
    if max(map(abs, rows)) > 90.001 or max(map(abs, columns)) > 720:
        raise UnsupportedLayout("latitudes or longitudes that are not on the globe")
    if "station" in index.variables and index.variables["station"].shape == (len(rows),) == (len(columns),):
        return Points(rows, tuple((value + 180) % 360 - 180 for value in columns))
    return Grid(_monotonic(rows), _eastward(columns))


def read_times(index: Index) -> Iterator[Time]:
    """Yield the axes of time of a file: valid times, and initial times with forecast hours."""
    for name in _TIMES:
        variable = index.variables.get(name)
        if variable is not None and len(variable.shape) == 1:
            yield _time(_moments(variable), [(number,) for number in range(variable.shape[0])], variable.shape)
    initial, ahead = index.variables.get(_INITIAL), index.variables.get(_AHEAD)
    if initial is not None and ahead is not None and len(initial.shape) == len(ahead.shape) == 1:
        shape = (initial.shape[0], ahead.shape[0])
        if not any(variable.shape[:2] == shape for variable in index.variables.values()):
            return  # both are auxiliary coordinates of one dimension
        if math.prod(shape) > _MAX_TIMES:
            raise UnsupportedLayout("too many times")
        hours = [timedelta(hours=value) for value in ahead.numbers() if abs(value) < 10_000]
        if len(hours) == ahead.shape[0]:
            moments = [start + hour for start in _moments(initial) for hour in hours]
            steps = [(row, column) for row in range(initial.shape[0]) for column in range(len(hours))]
            yield _time(moments, steps, shape)


def describe(name: str) -> CatalogVariable | None:
    """Return the variable of the catalogue that has this name in files, or this short name."""
    return _catalogue().get(name)


def is_fixed(file_name: str) -> bool:
    """Return whether this is the name of a file that applies to all dates; it has a time, which means nothing."""
    known = describe_key(key_of_file_name(file_name))
    return known is not None and known.first is None


@cache
def _catalogue() -> dict[str, CatalogVariable]:
    found: dict[str, CatalogVariable] = {}
    for variable in variables():
        found.setdefault(variable.nc_var, variable)
        found.setdefault(variable.short, variable)
    return found


def _time(moments: Sequence[datetime], steps: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> Time:
    order = sorted(range(len(moments)), key=moments.__getitem__)
    return Time(tuple(moments[at] for at in order), tuple(steps[at] for at in order), shape)


def _moments(variable: Variable) -> list[datetime]:
    """Return the times of a coordinate. Raises UnsupportedLayout."""
    attribute = variable.attributes.get("units")
    match = _UNITS.fullmatch((attribute.text if attribute else None) or "")
    if match is None:
        raise UnsupportedLayout(f"a variable {variable.name} in units that are no time")
    unit, *numbers = match.groups()
    try:
        start = datetime(*(int(number or 0) for number in numbers))  # type: ignore[arg-type]
        return [start + timedelta(**{f"{unit}s": value}) for value in variable.numbers()]
    except (ValueError, OverflowError):
        raise UnsupportedLayout(f"a variable {variable.name} with times that are not in the calendar") from None


def _first(index: Index, *names: str) -> Variable | None:
    return next((index.variables[name] for name in names if name in index.variables), None)


def _monotonic(values: tuple[float, ...]) -> tuple[float, ...]:
    ordered = sorted(values)
    if list(values) not in (ordered, ordered[::-1]) or len(set(values)) != len(values):
        raise UnsupportedLayout("latitudes that are not in order")
    return values


def _eastward(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return longitudes with 360 degrees added after each step to the west, so that they ascend."""
    found = [values[0]]
    for value in values[1:]:
        found.append(value + 360 * math.ceil((found[-1] - value) / 360 + 1e-9))
    if found[-1] - found[0] >= 360 + 1e-6:
        raise UnsupportedLayout("longitudes that are not in order")
    return tuple(found)


def _step(values: Sequence[float]) -> float:
    return abs(values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else 0.25


def _nearest(values: Sequence[float], wanted: float) -> int:
    """Return the position of the value nearest to another one. values: ascending or descending."""
    descending = values[0] > values[-1]
    ordered = values[::-1] if descending else values
    at = bisect_left(ordered, wanted)
    if at == len(ordered) or (at and wanted - ordered[at - 1] <= ordered[at] - wanted):
        at -= 1
    return len(values) - 1 - at if descending else at
