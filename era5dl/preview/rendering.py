"""Rendering of a field to pixels: colours, coastlines and graticule, as rows of red, green and blue bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from era5dl.preview.coastlines import coast_lines
from era5dl.preview.colormap import Table
from era5dl.preview.colour_scale import ColourScale
from era5dl.preview.coordinates import Grid
from era5dl.preview.field_file import Field
from era5dl.preview.map_layout import MapLayout

Pixels = NDArray[np.uint8]
"""Height, width, and the three colours."""

_GRATICULE, _HALO, _COAST = 0.2, 0.35, 0.95  # opacity
_DARK, _WHITE = 20.0, 255.0
_SPACING = 0.25  # pixels between the points from which a line is drawn


@dataclass(frozen=True, slots=True)
class MissingColours:
    """Two colours of the stripes where a field has no values."""

    one: tuple[int, int, int] = (214, 217, 222)
    other: tuple[int, int, int] = (196, 200, 207)


DARK_MISSING = MissingColours((58, 65, 77), (46, 52, 62))


def render(
    field: Field, layout: MapLayout, scale: ColourScale, missing: MissingColours, line_width: float = 1.0
) -> Pixels:
    """Return the map of a field on a grid. line_width: of coastlines, in pixels."""
    grid = field.variable.places
    assert isinstance(grid, Grid)
    rows, columns = _cells(grid, layout)
    values = field.values[rows[:, None], columns]
    pixels: Pixels = scale.colormap.table()[scale.numbers(values)]
    gaps = ~np.isfinite(values)
    if gaps.any():
        stripes = _stripes(layout.width, layout.height, missing, max(2, round(3 * line_width)))
        pixels[gaps] = stripes[gaps]
    found = pixels.astype(np.float32)
    for cover, ink in _lines(layout, line_width):
        found += (ink - found) * cover[..., None]
    shown: Pixels = np.rint(found).astype(np.uint8)
    return shown


def render_bar(scale: ColourScale, length: int, thickness: int) -> Pixels:
    """Return the colours of a horizontal colour bar, the lowest value on the left."""
    table: Table = scale.colormap.table()
    row = table[np.arange(length) * len(table) // length]
    bar: Pixels = np.broadcast_to(row, (thickness, length, 3)).copy()
    return bar


def to_ppm(pixels: Pixels) -> bytes:
    """Return an image as a binary PPM file, which Tk reads faster than PNG."""
    height, width, _ = pixels.shape
    return b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()


def _cells(grid: Grid, layout: MapLayout) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row of the field for each row of pixels, and the column for each column."""
    latitudes = np.array([layout.place(0, row + 0.5)[1] for row in range(layout.height)])
    longitudes = np.array([layout.place(column + 0.5, 0)[0] for column in range(layout.width)])
    first, half = grid.longitudes[0], grid.step[1] / 2
    eastward = first + (longitudes - first + half) % 360 - half
    return _nearest(np.array(grid.latitudes), latitudes), _nearest(np.array(grid.longitudes), eastward)


def _nearest(values: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the position of the nearest of the values, which ascend or descend."""
    if len(values) == 1:
        return np.zeros(wanted.shape, np.intp)
    descending = values[0] > values[-1]
    ordered = values[::-1] if descending else values
    found = np.searchsorted((ordered[1:] + ordered[:-1]) / 2, wanted)
    return len(values) - 1 - found if descending else found


def _stripes(width: int, height: int, colours: MissingColours, size: int) -> Pixels:
    """Return diagonal stripes."""
    number = (np.arange(height)[:, None] + np.arange(width)) // size % 2
    stripes: Pixels = np.array([colours.one, colours.other], np.uint8)[number]
    return stripes


@lru_cache(maxsize=8)
def _lines(layout: MapLayout, line_width: float) -> list[tuple[NDArray[np.float32], float]]:
    """Return the opacity (0 to 1) and the shade of lines at each pixel: the graticule, and dark coastlines on a light
    halo, without which they could not be seen on dark colours."""
    window = (layout.west, layout.south, layout.east, layout.north)
    coasts = [[layout.pixel(*place) for place in line] for line in coast_lines(window)]
    graticule = [
        [layout.pixel(x, layout.south), layout.pixel(x, layout.north)]
        for x, _ in layout.meridians()
        if layout.west < x < layout.east
    ]
    graticule += [
        [layout.pixel(layout.west, y), layout.pixel(layout.east, y)]
        for y, _ in layout.parallels()
        if layout.south < y < layout.north
    ]
    size = layout.width, layout.height
    return [
        (_draw_lines(graticule, size, line_width) * np.float32(_GRATICULE), _DARK),
        (_draw_lines(coasts, size, 2.5 * line_width) * np.float32(_HALO), _WHITE),
        (_draw_lines(coasts, size, line_width) * np.float32(_COAST), _DARK),
    ]


def _draw_lines(
    lines: Iterable[Sequence[tuple[float, float]]], size: tuple[int, int], line_width: float
) -> NDArray[np.float32]:
    """Return the opacity of lines at each pixel, with smooth edges: points along them are spread over four pixels."""
    width, height = size
    cover = np.zeros((height + 1) * (width + 1))
    offsets = [0.0] if line_width < 1.5 else list(np.arange(0, line_width, 0.75) - (line_width - 1) / 2)
    xs, ys = [], []
    for line in lines:
        points = np.array(line)
        lengths = np.hypot(*np.diff(points, axis=0).T)
        along = np.concatenate(([0.0], np.cumsum(lengths)))
        places = np.arange(0, along[-1] + _SPACING / 2, _SPACING)
        xs.append(np.interp(places, along, points[:, 0]))
        ys.append(np.interp(places, along, points[:, 1]))
    if not xs:
        return np.zeros((height, width), np.float32)
    x, y = np.concatenate(xs) - 0.5, np.concatenate(ys) - 0.5
    for right in offsets:
        for down in offsets:
            _spread(cover, x + right, y + down, (width, height))
    return np.minimum(cover.reshape(height + 1, width + 1)[:height, :width], 1).astype(np.float32)


def _spread(cover: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], size: tuple[int, int]) -> None:
    """Add points to the opacities, to each of the four nearest pixels by its distance."""
    width, height = size
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, down = x - column, y - row
    for across, share_x in ((0, 1 - right), (1, right)):
        for below, share_y in ((0, 1 - down), (1, down)):
            at = (row + below) * (width + 1) + column + across
            cover += np.bincount(at, share_x * share_y * _SPACING * 1.15, len(cover))
