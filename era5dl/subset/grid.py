"""Regular grid of latitudes and longitudes: rows and columns of areas and places, and their coordinates in a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from era5dl.errors import BadSelection
from era5dl.subset.selection import Area, Point, Subset

_STEP = 0.25  # degrees
_TOLERANCE = 1e-6  # degrees; far below the spacing of a grid, far above the rounding of decimal fractions


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of a grid, as row and column numbers with the latitudes and longitudes to be written.

    paired: the cells are (rows[i], columns[i]), one for each point; otherwise all combinations, a box. Longitudes of a
    box increase, as those of the Climate Data Store do: they are within -180 to 180, or else (across 180 degrees)
    continue above 180.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]
    paired: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions for these cells: of one for pairs, or of rows and columns."""
        return (len(self.rows),) if self.paired else (len(self.rows), len(self.columns))

    def __len__(self) -> int:
        """Return the number of cells."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid around the globe: latitudes from north to south, longitudes from 0 to the east, both evenly spaced.

    Raises ValueError for any other.
    """

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(self.longitudes)
        if len(self.latitudes) < 2 or count < 2:
            raise ValueError("the grid has fewer than two rows or columns")
        around = tuple(360.0 * column / count for column in range(count))
        first, last = self.latitudes[0], self.latitudes[-1]
        step = (first - last) / (len(self.latitudes) - 1)
        down = tuple(first - row * step for row in range(len(self.latitudes)))
        if step <= 0 or not 90 >= first > last >= -90:
            raise ValueError("the latitudes of the grid do not go from north to south")
        if not (_equal(self.longitudes, around) and _equal(self.latitudes, down)):
            raise ValueError("the grid is not evenly spaced around the globe")

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return len(self.latitudes), len(self.longitudes)

    def cells(self, subset: Subset) -> Cells:
        """Return the cells that a subset selects. Raises BadSelection when there are none."""
        if subset.points:
            return self.nearest(subset.points)
        if subset.area is not None:
            return self.inside(subset.area)
        rows, columns = range(len(self.latitudes)), range(len(self.longitudes))
        return Cells(tuple(rows), tuple(columns), self.latitudes, self.longitudes)

    def nearest(self, points: Sequence[Point]) -> Cells:
        """Return the nearest cell of each point. Longitudes are negative where those of the points are."""
        rows = tuple(self._nearest_row(point.latitude) for point in points)
        columns = tuple(self._nearest_column(point.longitude) for point in points)
        longitudes = tuple(
            self.longitudes[column] - (360.0 if point.longitude < 0 < self.longitudes[column] else 0.0)
            for column, point in zip(columns, points, strict=True)
        )
        return Cells(rows, columns, tuple(self.latitudes[row] for row in rows), longitudes, paired=True)

    def inside(self, area: Area) -> Cells:
        """Return the cells inside an area, edges included.

        Raises BadSelection, which names the nearest grid point, when the area is between grid points.
        """
        rows = tuple(
            row
            for row, latitude in enumerate(self.latitudes)
            if area.south - _TOLERANCE <= latitude <= area.north + _TOLERANCE
        )
        count = len(self.longitudes)
        step = 360.0 / count
        first = math.ceil((area.west - _TOLERANCE) / step)  # in steps from 0 degrees; may be negative
        last = math.floor((area.west + area.width + _TOLERANCE) / step)
        last = min(last, first + count - 1)  # the whole circle ends before the meridian with which it begins
        if not rows or last < first:
            raise self._no_cell(area)
        numbers = range(first, last + 1)
        shift = 360.0 * self._turns(area, first * step, last * step)
        return Cells(
            rows,
            tuple(number % count for number in numbers),
            tuple(self.latitudes[row] for row in rows),
            tuple(self.longitudes[number % count] + 360.0 * (number // count) + shift for number in numbers),
        )

    @staticmethod
    def _turns(area: Area, first: float, last: float) -> int:
        """Return by how many circles to shift the longitudes from `first` to `last`, for the Data Store's convention.

        The first one comes into -180 to 180, and stays above 180 only if the user asked for 0 to 360 and no longitude
        of the area is below 180.
        """
        turns = -math.floor((first + 180.0) / 360.0)
        if area.west >= 0 and first + 360.0 * turns < 0 and last + 360.0 * turns < 0:
            turns += 1
        return turns

    def _no_cell(self, area: Area) -> BadSelection:
        row = self._nearest_row((area.north + area.south) / 2)
        column = self._nearest_column(area.west + area.width / 2)
        place = f"{self.latitudes[row]:g},{self.longitudes[column]:g}"
        return BadSelection(
            f"There is no grid point in the area {area}.",
            remedy=f"Use a larger area, or the nearest grid point: --point {place}.",
        )

    def _nearest_row(self, latitude: float) -> int:
        step = (self.latitudes[0] - self.latitudes[-1]) / (len(self.latitudes) - 1)
        return min(max(_rounded((self.latitudes[0] - latitude) / step), 0), len(self.latitudes) - 1)

    def _nearest_column(self, longitude: float) -> int:
        count = len(self.longitudes)
        return _rounded(longitude % 360.0 * count / 360.0) % count


@cache
def era5_grid() -> Grid:
    """Return the grid of all files of the bucket that are like the others of their product."""
    rows, columns = round(180 / _STEP) + 1, round(360 / _STEP)
    return Grid(tuple(90 - row * _STEP for row in range(rows)), tuple(column * _STEP for column in range(columns)))


def _rounded(value: float) -> int:
    """Round to the nearest integer; a half down, which is to the north or west."""
    return math.ceil(value - 0.5)


def _equal(values: Sequence[float], expected: Sequence[float]) -> bool:
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(values, expected, strict=True))
