"""Builds ttk elements and layouts from drawn images.

Three pitfalls of ttk image elements: ttk tiles the middle of an image, so images must be wide and opaque (a transparent
24-pixel tile takes seconds on a large card). Without width=1, height=1 and padding=0, the size of the image becomes the
minimum size of the widget. ttk finds moving parts by the end of their names: pbar, thumb, uparrow, downarrow.
"""

from __future__ import annotations

import math
from tkinter import ttk
from typing import Any

from era5dl.gui.theme import drawing
from era5dl.gui.theme.drawing import Shape
from era5dl.gui.theme.image_cache import ImageCache
from era5dl.gui.theme.palette import Palette

RADIUS = 6  # of fields and buttons
CARD_RADIUS = 10
_TILE = 64  # side of an image whose middle is tiled


def nested_boxes(side: int, *insets: tuple[float, float]) -> Shape:
    """Return nested rounded boxes, one layer for each (distance from the edge, radius)."""
    core = min(side, 2 * math.ceil(max(inset + radius for inset, radius in insets)) + 5)
    layers = (drawing.rounded(core, core, (by, by, core - by, core - by), radius) for by, radius in insets)
    return drawing.draw(core, core, *layers, wider=side - core, higher=side - core)


class StyleBuilder:
    """Creates the elements and layouts of one ttk theme, in the colours of one palette."""

    def __init__(self, style: ttk.Style, images: ImageCache, palette: Palette) -> None:
        self.style, self.images, self.palette = style, images, palette
        self.px = images.px

    def box(
        self,
        background: str,
        fill: str,
        border: str | None = None,
        *,
        ring: str | None = None,
        gap: bool = False,
        radius: float = RADIUS,
        size: float = _TILE,
    ) -> str:
        """Return the image of a rounded box.

        ring: colour of a thick border (focus, invalid).  gap: whether the background shows between ring and fill.
        """
        side, corner, line = self.px(size), self.px(radius), self.px(1)
        insets: tuple[tuple[float, float], ...] = ((0, corner), (line, corner - line))
        colours: tuple[str, ...] = (border or fill, fill)
        if ring and gap:
            insets = ((0, corner), (2 * line, corner - 2 * line), (3 * line, corner - 2 * line))
            colours = (ring, background, fill)
        elif ring:
            insets, colours = ((0, corner), (2 * line, corner - 2 * line)), (ring, fill)
        return self.images.get(
            ("boxes", side, insets), lambda: nested_boxes(side, *insets), *colours, background=background
        )

    def icon(self, name: str, size: float) -> str:
        """Return the image of an icon in the colour of secondary text."""
        return self.images.icon(name, self.palette.muted, size)

    def element(self, name: str, image: str, *states: tuple[Any, ...], **options: Any) -> None:
        """Create an image element; `states` are (state, ..., image), the first match wins."""
        options.setdefault("padding", 0)
        if "border" in options:
            options.setdefault("width", 1)
            options.setdefault("height", 1)
        create: Any = self.style.element_create  # typeshed knows fewer arguments than Tk
        create(name, "image", image, *states, **options)

    def nest(self, style: str, *names: str, **innermost: str) -> None:
        """Set a layout of nested elements, the outermost first. innermost: options of the last one."""
        layout: list[Any] = [(names[-1], {"sticky": "nsew", **innermost})]
        for name in reversed(names[:-1]):
            layout = [(name, {"sticky": "nsew", "children": layout})]
        self.layout(style, layout)

    def layout(self, style: str, layout: Any) -> None:
        """Set the layout of a style."""
        self.style.layout(style, layout)
