"""Anti-aliased shapes drawn in plain Python and written as PNG: boxes, bars, switches, icons. No Tk in here.

A shape is a stack of layers. A layer stores the coverage of each pixel in `LEVELS` steps, computed from the signed
distance to the outline. The coverages of a pixel in all layers are combined to one index into a colour table. Another
palette therefore needs only another table, and pixels are compressed once per shape and size. Identical rows are
computed once.

    shape = draw(16, 16, rounded(16, 16, (0, 0, 16, 16), 4), rounded(16, 16, (1, 1, 15, 15), 3))
    shape.png("#ccd3de", "#ffffff")                           bottom layer first; transparent where nothing is drawn
    shape.png("#ccd3de", "#ffffff", background="#f3f5f8")     opaque, which Tk draws much faster, especially if tiled

Pillow would replace about half of this module. It was measured: creating the theme took a third longer, and every
installation would need one more compiled dependency.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from era5dl.gui.theme.palette import rgb

LEVELS = 16
Layer = tuple[bytes, ...]  # rows from the top; one byte per pixel, 0 to LEVELS
Box = tuple[float, float, float, float]  # left, top, right, bottom
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """A drawing without its colours."""

    width: int
    height: int
    mixes: tuple[tuple[int, ...], ...]  # for each index, the coverage by each layer
    pixels: bytes  # compressed rows of indices

    def png(self, *colours: str, background: str | None = None) -> bytes:
        """Return the drawing as a PNG file: one colour for each layer, the bottom layer first."""
        table, alphas = bytearray(), bytearray()
        parts = [rgb(colour) for colour in colours]
        below = tuple(map(float, (*rgb(background), 1))) if background else (0.0, 0.0, 0.0, 0.0)
        for mix in self.mixes:
            red, green, blue, alpha = below
            for (r, g, b), level in zip(parts, mix, strict=True):
                if level:
                    share = level / LEVELS
                    total = share + alpha * (1 - share)
                    keep = alpha * (1 - share) / total
                    red, green, blue = (
                        r + (red - r) * keep,
                        g + (green - g) * keep,
                        b + (blue - b) * keep,
                    )
                    alpha = total
            table += bytes((round(red), round(green), round(blue)))
            alphas.append(round(alpha * 255))
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        transparency = _chunk(b"tRNS", bytes(alphas)) if background is None else b""
        return b"".join(
            (
                b"\x89PNG\r\n\x1a\n",
                _chunk(b"IHDR", header),
                _chunk(b"PLTE", bytes(table)),
                transparency,
                _chunk(b"IDAT", self.pixels),
                _chunk(b"IEND", b""),
            )
        )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def draw(width: int, height: int, *layers: Layer, wider: int = 0, higher: int = 0) -> Shape:
    """Combine layers into a shape, the bottom layer first.

    wider, higher: how many times the middle column and row are repeated, for large boxes.
    """
    numbers: dict[tuple[int, ...], int] = {}
    done: dict[tuple[bytes, ...], bytes] = {}
    out: list[bytes] = []
    for rows in zip(*layers, strict=True):
        row = done.get(rows)
        if row is None:
            row = bytes([numbers.setdefault(mix, len(numbers)) for mix in zip(*rows, strict=True)])
            half = width // 2
            row = done[rows] = b"\0" + row[:half] + row[half : half + 1] * wider + row[half:]
        out.append(row)
    half = height // 2
    out[half:half] = [out[half]] * higher
    return Shape(width + wider, height + higher, tuple(numbers), zlib.compress(b"".join(out), 1))


# --- layers


def blank(width: int, height: int) -> Layer:
    """Return an empty layer."""
    return (bytes(width),) * height


@lru_cache(maxsize=256)
def rounded(width: int, height: int, box: Box, radius: float) -> Layer:
    """Return a filled box with rounded corners. The radius is limited to half of the shorter side."""
    left, top, right, bottom = box
    half_x, half_y = (right - left) / 2, (bottom - top) / 2
    radius = max(0.0, min(radius, half_x, half_y))
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    edge = math.ceil(radius) + 1
    near = [x for x in range(width) if x < left + edge or x >= right - edge]
    offsets = [(x, abs(x + 0.5 - middle_x) - half_x + radius) for x in near]
    solid = bytearray(width)
    for x in range(max(0, math.floor(left)), min(width, math.ceil(right))):
        solid[x] = LEVELS
    rows: list[bytes] = []
    alike: dict[float, bytes] = {}
    for y in range(height):
        down = max(abs(y + 0.5 - middle_y) - half_y + radius, min(-0.5, radius - 1.0))
        row = alike.get(down)
        if row is None:
            row = alike[down] = _rounded_row(solid, offsets, down, radius)
        rows.append(row)
    return tuple(rows)


def _rounded_row(solid: bytearray, offsets: list[tuple[int, float]], down: float, radius: float) -> bytes:
    if down - radius >= 0.5:
        return bytes(len(solid))
    row = bytearray(solid)
    if down - radius > -0.5:  # the row is cut by the upper or lower edge
        part = _level(down - radius)
        row = bytearray(part if value else 0 for value in solid)
    for x, across in offsets:
        outside = math.hypot(across, down) if across > 0 and down > 0 else max(across, down)
        row[x] = _level(outside - radius)
    return bytes(row)


def circle(width: int, height: int, middle: Point, radius: float) -> Layer:
    """Return a filled circle."""
    x, y = middle
    return rounded(width, height, (x - radius, y - radius, x + radius, y + radius), radius)


def stroke(width: int, height: int, points: Sequence[Point], thickness: float) -> Layer:
    """Return a line through `points`, with rounded ends and joints."""
    layers = [_segment(width, height, a, b, thickness / 2) for a, b in itertools.pairwise(points)]
    return union(*layers)


def _segment(width: int, height: int, start: Point, end: Point, reach: float) -> Layer:
    (ax, ay), (bx, by) = start, end
    vx, vy = bx - ax, by - ay
    length = vx * vx + vy * vy or 1.0

    def distance(x: float, y: float) -> float:
        along = min(1.0, max(0.0, ((x - ax) * vx + (y - ay) * vy) / length))
        return math.hypot(x - ax - along * vx, y - ay - along * vy) - reach

    margin = reach + 1
    return _sampled(
        width,
        height,
        (min(ax, bx) - margin, min(ay, by) - margin, max(ax, bx) + margin, max(ay, by) + margin),
        distance,
    )


def polygon(width: int, height: int, points: Sequence[Point], soft: float = 0.0) -> Layer:
    """Return a filled polygon, enlarged by `soft` pixels. The enlarging rounds its corners."""
    edges = [(a, b) for a, b in zip(points, (*points[1:], points[0]), strict=True)]

    def distance(x: float, y: float) -> float:
        nearest, inside = math.inf, False
        for (ax, ay), (bx, by) in edges:
            vx, vy = bx - ax, by - ay
            along = min(1.0, max(0.0, ((x - ax) * vx + (y - ay) * vy) / (vx * vx + vy * vy or 1.0)))
            nearest = min(nearest, math.hypot(x - ax - along * vx, y - ay - along * vy))
            if (ay > y) != (by > y) and x < ax + vx * (y - ay) / vy:
                inside = not inside
        return (-nearest if inside else nearest) - soft

    xs, ys = [x for x, _ in points], [y for _, y in points]
    margin = soft + 1
    return _sampled(width, height, (min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin), distance)


def _sampled(width: int, height: int, within: Box, distance: Callable[[float, float], float]) -> Layer:
    left, top, right, bottom = within
    columns = range(max(0, math.floor(left)), min(width, math.ceil(right)))
    rows = []
    for y in range(height):
        row = bytearray(width)
        if top <= y + 1 and y <= bottom:
            for x in columns:
                row[x] = _level(distance(x + 0.5, y + 0.5))
        rows.append(bytes(row))
    return tuple(rows)


def _level(distance: float) -> int:
    """Return the coverage of a pixel whose centre is `distance` pixels outside the outline."""
    if distance >= 0.5:
        return 0
    return LEVELS if distance <= -0.5 else round((0.5 - distance) * LEVELS)


def union(*layers: Layer) -> Layer:
    """Return the union of the layers."""
    if len(layers) == 1:
        return layers[0]
    return tuple(bytes(map(max, *rows)) for rows in zip(*layers, strict=True))


def without(layer: Layer, hole: Layer) -> Layer:
    """Return the layer without the area of `hole`."""
    return tuple(
        bytes(max(0, a - b) for a, b in zip(row, cut, strict=True)) for row, cut in zip(layer, hole, strict=True)
    )
