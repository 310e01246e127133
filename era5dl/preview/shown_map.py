"""What the window asks for and shows of a file: a request for a map, and the map as plain values. Needs no library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from era5dl.preview.map_layout import MapLayout

Value = tuple[float, float, float | None]
"""Latitude, longitude, and the value there; None where the field has none."""


@dataclass(frozen=True, slots=True)
class MapRequest:
    """variable: its name in the file; None for the first. time: position in its axis. level: in hPa; None for 500, or
    another if that is not there. width, height: room for the map in pixels. line_width: of coastlines, in pixels."""

    path: Path
    variable: str | None = None
    time: int = 0
    level: float | None = None
    width: int = 720
    height: int = 360
    dark: bool = False
    line_width: float = 1.0


@dataclass(frozen=True, slots=True)
class ColourBar:
    """image: PPM, as wide as the map. ticks: shares of its width, and texts. below, above: "#rrggbb" of an arrow at its
    end where the field has values beyond it; "" for none. exponent: power of ten by which the numbers are divided."""

    image: bytes
    ticks: tuple[tuple[float, str], ...]
    below: str
    above: str
    exponent: int


@dataclass(frozen=True, slots=True)
class ShownMap:
    """A map, or a time series of points: then `layout` and `bar` are None, and `image` is the whole picture.

    image: PPM or PNG. variables: names of all variables of the file. time, level: positions in `times` and `levels`.
    minimum, mean (weighted by area), maximum: None without values. value_at: returns the value of the grid point
    nearest to a latitude and longitude, None outside of the grid.
    """

    path: Path
    variables: tuple[str, ...]
    variable: str
    long_name: str
    units: str
    times: tuple[datetime, ...]
    levels: tuple[float, ...]
    time: int
    level: int
    minimum: float | None
    mean: float | None
    maximum: float | None
    image: bytes
    layout: MapLayout | None
    bar: ColourBar | None
    value_at: Callable[[float, float], Value | None]
