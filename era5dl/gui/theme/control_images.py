"""Images of check boxes, toggle switches and rounded boxes, for the ttk style and for canvas widgets."""

from __future__ import annotations

from collections.abc import Iterable

from era5dl.gui.theme import drawing
from era5dl.gui.theme.drawing import Layer, Shape
from era5dl.gui.theme.image_cache import ImageCache

_SIDE = 16  # of a check box, in unscaled pixels
_RING = 2  # margin around a control for its focus ring
_MARKS = {"check": ((4.3, 8.4), (7, 11.1), (11.9, 5.3)), "minus": ((4.6, 8), (11.4, 8))}


def check_box(
    images: ImageCache,
    mark: str,
    fill: str,
    edge: str,
    mark_colour: str,
    *,
    background: str | None,
    ring: str | None = None,
    space_right: float = 0,
) -> str:
    """Return the image of a check box.

    mark: "check", "minus" (some items of a group are checked) or "".  ring: colour of the focus ring, if it has one.
    space_right: empty space to the right, in unscaled pixels.
    """
    side, margin, line = images.px(_SIDE + 2 * _RING), images.px(_RING), images.px(1)
    width = side + round(space_right * images.scale.factor)

    def draw() -> Shape:
        unit = (side - 2 * margin) / _SIDE
        points = [(margin + x * unit, margin + y * unit) for x, y in _MARKS.get(mark, ())]
        return drawing.draw(
            width,
            side,
            *_ring(width, side, (0, 0, side, side), (6 * unit, 5 * unit), line, shown=ring is not None),
            *_nested(width, side, (0, 0, side, side), ((margin, 4 * unit), (margin + line, 4 * unit - line))),
            drawing.stroke(width, side, points, 1.9 * unit) if points else drawing.blank(width, side),
        )

    colours = (ring or edge, background or fill, edge, fill, mark_colour)
    return images.get(("check", mark, bool(ring), width, side), draw, *colours, background=background)


def toggle_switch(images: ImageCache, on: bool, track: str, knob: str, ring: str | None, background: str) -> str:
    """Return the image of a toggle switch. Its knob is on the right if it is on."""
    margin, line = images.px(_RING), images.px(1)
    height, length = images.px(18) + 2 * margin, images.px(34) + 2 * margin
    width = length + images.px(8)

    def draw() -> Shape:
        knob_x = length - height / 2 if on else height / 2
        knob_radius = (height - 2 * margin) / 2 - 3 * images.scale.factor
        box = (0, 0, length, height)
        return drawing.draw(
            width,
            height,
            *_ring(width, height, box, (height, height), line, shown=ring is not None),
            *_nested(width, height, box, ((margin, height),)),
            drawing.circle(width, height, (knob_x, height / 2), knob_radius),
        )

    key = ("switch", on, bool(ring), width, height)
    return images.get(key, draw, ring or track, background, track, knob, background=background)


def rounded_box(
    images: ImageCache,
    width: int,
    height: int,
    fill: str,
    border: str,
    *,
    background: str,
    ring: str | None = None,
) -> str:
    """Return the image of a rounded box, `width` by `height` pixels: a toggle button, or a day of the calendar."""
    radius, line = images.px(6), images.px(1)
    thickness = 2 * line if ring else line

    def draw() -> Shape:
        insets = ((0, radius), (thickness, radius - thickness))
        return drawing.draw(width, height, *_nested(width, height, (0, 0, width, height), insets))

    return images.get(("rounded box", width, height, bool(ring)), draw, ring or border, fill, background=background)


def focused_box(images: ImageCache, width: int, height: int, fill: str, ring: str, *, background: str) -> str:
    """Return the image of a filled rounded box inside a focus ring, with a gap between the two."""
    radius, line = images.px(6), images.px(1)

    def draw() -> Shape:
        insets = [(inset, radius - inset / 2) for inset in (0, 2 * line, 3 * line)]
        return drawing.draw(width, height, *_nested(width, height, (0, 0, width, height), insets))

    return images.get(("focused box", width, height), draw, ring, background, fill, background=background)


def _ring(
    width: int, height: int, box: drawing.Box, radii: tuple[float, float], line: int, *, shown: bool
) -> Iterable[Layer]:
    """Return two layers: a filled box for the focus ring and the area inside it; blank if no ring is shown."""
    if not shown:
        return (drawing.blank(width, height),) * 2
    return _nested(width, height, box, ((0, radii[0]), (line, radii[1])))


def _nested(width: int, height: int, box: drawing.Box, insets: Iterable[tuple[float, float]]) -> Iterable[Layer]:
    """Return rounded boxes inside `box`, one layer for each (inset, radius)."""
    left, top, right, bottom = box
    return [
        drawing.rounded(width, height, (left + inset, top + inset, right - inset, bottom - inset), radius)
        for inset, radius in insets
    ]
