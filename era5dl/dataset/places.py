"""Places of a data set: the levels and the grid, or points, that are taken from files that may have more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from era5dl.errors import BadSelection, UsageError
from era5dl.subset.grid import Grid, era5_grid
from era5dl.subset.merge_source import Structure
from era5dl.subset.selection import Area

Indices = NDArray[np.intp]
Has = Callable[["Layout"], bool]

_DIGITS = 6  # of degrees, to compare places
_TURN = 360.0


@dataclass(frozen=True, slots=True)
class Horizontal:
    """Latitudes and longitudes in degrees: of a grid, or one of each for every point. names: of the points."""

    latitudes: tuple[float, ...]
    longitudes: tuple[float, ...]
    is_points: bool = False
    names: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.latitudes) * (1 if self.is_points else len(self.longitudes))

    def __str__(self) -> str:
        if self.is_points:
            return f"{len(self.latitudes):,} points"
        north, south = self.latitudes[0], self.latitudes[-1]
        return f"{north:g}/{self.longitudes[0]:g}/{south:g}/{self.longitudes[-1]:g}"

    def indices(self, wanted: Horizontal) -> tuple[Indices, ...] | None:
        """Return where these places are in it, for each dimension; None if it does not have all of them."""
        if self.is_points or wanted.is_points:
            return (np.arange(len(self.latitudes)),) if self == wanted else None
        rows = _positions(self.latitudes, wanted.latitudes)
        columns = _positions(self.longitudes, wanted.longitudes, turn=_TURN)
        return None if rows is None or columns is None else (rows, columns)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the files of one variable and one selection have in common. path: of one of them, which has been read.

    essential: type, units and fill value of the values, without which they mean something else.
    """

    path: Path
    structure: Structure
    chunk_shape: tuple[int, ...]  # with one dimension of time
    levels: tuple[float, ...]  # hPa; () for a variable without levels
    horizontal: Horizontal
    attributes: Mapping[str, Mapping[str, Any]]  # of each variable of the file

    @property
    def essential(self) -> tuple[Any, ...]:
        one = self.structure
        values = tuple(pair for pair in one.essential if pair[0].startswith(f"{one.field}:"))
        return one.field, one.datatype, one.fill_value, one.is_forecast, values

    def select(self, target: Target) -> tuple[Indices, ...] | None:
        """Return the indices of the places of a data set, for each dimension after time; None if it lacks some."""
        found = self.horizontal.indices(target.horizontal)
        if found is None or not self.levels:
            return found
        levels = _positions(self.levels, target.levels)
        return None if levels is None else (levels, *found)


@dataclass(frozen=True, slots=True)
class Target:
    """The places of a data set. levels: of its variables on pressure levels, in hPa."""

    levels: tuple[float, ...]
    horizontal: Horizontal


def layout_places(structure: Structure) -> tuple[tuple[float, ...], Horizontal]:
    """Return the levels and the horizontal places of a file."""
    values = {name: tuple(np.frombuffer(data, kind).tolist()) for name, kind, data in structure.places}
    horizontal = Horizontal(values["latitude"], values["longitude"], "station" in values, structure.names)
    return values.get("level", ()), horizontal


def choose_target(
    layouts: Sequence[Layout], covers: Callable[[Has], bool], area: Area | None, levels: Sequence[float]
) -> Target:
    """Return the places of a data set of files with these layouts.

    covers: whether files whose layouts fulfil a condition have all hours of each variable. area, levels: requested
    ones. Without a request, all files must have the same places; files with others are not needed if the rest covers
    all hours. Raises UsageError, which says what differs, and BadSelection.
    """
    grids = _distinct(layout.horizontal for layout in layouts)
    if area is not None:
        horizontal = _within(area, grids)
    else:
        candidates = [one for one in grids if covers(lambda layout, one=one: layout.horizontal == one)]  # type: ignore[misc]
        horizontal = _only(candidates, "places", _examples(layouts, lambda layout: layout.horizontal))
    known = _distinct(layout.levels for layout in layouts if layout.levels)
    if not known:
        if levels:
            raise BadSelection("Levels are selected, but none of the variables has any.", remedy="Omit the levels.")
        return Target((), horizontal)
    if levels:
        there = sorted({level for one in known for level in one})
        absent = [level for level in levels if level not in there]
        if absent:
            remedy = f"They have {', '.join(f'{level:g}' for level in there)} hPa."
            raise BadSelection(f"The files have no level {absent[0]:g} hPa.", remedy=remedy)
        return Target(tuple(sorted(levels)), horizontal)
    fitting = [one for one in known if covers(lambda layout, one=one: layout.levels in ((), one))]  # type: ignore[misc]
    return Target(_only(fitting, "levels", _examples(layouts, lambda layout: layout.levels)), horizontal)


def _within(area: Area, grids: Sequence[Horizontal]) -> Horizontal:
    grid = _global_grid(grids)
    cells = grid.inside(area)
    return Horizontal(cells.latitudes, cells.longitudes)


def _global_grid(grids: Sequence[Horizontal]) -> Grid:
    """Return the grid around the globe that all of these are parts of. Raises UsageError for points."""
    boxes = [one for one in grids if not one.is_points]
    if not boxes:
        raise UsageError("The files have points, so no area can be selected.", remedy="Omit the area.")
    for box in boxes:
        steps = [abs(a - b) for one in (box.latitudes, box.longitudes) for a, b in pairwise(one)]
        if steps:
            step = steps[0]
            rows, columns = round(180 / step) + 1, round(_TURN / step)
            latitudes = tuple(90 - row * step for row in range(rows))
            return Grid(latitudes, tuple(column * step for column in range(columns)))
    return era5_grid()


def _only(candidates: Sequence[Any], what: str, examples: str) -> Any:
    """Return the largest of the candidates. Raises UsageError if there are none."""
    if candidates:
        return max(candidates, key=len)
    request = "area=" if what == "places" else "levels="
    raise UsageError(
        f"The files have different {what}, so they are no single data set: {examples}",
        remedy=f"Select what all of them have, with {request}, or open the variables one by one.",
    )


def _examples(layouts: Iterable[Layout], place: Callable[[Layout], Any]) -> str:
    """Name one file for each of the first different places."""
    found: dict[Any, Path] = {}
    for layout in layouts:
        found.setdefault(place(layout), layout.path)
    texts = [f"{path.name} has {_shown(one)}" for one, path in found.items() if one != ()]
    return "; ".join(texts[:3]) + ("." if len(texts) <= 3 else f"; and {len(texts) - 3} more.")


def _shown(place: Any) -> str:
    return f"levels {', '.join(f'{level:g}' for level in place)}" if isinstance(place, tuple) else str(place)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _positions(there: Sequence[float], wanted: Sequence[float], turn: float = 0.0) -> Indices | None:
    """Return the position of each wanted value; None if one is not there."""
    known = {key: at for at, key in enumerate(_keys(there, turn))}
    found = [known.get(key) for key in _keys(wanted, turn)]
    return None if None in found else np.array(found, np.intp)


def _keys(values: Sequence[float], turn: float) -> Iterator[float]:
    for value in values:
        yield round(value % turn, _DIGITS) % turn if turn else round(value, _DIGITS)
