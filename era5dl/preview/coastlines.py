"""Coastlines of the world: outlines of land from Natural Earth at 1:110 million, as polygons and as lines on a map.

Places are (longitude, latitude) in degrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Outline = tuple[tuple[float, float], ...]  # of a polygon, as points
Bounds = tuple[float, float, float, float]  # west, south, east, north


@dataclass(frozen=True, slots=True)
class Coast:
    """A polygon of land, or of a sea inside it."""

    land: bool
    outline: Outline
    bounds: Bounds


@cache
def coastlines() -> tuple[Coast, ...]:
    """Return the outlines in degrees, seas inside land last. The file names their source and describes its format."""
    found = []
    for line in Path(__file__).with_name("coastlines.txt").read_text(encoding="ascii").splitlines():
        kind, _, numbers = line.partition(" ")
        if kind not in ("land", "sea"):
            continue
        steps = [int(number) for number in numbers.split()]
        x, y, outline = 0, 0, []
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            outline.append((x / 10, y / 10))
        xs, ys = zip(*outline, strict=True)
        found.append(Coast(kind == "land", tuple(outline), (min(xs), min(ys), max(xs), max(ys))))
    return tuple(found)


def coast_lines(window: Bounds) -> Iterator[list[tuple[float, float]]]:
    """Yield the coastlines within a window as open lines, cut at its edges.

    window: its longitudes may be beyond 180 degrees. The edges of the world, which close the polygons at 180 degrees
    and at the South Pole, are no coasts and are left out.
    """
    west, south, east, north = window
    for coast in coastlines():
        for turn in (-360, 0, 360):
            one, low, other, high = coast.bounds
            if one + turn < east and other + turn > west and low < north and high > south:
                yield from _cut([(x + turn, y) for x, y in coast.outline], window, turn)


def _cut(outline: list[tuple[float, float]], window: Bounds, turn: int) -> Iterator[list[tuple[float, float]]]:
    line: list[tuple[float, float]] = []
    for one, other in zip(outline, [*outline[1:], outline[0]], strict=True):
        inside = None if _is_world_edge(one, other, turn) else _clip(one, other, window)
        if inside is None or (line and line[-1] != inside[0]):
            if line:
                yield line
            line = []
        if inside is not None:
            line = [*line, inside[1]] if line else list(inside)
    if line:
        yield line


def _is_world_edge(one: tuple[float, float], other: tuple[float, float], turn: int) -> bool:
    return (one[0] == other[0] and abs(one[0] - turn) >= 180) or (one[1] <= -89.9 and other[1] <= -89.9)


def _clip(
    one: tuple[float, float], other: tuple[float, float], window: Bounds
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return the part of a straight line within a window (Liang and Barsky's algorithm); None if there is none."""
    dx, dy = other[0] - one[0], other[1] - one[1]
    begin, end = 0.0, 1.0
    west, south, east, north = window
    for towards, room in ((-dx, one[0] - west), (dx, east - one[0]), (-dy, one[1] - south), (dy, north - one[1])):
        if towards == 0:
            if room < 0:
                return None
        elif towards < 0:
            begin = max(begin, room / towards)
        else:
            end = min(end, room / towards)
    if begin >= end:
        return None
    first = one if begin == 0 else (one[0] + begin * dx, one[1] + begin * dy)
    last = other if end == 1 else (one[0] + end * dx, one[1] + end * dy)
    return first, last
