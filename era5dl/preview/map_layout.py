"""Layout of a map of a field: the part of the world it shows, its size in pixels, and its graticule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from era5dl.preview.coordinates import Grid

_STEPS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 90)  # degrees
_LINES = 12  # of each kind, at most, by the longer side
_LEAST_STRETCH = 0.35


@dataclass(frozen=True, slots=True)
class MapLayout:
    """Equirectangular map. Its edges in degrees; the west is -180 up to 180, the east may be beyond. Size in pixels.

    The map of a region is narrower by the cosine of its latitude, so that its shapes are right in its middle.
    """

    west: float
    south: float
    east: float
    north: float
    width: int
    height: int

    def pixel(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Return the position of a place in pixels from the upper left corner."""
        x = (longitude - self.west) * self.width / (self.east - self.west)
        return x, (self.north - latitude) * self.height / (self.north - self.south)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return longitude and latitude at a pixel."""
        return (
            self.west + x * (self.east - self.west) / self.width,
            self.north - y * (self.north - self.south) / self.height,
        )

    def meridians(self) -> Iterator[tuple[float, str]]:
        """Yield the longitudes of the graticule, with their texts."""
        step = self._graticule_step
        for number in range(math.ceil(self.west / step - 1e-6), math.floor(self.east / step + 1e-6) + 1):
            yield number * step, _degrees((number * step + 180) % 360 - 180, "W", "E", 180)

    def parallels(self) -> Iterator[tuple[float, str]]:
        """Yield the latitudes of the graticule, with their texts."""
        step = self._graticule_step
        for number in range(math.ceil(self.south / step - 1e-6), math.floor(self.north / step + 1e-6) + 1):
            yield number * step, _degrees(number * step, "S", "N", 0)

    @property
    def _graticule_step(self) -> float:
        longest = max(self.east - self.west, self.north - self.south)
        return next((step for step in _STEPS if longest / step <= _LINES * 1.01), 90)


def fit(grid: Grid, width: int, height: int) -> MapLayout:
    """Return the largest map of a grid in so many pixels. Each grid point is the middle of a cell."""
    down, right = grid.step
    north = min(90.0, max(grid.latitudes) + down / 2)
    south = max(-90.0, min(grid.latitudes) - down / 2)
    if grid.is_global:
        west, east, stretch = -180.0, 180.0, 1.0
    else:
        span = grid.longitudes[-1] - grid.longitudes[0] + right
        west = (grid.longitudes[0] - right / 2 + 180) % 360 - 180
        east = west + span
        if west + span / 2 > 180:
            west, east = west - 360, east - 360
        stretch = max(_LEAST_STRETCH, math.cos(math.radians((north + south) / 2))) if span < 180 else 1.0
    scale = min(width / ((east - west) * stretch), height / (north - south))
    across, upward = round((east - west) * stretch * scale), round((north - south) * scale)
    return MapLayout(west, south, east, north, max(1, across), max(1, upward))


def _degrees(value: float, negative: str, positive: str, without: float) -> str:
    if value == 0 or abs(value) == without:
        return f"{abs(value):g}°"
    return f"{abs(value):g}°{positive if value > 0 else negative}"
