"""Size and position of the main window: restores the saved geometry if it still fits the screen."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass

from era5dl.gui.models.preferences import GEOMETRY

_GRIP = 50  # pixels of the window that must be on the screen, so that the user can move it


@dataclass(frozen=True, slots=True)
class ScreenArea:
    """The visible area in pixels; with several monitors, their bounding rectangle."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, root: tk.Misc) -> ScreenArea:
        """Return the area of the screen that shows `root`."""
        return cls(root.winfo_vrootx(), root.winfo_vrooty(), root.winfo_vrootwidth(), root.winfo_vrootheight())

    def fit(self, geometry: str) -> str:
        """Return a saved geometry adapted to this area, which may be another screen; "" for an invalid geometry.

        The size is limited to the area: for an extremely large one the X server may have too little memory, and the
        program would end. The position is dropped if the user could not reach the window there.
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
    """Set size and position of the window. px: converts unscaled to screen pixels. saved: a geometry, or ""."""
    screen_width, screen_height = root.winfo_screenwidth(), root.winfo_screenheight()
    root.minsize(min(px(960), screen_width), min(px(640), screen_height))
    root.geometry(f"{min(px(1280), screen_width)}x{min(px(820), screen_height)}")
    fitting = ScreenArea.of(root).fit(saved)
    if fitting:
        root.geometry(fitting)
