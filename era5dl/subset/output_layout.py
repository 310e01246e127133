"""Layout of a subset's netCDF file: its dimensions and auxiliary coordinates, with values and attributes.

- Analyses keep the dimensions of their file. The hours of forecasts become one `time` dimension of valid times, with
  `forecast_initial_time` and `forecast_hour` as auxiliary coordinates, unless all selected forecast hours are wanted of
  all selected initial times: then the two dimensions are kept.
- Points become a `station` dimension, with latitude, longitude and names as auxiliary coordinates (CF conventions,
  chapter 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from era5dl.hdf5 import Attribute
from era5dl.subset.geometry import EPOCH
from era5dl.subset.ranges import FileSubset

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A one-dimensional variable. values: numbers, or texts as UTF-8 bytes. attributes: those of the source; texts:
    further ones, which replace them."""

    name: str
    dimension: str
    values: Values
    attributes: Mapping[str, Attribute]
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class OutputLayout:
    """dimensions: coordinates of the data variable, in its order; the first one is unlimited.

    auxiliary: other one-dimensional variables. is_flat: initial times and forecast hours are one dimension.
    """

    dimensions: tuple[Coordinate, ...]
    auxiliary: tuple[Coordinate, ...]
    is_flat: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(dimension.values) for dimension in self.dimensions)

    @property
    def coordinates(self) -> str:
        """The value of the data variable's CF attribute "coordinates"."""
        return " ".join(one.name for one in self.auxiliary if one.name != _DATES)


_DATES = "utc_date"
VALID_TIME = {"long_name": "valid time: forecast initial time plus forecast hour", "standard_name": "time"}
_STATION = {"long_name": "number of the point", "cf_role": "timeseries_id"}
_NAME = {"long_name": "name of the point"}


def output_layout(part: FileSubset) -> OutputLayout:
    """Return the layout of the file for this subset."""
    is_flat = part.elements.fields != np.prod([len(indices) for indices in part.elements.outer])
    times, auxiliary = _times(part, is_flat)
    places, more = _places(part)
    auxiliary += more
    first = times[0]
    if _DATES in part.index.variables:
        dates = np.array([_date(int(hour)) for hour in first.values], _dtype(part, _DATES))
        auxiliary.append(Coordinate(_DATES, first.name, dates, part.index.variables[_DATES].attributes, {}))
    return OutputLayout((*times, *places), tuple(auxiliary), is_flat)


def _times(part: FileSubset, is_flat: bool) -> tuple[list[Coordinate], list[Coordinate]]:
    """Return the dimensions before the horizontal ones, and auxiliary coordinates of time."""
    names = part.geometry.dimensions[:-2]
    values = [_values(part, name)[list(indices)] for name, indices in zip(names, part.elements.outer, strict=True)]
    if not is_flat:
        return [_copied(part, name, name, kept) for name, kept in zip(names, values, strict=True)], []
    runs, hours = (np.array(positions) for positions in zip(*part.elements.steps, strict=True))
    initial, ahead = values[0][runs], values[1][hours]
    valid = (initial.astype(np.int64) + ahead).astype(initial.dtype)
    time = Coordinate("time", "time", valid, part.index.variables[names[0]].attributes, VALID_TIME)
    return [time], [_copied(part, names[0], "time", initial), _copied(part, names[1], "time", ahead)]


def _places(part: FileSubset) -> tuple[list[Coordinate], list[Coordinate]]:
    """Return the horizontal dimensions, and auxiliary coordinates of place."""
    cells = part.elements.cells
    latitudes = np.array(cells.latitudes, _dtype(part, "latitude"))
    longitudes = np.array(cells.longitudes, _dtype(part, "longitude"))
    if cells.paired:
        station = Coordinate("station", "station", np.arange(1, len(cells) + 1, dtype=np.int32), {}, _STATION)
        names = [point.name.encode() for point in part.subset.points]
        labels = [Coordinate("station_name", "station", np.array(names, object), {}, _NAME)] if any(names) else []
        return [station], [
            _copied(part, "latitude", "station", latitudes),
            _copied(part, "longitude", "station", longitudes),
            *labels,
        ]
    return [
        _copied(part, "latitude", "latitude", latitudes),
        _copied(part, "longitude", "longitude", longitudes),
    ], []


def _copied(part: FileSubset, name: str, dimension: str, values: Values) -> Coordinate:
    return Coordinate(name, dimension, values, part.index.variables[name].attributes, {})


def _values(part: FileSubset, name: str) -> Values:
    return np.array(part.index.variables[name].numbers(), _dtype(part, name))


def _dtype(part: FileSubset, name: str) -> np.dtype[Any]:
    return np.dtype(part.index.variables[name].datatype.name)


def _date(hour: int) -> int:
    """Convert hours since 1900 to YYYYMMDDHH."""
    return int((EPOCH + timedelta(hours=hour)).strftime("%Y%m%d%H"))
