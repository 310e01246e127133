"""File geometry: the dimensions, times, levels, grid and chunks of an ERA5 file, predicted from its key or read.

What a key predicts is compared with what the file says. A file that differs is not guessed at: UnsupportedLayout, and
all of it has to be fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from era5dl.catalog import Cadence
from era5dl.catalog.keys import KeyParts
from era5dl.hdf5 import Index, UnsupportedLayout, Variable
from era5dl.hdf5.filters import SUPPORTED
from era5dl.subset.grid import Grid, era5_grid

EPOCH = datetime(1900, 1, 1)
"""The times in the files are hours since then."""

_UNITS = "hours since 1900-01-01 00:00"
_INITIAL, _AHEAD = "forecast_initial_time", "forecast_hour"
_FORECAST_HOURS = tuple(range(1, 13))
_HOURS_BETWEEN_FORECASTS = 12
MOST_HOURS = 31 * 24  # in a file; the name of a file may be that of centuries
_MONTH_CHUNKS = {28: (26, 142, 284), 29: (26, 141, 282), 30: (27, 139, 279), 31: (27, 139, 277)}
"""Chunks of a monthly file by the number of days, as NCO chooses them."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """dimensions: names, in the order of the data variable. times: of the first one, in hours since 1900.

    hours_ahead: forecast hours; () for analyses. levels: hPa; () for a single level.
    """

    dimensions: tuple[str, ...]
    times: tuple[int, ...]
    hours_ahead: tuple[int, ...]
    levels: tuple[int, ...]
    grid: Grid
    chunk_shape: tuple[int, ...]
    is_fixed: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions."""
        middle = self.hours_ahead or self.levels
        return (len(self.times), *([len(middle)] if middle else []), *self.grid.shape)


def expected_geometry(key: KeyParts) -> Geometry:
    """Return what a file with this key contains if it is like the others of its product.

    Raises UnsupportedLayout if it has another period than they.
    """
    cadence, levels = key.product.cadence, key.product.levels_hpa
    grid = era5_grid()
    rows, columns = grid.shape
    chunk_shape: tuple[int, ...] = (1, rows, columns)
    if cadence is Cadence.HALF_MONTH:
        chunk_shape = (1, len(_FORECAST_HOURS), rows, columns)
    elif cadence is Cadence.MONTH:
        days = (key.end - key.start).days + 1
        if days not in _MONTH_CHUNKS:
            raise UnsupportedLayout("a period that is not a month")
        chunk_shape = _MONTH_CHUNKS[days]
    elif levels:
        chunk_shape = (1, len(levels), rows, columns)
    return Geometry(
        _dimensions(key),
        _times(key),
        _FORECAST_HOURS if cadence is Cadence.HALF_MONTH else (),
        levels,
        grid,
        chunk_shape,
        cadence is Cadence.FIXED,
    )


def read_geometry(index: Index, key: KeyParts) -> tuple[Geometry, Variable]:
    """Return the geometry of the file with this index and key, and its data variable.

    Raises UnsupportedLayout when it is not like the others of its product.
    """
    dimensions = _dimensions(key)
    field = _data_variable(index, len(dimensions))
    values = {name: _coordinate(index, name) for name in dimensions}
    if tuple(map(len, values.values())) != field.shape or field.layout.chunk_shape is None:
        raise UnsupportedLayout("dimensions that are not those of its product")
    times, levels = values[dimensions[0]], key.product.levels_hpa
    units = index.variables[dimensions[0]].attributes.get("units")
    if units is None or not (units.text or "").startswith(_UNITS):
        raise UnsupportedLayout("times in other units than hours since 1900")
    if times != _times(key):
        raise UnsupportedLayout("times that are not those of its name")
    if values.get(_AHEAD, _FORECAST_HOURS) != _FORECAST_HOURS or values.get("level", levels) != levels:
        raise UnsupportedLayout("levels or forecast hours that are not those of its product")
    try:
        grid = Grid(values["latitude"], values["longitude"])
    except ValueError as error:
        raise UnsupportedLayout(str(error)) from None
    geometry = Geometry(
        dimensions,
        _times(key),
        _FORECAST_HOURS if _AHEAD in values else (),
        levels,
        grid,
        field.layout.chunk_shape,
        key.product.cadence is Cadence.FIXED,
    )
    return geometry, field


def absent_times(index: Index, key: KeyParts) -> list[int]:
    """Return the valid times that a file should have according to its key, but has not. Raises UnsupportedLayout."""
    name = _dimensions(key)[0]
    there = frozenset(_coordinate(index, name))
    ahead = _FORECAST_HOURS if name == _INITIAL else (0,)
    return [time + hours for time in _times(key) if time not in there for hours in ahead]


def hours_since_1900(moment: datetime) -> int:
    """Return a whole hour (UTC) as the files count it."""
    return (moment - EPOCH) // timedelta(hours=1)


def _dimensions(key: KeyParts) -> tuple[str, ...]:
    if key.product.cadence is Cadence.HALF_MONTH:
        return (_INITIAL, _AHEAD, "latitude", "longitude")
    return ("time", *(["level"] if key.product.levels_hpa else []), "latitude", "longitude")


def _times(key: KeyParts) -> tuple[int, ...]:
    """Return the times of the first dimension: every hour, or initial times of forecasts up to 12 hours before END."""
    start, end = hours_since_1900(key.start), hours_since_1900(key.end)
    if end - start >= MOST_HOURS:
        raise UnsupportedLayout("a period of more than a month")
    if key.product.cadence is Cadence.HALF_MONTH:
        return tuple(range(start, end, _HOURS_BETWEEN_FORECASTS))
    return tuple(range(start, end + 1))


def _data_variable(index: Index, rank: int) -> Variable:
    fields = [variable for variable in index.variables.values() if len(variable.shape) > 1]
    if len(fields) != 1 or len(fields[0].shape) != rank:
        raise UnsupportedLayout("not exactly one variable with the dimensions of its product")
    field = fields[0]
    if not field.chunks or field.datatype.name not in ("<f4", "<f8"):
        raise UnsupportedLayout("data that are not floating-point numbers in chunks")
    if not all(applied.number in SUPPORTED for applied in field.filters):
        raise UnsupportedLayout("data with an unknown filter")
    return field


def _coordinate(index: Index, name: str) -> tuple[float, ...]:
    variable = index.variables.get(name)
    if variable is None:
        raise UnsupportedLayout(f"no coordinate {name}")
    return variable.numbers()
