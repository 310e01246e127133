"""Icons, drawn as lines, discs and polygons on a square of 16 by 16 units. No Tk in here.

Characters of a font are not used, because a minimal Linux system has no font with these symbols, and each system shows
them differently.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from era5dl.gui.theme import drawing
from era5dl.gui.theme.drawing import Layer, Point, Shape

_UNITS = 16


class Pen:
    """Draws shapes, given in units of the square, as layers of `size` by `size` pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.unit = size / _UNITS

    def _to(self, point: Point) -> Point:
        return point[0] * self.unit, point[1] * self.unit

    def line(self, *points: Point, thick: float = 1.6) -> Layer:
        return drawing.stroke(self.size, self.size, [self._to(p) for p in points], max(1.1, thick * self.unit))

    def area(self, *points: Point, soft: float = 0.6) -> Layer:
        return drawing.polygon(self.size, self.size, [self._to(p) for p in points], soft * self.unit)

    def disc(self, x: float, y: float, radius: float) -> Layer:
        return drawing.circle(self.size, self.size, self._to((x, y)), radius * self.unit)

    def ring(self, x: float, y: float, radius: float, thick: float = 1.6) -> Layer:
        half = max(1.1 / self.unit, thick) / 2
        return drawing.without(self.disc(x, y, radius + half), self.disc(x, y, radius - half))

    def box(self, left: float, top: float, right: float, bottom: float, radius: float) -> Layer:
        ends = (left * self.unit, top * self.unit, right * self.unit, bottom * self.unit)
        return drawing.rounded(self.size, self.size, ends, radius * self.unit)

    def frame(self, left: float, top: float, right: float, bottom: float, radius: float, thick: float = 1.6) -> Layer:
        thick = max(1.1 / self.unit, thick)
        inner = self.box(left + thick, top + thick, right - thick, bottom - thick, max(0.0, radius - thick))
        return drawing.without(self.box(left, top, right, bottom, radius), inner)

    def arc(self, x: float, y: float, radius: float, start: float, end: float, thick: float = 1.6) -> Layer:
        """Return an arc of a circle. Angles are in degrees, clockwise from three o'clock."""
        steps = max(4, round(abs(end - start) / 18))
        angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
        return self.line(*((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles), thick=thick)


def _play(pen: Pen) -> list[Layer]:
    return [pen.area((5, 3.4), (12.6, 8), (5, 12.6), soft=0.9)]


def _pause(pen: Pen) -> list[Layer]:
    return [pen.box(3.6, 3, 6.6, 13, 1), pen.box(9.4, 3, 12.4, 13, 1)]


def _stop(pen: Pen) -> list[Layer]:
    return [pen.box(3.4, 3.4, 12.6, 12.6, 1.8)]


def _retry(pen: Pen) -> list[Layer]:
    return [pen.arc(8, 8.3, 5, -20, -325), pen.line((12.9, 2.6), (12.7, 6.4), (8.9, 6.2))]


def _folder(pen: Pen) -> list[Layer]:
    outline = ((2, 12.6), (2, 3.6), (6.2, 3.6), (7.8, 5.4), (14, 5.4), (14, 12.6), (2, 12.6))
    return [pen.line(*outline, thick=1.5)]


def _search(pen: Pen) -> list[Layer]:
    return [pen.ring(7, 7, 4.4), pen.line((10.3, 10.3), (13.8, 13.8), thick=1.7)]


def _gear(pen: Pen) -> list[Layer]:
    teeth = []
    for number in range(8):
        angle = math.radians(45 * number + 22.5)
        across, down = math.cos(angle), math.sin(angle)
        teeth.append(pen.line((8 + 5 * across, 8 + 5 * down), (8 + 6.3 * across, 8 + 6.3 * down), thick=2.2))
    return [drawing.without(drawing.union(pen.disc(8, 8, 5.4), *teeth), pen.disc(8, 8, 2.3))]


def _check(pen: Pen) -> list[Layer]:
    return [pen.line((3.2, 8.6), (6.6, 12), (12.8, 4.4), thick=1.9)]


def _cross(pen: Pen) -> list[Layer]:
    return [pen.line((4, 4), (12, 12), thick=1.7), pen.line((12, 4), (4, 12), thick=1.7)]


def _warning(pen: Pen) -> list[Layer]:
    sign = drawing.union(pen.line((8, 6), (8, 9.2), thick=1.7), pen.disc(8, 11.6, 1.05))
    return [drawing.without(pen.area((8, 2.8), (13.9, 12.9), (2.1, 12.9), soft=1.4), sign)]


def _info(pen: Pen) -> list[Layer]:
    sign = drawing.union(pen.line((8, 7.6), (8, 11.4), thick=1.8), pen.disc(8, 4.8, 1.1))
    return [drawing.without(pen.disc(8, 8, 6.8), sign)]


def _done(pen: Pen) -> list[Layer]:
    return [drawing.without(pen.disc(8, 8, 6.8), pen.line((4.7, 8.3), (7.1, 10.7), (11.4, 5.7), thick=1.7))]


def _part(pen: Pen) -> list[Layer]:
    return [pen.ring(8, 8, 6.1, thick=1.4), pen.line((4.9, 8.3), (7.1, 10.5), (11.2, 5.9), thick=1.6)]


def _failed(pen: Pen) -> list[Layer]:
    cross = drawing.union(pen.line((5.6, 5.6), (10.4, 10.4), thick=1.7), pen.line((10.4, 5.6), (5.6, 10.4), thick=1.7))
    return [drawing.without(pen.disc(8, 8, 6.8), cross)]


def _danger(pen: Pen) -> list[Layer]:
    sign = drawing.union(pen.line((8, 4.4), (8, 8.6), thick=1.8), pen.disc(8, 11.3, 1.1))
    eighth = [(8 + 6.2 * math.cos(math.radians(a)), 8 + 6.2 * math.sin(math.radians(a))) for a in range(-67, 270, 45)]
    return [drawing.without(pen.area(*eighth, soft=0.7), sign)]


def _active(pen: Pen) -> list[Layer]:
    return [
        drawing.without(
            pen.disc(8, 8, 6.8),
            drawing.union(pen.line((8, 4.4), (8, 11), thick=1.7), pen.line((5, 8.4), (8, 11.4), (11, 8.4), thick=1.7)),
        )
    ]


def _waiting(pen: Pen) -> list[Layer]:
    return [pen.ring(8, 8, 5.9, thick=1.7)]


def _paused(pen: Pen) -> list[Layer]:
    bars = drawing.union(pen.line((6.2, 5.6), (6.2, 10.4), thick=1.7), pen.line((9.8, 5.6), (9.8, 10.4), thick=1.7))
    return [drawing.without(pen.disc(8, 8, 6.8), bars)]


def _calendar(pen: Pen) -> list[Layer]:
    hooks = [pen.line((x, 1.8), (x, 4.4), thick=1.6) for x in (5.2, 10.8)]
    return [pen.frame(2, 3, 14, 14, 2.4, thick=1.4), pen.line((2.6, 6.9), (13.4, 6.9), thick=1.4), *hooks]


def _menu(pen: Pen) -> list[Layer]:
    return [pen.disc(8, y, 1.35) for y in (3.2, 8, 12.8)]


def _help(pen: Pen) -> list[Layer]:
    hook = pen.arc(8, 6.1, 2.3, -190, 70, thick=1.7)
    sign = drawing.union(hook, pen.line((8, 8.4), (8, 9.3), thick=1.7), pen.disc(8, 11.8, 1.05))
    return [drawing.without(pen.disc(8, 8, 6.8), sign)]


def _copy(pen: Pen) -> list[Layer]:
    back = drawing.without(pen.frame(2, 2, 10.4, 10.4, 2, thick=1.4), pen.box(5, 5, 14, 14, 2))
    return [back, pen.frame(5.6, 5.6, 14, 14, 2, thick=1.4)]


def _download(pen: Pen) -> list[Layer]:
    tray = pen.line((2.6, 10.8), (2.6, 13.4), (13.4, 13.4), (13.4, 10.8))
    return [pen.line((8, 2.4), (8, 9.8)), pen.line((4.8, 7), (8, 10.2), (11.2, 7)), tray]


def _trash(pen: Pen) -> list[Layer]:
    body = pen.line((4, 4.6), (4.7, 13.6), (11.3, 13.6), (12, 4.6), thick=1.4)
    return [body, pen.line((2.4, 4.4), (13.6, 4.4), thick=1.4), pen.line((6.2, 2.2), (9.8, 2.2), thick=1.4)]


def _chevron(*points: Point) -> Callable[[Pen], list[Layer]]:
    return lambda pen: [pen.line(*points, thick=1.7)]


def _double(*points: Point) -> Callable[[Pen], list[Layer]]:
    def drawing(pen: Pen) -> list[Layer]:
        return [pen.line(*((x + shift, y) for x, y in points), thick=1.7) for shift in (-2.4, 2.4)]

    return drawing


_LEFT = ((9.7, 3.4), (5.3, 8), (9.7, 12.6))
_RIGHT = ((6.3, 3.4), (10.7, 8), (6.3, 12.6))

_DRAWINGS: dict[str, Callable[[Pen], list[Layer]]] = {
    "active": _active,
    "calendar": _calendar,
    "check": _check,
    "copy": _copy,
    "cross": _cross,
    "danger": _danger,
    "done": _done,
    "down": _chevron((3.4, 6), (8, 10.6), (12.6, 6)),
    "download": _download,
    "failed": _failed,
    "folder": _folder,
    "gear": _gear,
    "help": _help,
    "info": _info,
    "left": _chevron(*_LEFT),
    "left2": _double(*_LEFT),
    "menu": _menu,
    "minus": lambda pen: [pen.line((3.6, 8), (12.4, 8))],
    "part": _part,
    "pause": _pause,
    "paused": _paused,
    "play": _play,
    "plus": lambda pen: [pen.line((3.6, 8), (12.4, 8)), pen.line((8, 3.6), (8, 12.4))],
    "retry": _retry,
    "right": _chevron(*_RIGHT),
    "right2": _double(*_RIGHT),
    "search": _search,
    "stop": _stop,
    "trash": _trash,
    "up": _chevron((3.4, 10), (8, 5.4), (12.6, 10)),
    "waiting": _waiting,
    "warning": _warning,
}
NAMES = tuple(_DRAWINGS)


@cache
def icon(name: str, size: int) -> Shape:
    """Return an icon of `size` by `size` pixels, with a single layer."""
    return drawing.draw(size, size, drawing.union(*_DRAWINGS[name](Pen(size))))
