"""Size and position of the main window: restores the saved ones if they still fit the screen."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass

from era5dl.gui.models.preferences import GEOMETRY

_GRIP = 50  # pixels of a window that must be on the screen, so that it can be moved


@dataclass(frozen=True, slots=True)
class ScreenArea:
    """The visible area in pixels; with several monitors, the rectangle around all of them."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, root: tk.Misc) -> ScreenArea:
        """Return the area of the screen that shows `root`."""
        return cls(root.winfo_vrootx(), root.winfo_vrooty(), root.winfo_vrootwidth(), root.winfo_vrootheight())

    def fit(self, geometry: str) -> str:
        """Adapt a saved geometry to this area, which may be another screen than the saved one.

        Reduces the size to the area: the X server has no memory for a wild one, which would end the program. Drops the
        position if the window could not be reached there. Returns "" for what is no geometry.
        """
        found = GEOMETRY.fullmatch(geometry)
        if found is None:
            return ""
        width, height = min(int(found[1]), self.width), min(int(found[2]), self.height)
        size = f"{width}x{height}"
        if found[3] is None:
            return size
        x, y = int(found[3].removeprefix("+")), int(found[4].removeprefix("+"))
        reachable = self.left - width + _GRIP <= x <= self.left + self.width - _GRIP
        reachable = reachable and self.top - _GRIP <= y <= self.top + self.height - _GRIP
        return f"{size}+{x}+{y}" if reachable else size


def place_window(root: tk.Tk, px: Callable[[float], int], saved: str) -> None:
    """Set the size and position of the window. px: converts our units to pixels. saved: a geometry, or ""."""
    screen_width, screen_height = root.winfo_screenwidth(), root.winfo_screenheight()
    root.minsize(min(px(960), screen_width), min(px(640), screen_height))
    root.geometry(f"{min(px(1280), screen_width)}x{min(px(820), screen_height)}")
    fitting = ScreenArea.of(root).fit(saved)
    if fitting:
        root.geometry(fitting)
