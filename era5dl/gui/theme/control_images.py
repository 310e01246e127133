"""Check boxes, radio discs, switches and chips as pictures: drawn for the ttk style and for widgets of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from era5dl.gui.theme import drawing
from era5dl.gui.theme.drawing import Layer, Shape

if TYPE_CHECKING:
    from era5dl.gui.theme.theme import Theme

_SIDE = 16  # of a box or disc
_RING = 2  # room around it for the ring of the keyboard
_MARKS = {"check": ((4.3, 8.4), (7, 11.1), (11.9, 5.3)), "minus": ((4.6, 8), (11.4, 8))}


def check_box(
    theme: Theme,
    mark: str,
    fill: str,
    edge: str,
    sign: str,
    *,
    ground: str | None,
    ring: str | None = None,
    gap: float = 0,
) -> str:
    """A check box. mark: "check", "minus" (some of a group), or "". gap: room to the right of it."""
    side, rim = theme.px(_SIDE + 2 * _RING), theme.px(_RING)
    wide = side + round(gap * theme.scale.factor)

    def shape() -> Shape:
        unit = (side - 2 * rim) / _SIDE
        hair = theme.px(1)
        layers = [
            drawing.rounded(wide, side, (0, 0, side, side), 6 * unit) if ring else _nothing(wide, side),
            drawing.rounded(wide, side, (hair, hair, side - hair, side - hair), 5 * unit)
            if ring
            else _nothing(wide, side),
            drawing.rounded(wide, side, (rim, rim, side - rim, side - rim), 4 * unit),
            drawing.rounded(
                wide, side, (rim + hair, rim + hair, side - rim - hair, side - rim - hair), 4 * unit - hair
            ),
            drawing.stroke(wide, side, [(rim + x * unit, rim + y * unit) for x, y in _MARKS[mark]], 1.9 * unit)
            if mark
            else _nothing(wide, side),
        ]
        return drawing.draw(wide, side, *layers)

    key = ("check", mark, bool(ring), wide, side)
    return theme.picture(key, shape, ring or edge, ground or fill, edge, fill, sign, ground=ground)


def radio_disc(theme: Theme, rim: str, inner: str, dot: str, ring: str | None, ground: str) -> str:
    """A radio button's disc."""
    side, edge, gap = theme.px(_SIDE + 2 * _RING), theme.px(_RING), theme.px(6)
    wide = side + gap

    def shape() -> Shape:
        middle, hair = (side / 2, side / 2), theme.px(1)
        radius = side / 2 - edge
        return drawing.draw(
            wide,
            side,
            drawing.circle(wide, side, middle, side / 2) if ring else _nothing(wide, side),
            drawing.circle(wide, side, middle, side / 2 - hair) if ring else _nothing(wide, side),
            drawing.circle(wide, side, middle, radius),
            drawing.circle(wide, side, middle, radius - hair),
            drawing.circle(wide, side, middle, radius * 0.4),
        )

    return theme.picture(("radio", bool(ring), side), shape, ring or rim, ground, rim, inner, dot, ground=ground)


def switch_track(theme: Theme, on: bool, track: str, knob: str, ring: str | None, ground: str) -> str:
    """A switch: its knob to the right when on."""
    rim = theme.px(_RING)
    high, length, gap = theme.px(18) + 2 * rim, theme.px(34) + 2 * rim, theme.px(8)
    wide = length + gap

    def shape() -> Shape:
        hair, radius = theme.px(1), (high - 2 * rim) / 2 - 3 * theme.scale.factor
        x = length - high / 2 if on else high / 2
        return drawing.draw(
            wide,
            high,
            drawing.rounded(wide, high, (0, 0, length, high), high) if ring else _nothing(wide, high),
            drawing.rounded(wide, high, (hair, hair, length - hair, high - hair), high)
            if ring
            else _nothing(wide, high),
            drawing.rounded(wide, high, (rim, rim, length - rim, high - rim), high),
            drawing.circle(wide, high, (x, high / 2), radius),
        )

    return theme.picture(
        ("switch", on, bool(ring), wide, high), shape, ring or track, ground, track, knob, ground=ground
    )


def plate(theme: Theme, width: int, height: int, fill: str, edge: str, *, ground: str, ring: str | None = None) -> str:
    """A round box of exactly so many pixels: a chip, a day of the calendar, the ground of a selected row."""
    radius, hair = theme.px(6), theme.px(1)

    def shape() -> Shape:
        thick = 2 * hair if ring else hair
        return drawing.draw(
            width,
            height,
            drawing.rounded(width, height, (0, 0, width, height), radius),
            drawing.rounded(width, height, (hair, hair, width - hair, height - hair), radius - hair)
            if ring
            else _nothing(width, height),
            drawing.rounded(width, height, (thick, thick, width - thick, height - thick), radius - thick),
        )

    key = ("plate", width, height, bool(ring))
    return theme.picture(key, shape, ring or edge, ring or edge, fill, ground=ground)


def ringed(theme: Theme, width: int, height: int, fill: str, ring: str, *, ground: str) -> str:
    """A filled plate within a ring, the ground between them: where the keyboard is on a chosen one."""
    radius, hair = theme.px(6), theme.px(1)

    def shape() -> Shape:
        def inset(by: float) -> Layer:
            return drawing.rounded(width, height, (by, by, width - by, height - by), radius - by / 2)

        return drawing.draw(width, height, inset(0), inset(2 * hair), inset(3 * hair))

    return theme.picture(("ringed", width, height), shape, ring, ground, fill, ground=ground)


def _nothing(width: int, height: int) -> Layer:
    return (bytes(width),) * height
