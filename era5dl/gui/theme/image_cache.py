"""Cache of the Tk images of one window. Images are drawn on first use, then shared by all widgets that look the same.

Tk deletes an image as soon as Python drops its `PhotoImage`; the cache keeps the references.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable

from era5dl.gui.theme import drawing, icons
from era5dl.gui.theme.drawing import Shape
from era5dl.gui.theme.scaling import Scale


class ImageCache:
    """Tk image names by shape and colours, for one root window and one scale."""

    def __init__(self, root: tk.Tk, scale: Scale) -> None:
        self.root, self.scale = root, scale
        self.px = scale.px
        self._images: dict[Hashable, tk.PhotoImage] = {}
        self._shapes: dict[Hashable, Shape] = {}

    def __len__(self) -> int:
        return len(self._images)

    def get(self, key: Hashable, draw: Callable[[], Shape], *colours: str, background: str | None = None) -> str:
        """Return the Tk name of an image. key: identifies the shape without its colours. draw: draws it if needed."""
        full_key = (key, colours, background)
        image = self._images.get(full_key)
        if image is None:
            shape = self._shapes.get(key)
            if shape is None:
                shape = self._shapes[key] = draw()
            data = shape.png(*colours, background=background)
            image = self._images[full_key] = tk.PhotoImage(master=self.root, data=data, format="png")
        return str(image)

    def icon(self, name: str, colour: str, size: float) -> str:
        """Return an icon of `icons.NAMES` in one colour, "#rrggbb". size: in unscaled pixels."""
        pixels = self.px(size)
        return self.get(("icon", name, pixels), lambda: icons.icon(name, pixels), colour)

    def bar(
        self, fraction: float, fill: str, track: str, *, width: float, height: float, background: str | None = None
    ) -> str:
        """Return the image of a progress bar filled up to `fraction` (0 to 1)."""
        wide, high = self.px(width), self.px(height)
        filled = 0 if fraction <= 0 else max(high, min(wide, round(wide * fraction)))
        key = ("bar", wide, high, filled)
        return self.get(key, lambda: bar_shape(wide, high, filled), track, fill, background=background)


def bar_shape(width: int, height: int, filled: int) -> Shape:
    """Return a shape of two layers: the track, and the filled part over it."""
    track = drawing.rounded(width, height, (0, 0, width, height), height / 2)
    return drawing.draw(width, height, track, drawing.rounded(width, height, (0, 0, filled, height), height / 2))
