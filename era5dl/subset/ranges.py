"""Chunks and byte ranges of a subset: which elements of a file are wanted, and which bytes contain them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product

from era5dl.catalog.keys import KeyParts
from era5dl.days import Days
from era5dl.errors import BadSelection
from era5dl.hdf5 import Chunk, Index, Variable
from era5dl.ranges import Range
from era5dl.subset.geometry import EPOCH, Geometry, read_geometry
from era5dl.subset.grid import Cells
from era5dl.subset.selection import Subset

GAP = 64 * 1024
"""Ranges that are at most this many bytes apart become one request: fetching the gap costs less than a request."""


@dataclass(frozen=True, slots=True)
class FileSubset:
    """A subset of one file: the elements and the chunks that contain them, in the order of their origins."""

    key: KeyParts
    index: Index
    subset: Subset
    geometry: Geometry
    field: Variable
    elements: Elements
    chunks: tuple[Chunk, ...]

    def ranges(self, gap: int = GAP) -> list[Range]:
        """Return the byte ranges to fetch."""
        return coalesce((chunk.range for chunk in self.chunks), gap)


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a data variable that a subset selects.

    outer: for each dimension before latitude, the selected indices, ascending. steps: for a forecast, the selected
    pairs of initial time and forecast hour, as positions in `outer`, in the order of valid times; not
    necessarily all combinations of both.
    """

    outer: tuple[tuple[int, ...], ...]
    cells: Cells
    steps: tuple[tuple[int, int], ...] = ()

    @property
    def fields(self) -> int:
        """The number of selected fields: times multiplied by levels."""
        return len(self.steps) or math.prod(map(len, self.outer))

    def __len__(self) -> int:
        """Return the number of selected elements."""
        return self.fields * len(self.cells)

    def tiles(self, chunk_shape: Sequence[int]) -> set[tuple[int, ...]]:
        """Return the chunks that contain any of the elements, as positions in the grid of chunks."""
        *outer_edges, height, width = chunk_shape
        cells = self.cells
        rows = [row // height for row in cells.rows]
        columns = [column // width for column in cells.columns]
        inner = set(zip(rows, columns, strict=True)) if cells.paired else set(product(set(rows), set(columns)))
        if self.steps:
            runs, ahead = self.outer
            outer: Iterable[tuple[int, ...]] = {
                (runs[run] // outer_edges[0], ahead[hour] // outer_edges[1]) for run, hour in self.steps
            }
        else:
            touched = [
                {index // edge for index in indices} for indices, edge in zip(self.outer, outer_edges, strict=True)
            ]
            outer = product(*touched)
        return {(*place, *tile) for place in outer for tile in inner}


def plan_file(index: Index, key: KeyParts, subset: Subset) -> FileSubset:
    """Return what a subset needs of the file with this index and key.

    Raises BadSelection when nothing is selected, UnsupportedLayout for a file that has to be fetched whole.
    """
    geometry, field = read_geometry(index, key)
    elements = select_elements(geometry, subset)
    return FileSubset(key, index, subset, geometry, field, elements, select_chunks(field, elements))


def select_elements(geometry: Geometry, subset: Subset) -> Elements:
    """Return the elements of a file that a subset selects. Raises BadSelection when there are none."""
    cells = geometry.grid.cells(subset)
    if geometry.is_fixed:  # its values are valid at all hours and days
        return Elements((tuple(range(len(geometry.times))),), cells)
    if geometry.hours_ahead:
        runs, ahead, steps = _select_forecasts(geometry, subset)
        return Elements((runs, ahead), cells, steps)
    times = tuple(index for index, time in enumerate(geometry.times) if _is_selected(time, subset))
    if not times:
        raise _nothing_selected(geometry.times[0], geometry.times[-1])
    if not geometry.levels:
        return Elements((times,), cells)
    wanted = subset.levels or geometry.levels
    levels = tuple(index for index, level in enumerate(geometry.levels) if level in wanted)
    return Elements((times, levels), cells)


def select_chunks(field: Variable, elements: Elements) -> tuple[Chunk, ...]:
    """Return the chunks of the data variable that contain any of these elements, sorted by origin."""
    edges = field.layout.chunk_shape or ()
    tiles = elements.tiles(edges)
    return tuple(
        chunk
        for chunk in field.chunks
        if tuple(start // edge for start, edge in zip(chunk.origin, edges, strict=True)) in tiles
    )


def coalesce(ranges: Iterable[Range], gap: int = GAP) -> list[Range]:
    """Return these ranges in fewer requests, sorted: ranges that are at most `gap` bytes apart become one."""
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if found and start - found[-1][1] <= gap:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def _select_forecasts(
    geometry: Geometry, subset: Subset
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Return the selected initial times and forecast hours, and the selected pairs, in the order of valid times."""
    pairs = [
        (initial + ahead, run, hour)
        for run, initial in enumerate(geometry.times)
        for hour, ahead in enumerate(geometry.hours_ahead)
        if _is_selected(initial + ahead, subset)
    ]
    if not pairs:
        raise _nothing_selected(
            geometry.times[0] + geometry.hours_ahead[0], geometry.times[-1] + geometry.hours_ahead[-1]
        )
    runs = sorted({run for _, run, _ in pairs})
    hours = sorted({hour for _, _, hour in pairs})
    steps = tuple((runs.index(run), hours.index(hour)) for _, run, hour in sorted(pairs))
    return tuple(runs), tuple(hours), steps


def _is_selected(time: int, subset: Subset) -> bool:
    if subset.hours and time % 24 not in subset.hours:  # the epoch is at 00 UTC
        return False
    return not subset.days or _is_on(time, subset.days)


def _is_on(time: int, days: Days) -> bool:
    day = (EPOCH + timedelta(hours=time)).date()
    return any(first <= day <= last for first, last in days)


def _nothing_selected(first: int, last: int) -> BadSelection:
    start, end = (EPOCH + timedelta(hours=time) for time in (first, last))
    return BadSelection(
        "No hour of this file is selected.", remedy=f"It has the hours {start:%Y-%m-%d %H} to {end:%Y-%m-%d %H} UTC."
    )
