"""Opens a netCDF-4 file and reads one field of it: a variable at one time and level, on a grid or at points.

Files of the bucket of all products, subsets of them, merged files, and files of other programs with the usual names of
coordinates. The dimensions of forecasts (initial time, hour) are one axis of valid times.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from era5dl.errors import Era5Error
from era5dl.folder.disk_errors import translate_disk_errors
from era5dl.formatting import printable
from era5dl.hdf5 import Attribute, DamagedFile, Index, UnsupportedLayout, Variable
from era5dl.preview.chunk_cache import ChunkCache
from era5dl.preview.coordinates import Grid, Points, Time, describe, is_fixed, read_places, read_times
from era5dl.subset.find_parts import open_part, read_local_index

REMEDY = "Delete that file and download it again."
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OTHER_FILE = "Give a downloaded netCDF file."
_LEVELS = ("level", "pressure_level", "isobaricInhPa", "plev", "pressure")
_MAX_TEXT = 100  # characters of a name or unit that are shown

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FieldVariable:
    """A variable that can be shown. times: of its axis of time, empty if it has none or applies to all dates. levels:
    empty if it has none. places: its grid, or its points."""

    name: str
    long_name: str
    units: str
    times: tuple[datetime, ...]
    levels: tuple[float, ...]
    places: Grid | Points


@dataclass(frozen=True, slots=True)
class Field:
    """Values of a variable, NaN where there are none. On a grid: rows of latitude at one time; at points: one row for
    each time. minimum, maximum, mean: None if all are NaN; the mean is weighted with the cosine of the latitude."""

    variable: FieldVariable
    time: int
    level: int
    values: Values
    minimum: float | None
    maximum: float | None
    mean: float | None

    def value_at(self, latitude: float, longitude: float) -> tuple[float, float, float | None] | None:
        """Return latitude, longitude and value (None for NaN) of the grid point nearest to a place, or None outside
        of the grid."""
        assert isinstance(self.variable.places, Grid)
        at = self.variable.places.nearest(latitude, longitude)
        if at is None:
            return None
        value = float(self.values[at])
        grid = self.variable.places
        return grid.latitudes[at[0]], grid.longitudes[at[1]], value if math.isfinite(value) else None


class FieldFile:
    """An open file, also a context manager that closes it. All methods raise Era5Errors that name the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        resolved = path.resolve()
        if not resolved.is_file():
            raise Era5Error(f"{path} is not a file.", remedy=_OTHER_FILE)
        self._file = open_part(resolved.parent, resolved)
        self._cache = ChunkCache(self._file)
        try:
            with self._errors():
                if self._file.read(len(_SIGNATURE)) != _SIGNATURE:
                    raise Era5Error(f"{path} is not a netCDF-4 file.", remedy=_OTHER_FILE)
                self._index = read_local_index(self._file)
                self._axes = dict(_axes(self._index, path.name))
                if not self._axes:
                    raise UnsupportedLayout("no variable with latitudes and longitudes that it can show")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, and forget decoded chunks."""
        self._file.close()
        self._cache = ChunkCache(self._file)

    def __enter__(self) -> FieldFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def variables(self) -> tuple[FieldVariable, ...]:
        """The variables that can be shown, at least one."""
        return tuple(axes.variable for axes in self._axes.values())

    def read(
        self,
        variable: FieldVariable,
        time: int = 0,
        level: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Field:
        """Return a field. time, level: positions in the variable's axes. Raises Stopped when cancelled."""
        axes = self._axes[variable.name]
        data = self._index.variables[variable.name]
        is_grid = isinstance(variable.places, Grid)
        with self._errors():
            raw = self._cache.read(data, axes.part(time if is_grid else None, level, data.shape), cancelled)
            values = _decoded(raw, data)
        grid = variable.places
        if isinstance(grid, Grid):
            values = np.ascontiguousarray(values.reshape(len(grid.latitudes), len(grid.longitudes)))
            weights = np.cos(np.deg2rad(np.array(grid.latitudes)))[:, None]
        else:
            values = values.reshape(-1, len(grid.latitudes))[list(axes.order)]
            weights = np.ones((1, 1))
        return Field(variable, time, level, values, *_statistics(values, weights))

    def prepare(self, variable: FieldVariable, time: int, level: int, cancelled: Callable[[], bool]) -> None:
        """Decode the chunks of a field, so that `read` is fast. Raises the same errors."""
        data = self._index.variables[variable.name]
        with self._errors():
            self._cache.load(data, self._axes[variable.name].part(time, level, data.shape), cancelled)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Context manager: convert errors of reading to an Era5Error that names the file."""
        try:
            with translate_disk_errors(self.path):
                yield
        except UnsupportedLayout as error:
            raise Era5Error(
                f"{self.path} cannot be shown: it has {error}", remedy="Open it with another program, such as xarray."
            ) from error
        except DamagedFile as error:
            raise Era5Error(f"{self.path} is damaged or not complete: {error}", remedy=REMEDY) from error


@dataclass(frozen=True, slots=True)
class _Axes:
    """How the dimensions of a variable are to be read. steps: for each time of the axis the indices of the dimensions
    of time, in the order of time; () for a variable without time. has_level: whether a dimension of levels follows."""

    variable: FieldVariable
    steps: tuple[tuple[int, ...], ...]
    has_level: bool

    def part(self, time: int | None, level: int, shape: Sequence[int]) -> list[range]:
        """Return the indices to read in each dimension. time: None for all times."""
        count = len(self.steps[0]) if self.steps else 0
        if time is None:
            found = [range(length) for length in shape[:count]]
        else:
            found = [range(index, index + 1) for index in (self.steps[time] if self.steps else ())]
        if self.has_level:
            found.append(range(level, level + 1))
        return found + [range(length) for length in shape[len(found) :]]

    @property
    def order(self) -> Sequence[int]:
        """Positions of the times in the file, in the order of time."""
        if not self.steps:
            return (0,)
        lengths = [max(indices) + 1 for indices in zip(*self.steps, strict=True)]
        return [int(np.ravel_multi_index(indices, lengths)) for indices in self.steps]


def _axes(index: Index, file_name: str) -> Iterator[tuple[str, _Axes]]:
    """Yield name and axes of each variable whose dimensions are those of the coordinates."""
    places = read_places(index)
    if places is None:
        return
    levels = next((index.variables[name].numbers() for name in _LEVELS if _is_axis(index, name)), None)
    times: list[Time | None] = [*read_times(index), None]
    for name, variable in index.variables.items():
        if len(variable.shape) < 1 or variable.datatype.name[1:2] not in ("f", "i", "u"):
            continue
        if name in (*_LEVELS, "latitude", "longitude", "lat", "lon", "station", "utc_date"):
            continue
        for time, level in product(times, (levels, None)):
            shape = (*(time.shape if time else ()), *((len(level),) if level else ()), *places.shape)
            if shape == variable.shape and len(shape) > 1:
                yield name, _make_axes(variable, time, level, places, file_name)
                break


def _is_axis(index: Index, name: str) -> bool:
    return name in index.variables and len(index.variables[name].shape) == 1


def _make_axes(
    variable: Variable, time: Time | None, level: Sequence[float] | None, places: Grid | Points, file_name: str
) -> _Axes:
    known = describe(variable.name)
    attributes = variable.attributes
    long_name = _text(attributes, "long_name") or (known.long_name if known else variable.name)
    units = _text(attributes, "units") or (known.units if known else "")
    moments = () if time is None or (is_fixed(file_name) and len(time.moments) == 1) else time.moments
    shown = FieldVariable(variable.name, long_name, units, moments, tuple(level or ()), places)
    return _Axes(shown, time.steps if time else (), level is not None)


def _text(attributes: dict[str, Attribute], name: str) -> str:
    attribute = attributes.get(name)
    text = attribute.text if attribute else None
    return printable(text or "")[:_MAX_TEXT].strip()


def _decoded(raw: NDArray[np.generic], variable: Variable) -> Values:
    """Return numbers as float32: NaN for fill values, and packed integers unpacked."""
    missing = np.zeros(raw.shape, bool)
    fills = [variable.fill_value] if variable.fill_value else []
    fills += [variable.attributes[name].data for name in ("_FillValue", "missing_value") if name in variable.attributes]
    for fill in fills:
        if len(fill) == raw.dtype.itemsize:
            missing |= raw == np.frombuffer(fill, raw.dtype)[0]
    factor, offset = (_number(variable, name, usual) for name, usual in (("scale_factor", 1.0), ("add_offset", 0.0)))
    with np.errstate(all="ignore"):
        values = raw.astype(np.float32)
        if (factor, offset) != (1.0, 0.0):
            values = (raw * np.float64(factor) + offset).astype(np.float32)
    values[missing | ~np.isfinite(values)] = np.nan
    return values


def _number(variable: Variable, name: str, usual: float) -> float:
    attribute = variable.attributes.get(name)
    if attribute is None or attribute.datatype.name[1:] not in ("f4", "f8") or not attribute.data:
        return usual
    return float(np.frombuffer(attribute.data, attribute.datatype.name)[0])


def _statistics(values: Values, weights: NDArray[np.float64]) -> tuple[float | None, float | None, float | None]:
    """Return minimum, maximum and weighted mean of the values that are not NaN."""
    there = np.isfinite(values)
    if not there.any():
        return None, None, None
    smallest, largest = float(np.nanmin(values)), float(np.nanmax(values))
    shares = np.where(there, weights, 0.0)
    total = shares.sum()
    mean = float((np.where(there, values, 0).astype(np.float64) * shares).sum() / total) if total > 0 else None
    return smallest, largest, mean if mean is None else min(max(mean, smallest), largest)
