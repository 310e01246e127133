"""Geometry of the world map: the projection to pixels, and a box that is moved and resized. No Tk in here.

Places are (longitude, latitude) in degrees. Longitudes go on beyond 180 while the mouse is dragged over the edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom
_STEPS = (0.25, 0.5, 1.0, 2.0, 5.0)  # degrees, to which positions of the mouse are rounded
LEAST = 0.25  # degrees, minimum width and height of a box


@dataclass(frozen=True, slots=True)
class Projection:
    """Equirectangular map of -180 to 180 degrees, as large as fits into `width` by `height` pixels, in the middle."""

    width: int
    height: int

    @property
    def scale(self) -> float:
        """Pixels per degree."""
        return max(min(self.width / 360, self.height / 180), 1e-6)

    @property
    def frame(self) -> Rectangle:
        """The edges of the map in pixels."""
        return (*self.pixel(-180, 90), *self.pixel(180, -90))

    def pixel(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Return the position of a place in pixels."""
        return self.width / 2 + longitude * self.scale, self.height / 2 - latitude * self.scale

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return longitude and latitude at a pixel; the longitude may be beyond 180 degrees."""
        latitude = (self.height / 2 - y) / self.scale
        return (x - self.width / 2) / self.scale, min(90.0, max(-90.0, latitude))

    @property
    def step(self) -> float:
        """Degrees to which positions of the mouse are rounded: round numbers that are about a pixel apart."""
        return next((step for step in _STEPS if step * self.scale >= 0.8), _STEPS[-1])

    def rounded_place(self, x: float, y: float) -> tuple[float, float]:
        """Return longitude and latitude near a pixel, as round numbers."""
        longitude, latitude = self.place(x, y)
        return round(longitude / self.step) * self.step, round(latitude / self.step) * self.step


@dataclass(frozen=True, slots=True)
class MapBox:
    """A box on the map. west: -180 up to, not including, 180. width: degrees to the east, up to 360."""

    north: float
    west: float
    south: float
    width: float

    @classmethod
    def of(cls, north: float, west: float, south: float, east: float) -> MapBox:
        """Return the box between these edges. The east may be given as a lower longitude than the west."""
        width = east - west if east > west else (east - west) % 360
        return cls(north, _wrapped(west), south, min(width, 360.0))

    @property
    def east(self) -> float:
        """The eastern edge: up to 180, or less than the west where the box crosses 180 degrees."""
        east = self.west + self.width
        return east if east <= 180 else east - 360

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """North, west, south and east. A box around the globe goes from -180 to 180."""
        if self.width >= 360:
            return self.north, -180.0, self.south, 180.0
        return self.north, self.west, self.south, self.east

    def parts(self) -> list[Rectangle]:
        """Return the one or two rectangles that it is on the map: west, north, east, south in degrees."""
        if self.width >= 360:
            return [(-180.0, self.north, 180.0, self.south)]
        if self.west + self.width <= 180:
            return [(self.west, self.north, self.west + self.width, self.south)]
        return [
            (self.west, self.north, 180.0, self.south),
            (-180.0, self.north, self.west + self.width - 360, self.south),
        ]

    def moved(self, east: float, north: float) -> MapBox:
        """Return the box moved by these degrees, around the globe and as far as the poles."""
        north = min(90 - self.north, max(-90 - self.south, north))
        return replace(self, west=_wrapped(self.west + east), north=self.north + north, south=self.south + north)

    def resized(self, edges: str, east: float, north: float) -> MapBox:
        """Return the box with some of its edges ("n", "sw", ...) moved by these degrees."""
        box = self
        if "n" in edges:
            box = replace(box, north=min(90.0, max(box.south + LEAST, box.north + north)))
        if "s" in edges:
            box = replace(box, south=max(-90.0, min(box.north - LEAST, box.south + north)))
        if "e" in edges:
            box = replace(box, width=min(360.0, max(LEAST, box.width + east)))
        if "w" in edges:
            width = min(360.0, max(LEAST, box.width - east))
            box = replace(box, west=_wrapped(box.west + box.width - width), width=width)
        return box

    def edges_at(self, longitude: float, latitude: float, reach: float) -> str | None:
        """Return the edges within `reach` degrees of a place, such as "n" or "sw"; "" inside, None outside of the box.

        In a small box the edges leave some room in the middle, so that it can be moved.
        """
        far = (longitude - self.west + reach) % 360 - reach  # degrees to the east of the western edge
        column = _side(far, self.width, reach)
        row = _side(latitude - self.south, self.north - self.south, reach)
        if column is None or row is None:
            return None
        if self.width >= 360:
            column = 0  # it has no western and eastern edge
        return {-1: "s", 0: "", 1: "n"}[row] + {-1: "w", 0: "", 1: "e"}[column]


def _side(position: float, length: float, reach: float) -> int | None:
    """Return -1 near 0, 1 near `length`, 0 between the two, and None farther outside than `reach`."""
    if not -reach <= position <= length + reach:
        return None
    inner = min(reach, length / 3)
    if position <= inner:
        return -1
    return 1 if position >= length - inner else 0


def box_between(one: tuple[float, float], other: tuple[float, float]) -> MapBox | None:
    """Return the box with these opposite corners (longitude, latitude); None if it has no area.

    It extends from one to the other as the mouse went, also across 180 degrees.
    """
    width, height = abs(one[0] - other[0]), abs(one[1] - other[1])
    if width < LEAST or height < LEAST:
        return None
    west, south = min(one[0], other[0]), min(one[1], other[1])
    return MapBox(south + height, -180.0 if width >= 360 else _wrapped(west), south, min(width, 360.0))


def clipped(outline: Sequence[tuple[float, float]], window: Rectangle) -> list[tuple[float, float]]:
    """Return the part of a polygon inside a window: west, north, east, south. May be empty."""
    west, north, east, south = window
    points = list(outline)
    for axis, edge, sign in ((0, west, 1), (0, east, -1), (1, south, 1), (1, north, -1)):
        points = list(_clipped_at(points, axis, edge, sign))
    return points


def _clipped_at(
    points: Sequence[tuple[float, float]], axis: int, edge: float, sign: int
) -> Iterator[tuple[float, float]]:
    """Yield the part of a polygon on one side of an edge (Sutherland and Hodgman's algorithm)."""
    if not points:
        return
    before = points[-1]
    was_inside = sign * (before[axis] - edge) >= 0
    for point in points:
        inside = sign * (point[axis] - edge) >= 0
        if inside != was_inside:
            share = (edge - before[axis]) / (point[axis] - before[axis])
            yield before[0] + share * (point[0] - before[0]), before[1] + share * (point[1] - before[1])
        if inside:
            yield point
        before, was_inside = point, inside


def overlaps(bounds: Rectangle, window: Rectangle) -> bool:
    """Return whether the bounds of an outline (west, south, east, north) meet a window (west, north, east, south)."""
    return bounds[0] < window[2] and bounds[2] > window[0] and bounds[1] < window[1] and bounds[3] > window[3]


def meridians(step: int = 30) -> Iterable[int]:
    """Return the longitudes of a graticule, without the edges of the map."""
    return range(-180 + step, 180, step)


def place_text(longitude: float, latitude: float) -> str:
    """Return a place as text, such as "30.5° N  114.25° E"."""
    longitude = _wrapped(longitude)
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):g}° {north}  {abs(longitude):g}° {east}"


def _wrapped(longitude: float) -> float:
    """Return the same meridian in -180 up to, not including, 180 degrees."""
    wrapped = math.fmod(longitude + 180, 360)
    return (wrapped + 360 if wrapped < 0 else wrapped) - 180
