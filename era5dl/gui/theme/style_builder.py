"""How a ttk theme is put together from our drawings: boxes, elements and layouts.

Three traps of ttk: it tiles the middle of pictures, so they must be wide, and opaque (a see-through 24 px tile takes
seconds for a big card); without width=1, height=1, padding=0 the drawing's size becomes the widget's smallest; and it
finds moving parts by the end of their names: pbar, thumb, uparrow, downarrow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from era5dl.gui.theme import drawing
from era5dl.gui.theme.drawing import Shape
from era5dl.gui.theme.palette import Palette

if TYPE_CHECKING:
    from era5dl.gui.theme.theme import Theme

RADIUS = 6  # of fields and buttons
CARD_RADIUS = 10
_TILE = 64  # side of a drawing whose middle is tiled


def nested_boxes(side: int, *insets: tuple[float, float]) -> Shape:
    """Round boxes within one another, a layer each: (distance from the edge, radius)."""
    core = min(side, 2 * math.ceil(max(inset + radius for inset, radius in insets)) + 5)
    layers = (drawing.rounded(core, core, (by, by, core - by, core - by), radius) for by, radius in insets)
    return drawing.draw(core, core, *layers, wider=side - core, higher=side - core)


class StyleBuilder:
    """The pieces a ttk theme is made of, in the palette of now."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self.style = theme.style
        self.palette: Palette = theme.palette
        self.px = theme.px
        self.hair = theme.px(1)  # the thinnest line

    # --- pieces

    def box(
        self,
        ground: str,
        fill: str,
        border: str | None = None,
        *,
        ring: str | None = None,
        gap: bool = False,
        radius: float = RADIUS,
        size: float = _TILE,
    ) -> str:
        """A round box. ring: a thick border, with a gap of the ground behind it if `gap`."""
        side, corner, hair = self.px(size), self.px(radius), self.hair
        insets: tuple[tuple[float, float], ...] = ((0, corner), (hair, corner - hair))
        colours: tuple[str, ...] = (border or fill, fill)
        if ring and gap:
            insets = ((0, corner), (2 * hair, corner - 2 * hair), (3 * hair, corner - 2 * hair))
            colours = (ring, ground, fill)
        elif ring:
            insets, colours = ((0, corner), (2 * hair, corner - 2 * hair)), (ring, fill)
        return self.theme.picture(("boxes", side, insets), lambda: nested_boxes(side, *insets), *colours, ground=ground)

    def element(self, name: str, first: str, *states: tuple[Any, ...], **options: Any) -> None:
        options.setdefault("padding", 0)
        if "border" in options:
            options.setdefault("width", 1)
            options.setdefault("height", 1)
        create: Any = self.style.element_create  # its stub knows less than Tk
        create(name, "image", first, *states, **options)

    def nest(self, style: str, *names: str, **last: str) -> None:
        """A layout of elements, each inside the one before."""
        inner: list[Any] = [(names[-1], {"sticky": "nsew", **last})]
        for name in reversed(names[:-1]):
            inner = [(name, {"sticky": "nsew", "children": inner})]
        self.layout(style, inner)

    def layout(self, style: str, parts: Any) -> None:
        """Of what a style is made; Tk takes more than its stub says."""
        self.style.layout(style, parts)
