"""The icon of the program: a globe, and a badge with an arrow down, as PNG of any size. No Tk in here."""

from __future__ import annotations

from era5dl.gui.theme.drawing import Layer, draw, union
from era5dl.gui.theme.icons import Pen

SIZES = (16, 32, 48)  # pixels, for the title bar and the task bar
_BLUE, _WHITE = "#2460e0", "#ffffff"
_X, _Y = 11.4, 11.4  # centre of the badge
_STEPS = [n / 10 for n in range(-10, 11)]


def app_icon(size: int) -> bytes:
    """Return the icon as PNG with a transparent background, `size` by `size` pixels."""
    pen = Pen(size)
    tile, gap, badge = pen.box(0, 0, 16, 16, 3.6), pen.disc(_X, _Y, 4.3), pen.disc(_X, _Y, 3.5)
    arrow = union(
        pen.line((_X, _Y - 1.8), (_X, _Y + 1.5), thick=1.2),
        pen.line((_X - 1.6, _Y + 0.1), (_X, _Y + 1.7), (_X + 1.6, _Y + 0.1), thick=1.2),
    )
    return draw(size, size, tile, _globe(pen), gap, badge, arrow).png(_BLUE, _WHITE, _BLUE, _WHITE, _BLUE)


def _globe(pen: Pen) -> Layer:
    """Return a globe: its outline and the equator, and parallels and meridians if there are enough pixels for them."""
    x, y, radius = 7.4, 7.4, 5.4
    outline = union(pen.ring(x, y, radius, thick=0.9), pen.line((x - radius, y), (x + radius, y), thick=0.7))
    if pen.size < 24:
        return outline
    meridians = [
        pen.line(*((x + side * 2.4 * (1 - t * t) ** 0.5, y + radius * t) for t in _STEPS), thick=0.7)
        for side in (-1, 1)
    ]
    parallels = [pen.line((x - half, y + up), (x + half, y + up), thick=0.7) for up, half in ((-2.6, 4.7), (2.6, 4.7))]
    return union(outline, *meridians, *parallels)
