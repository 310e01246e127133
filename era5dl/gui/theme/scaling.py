"""Screen scaling and fonts.

On Linux desktops with a scaled screen, Tk 8.6 enlarges fonts (it reads Xft.dpi) but nothing else. Therefore this module
sets `tk scaling`, and every length must be converted with `px`. On Windows the process must declare that it is aware of
scaling before it creates a window. On macOS Tk counts in points, and the system scales.
"""

from __future__ import annotations

import contextlib
import sys
import tkinter as tk
from dataclasses import dataclass
from tkinter import font
from typing import Any

_NORMAL_DPI = 96
_LEAST, _MOST = 0.75, 4.0  # limits of the scale factor, beyond which the window cannot be read or does not fit
TEXT, SMALL, HEAD, TITLE, FIGURE = "TkDefaultFont", "Era5Small", "Era5Head", "Era5Title", "Era5Figure"
_FONTS = {
    SMALL: (0.88, "normal"),
    HEAD: (1.06, "bold"),
    TITLE: (1.45, "bold"),
    FIGURE: (1.7, "bold"),
}  # size relative to TEXT, weight
CHINESE_FONTS = "fonts-noto-cjk or fonts-wqy-microhei"  # Debian packages, for the message about a missing font


@dataclass(frozen=True, slots=True)
class Scale:
    """Screen pixels per unscaled pixel; 1.0 is a screen of 96 dots per inch."""

    factor: float

    def px(self, length: float) -> int:
        """Convert an unscaled length to whole screen pixels. A positive length is at least one pixel."""
        return max(1, round(length * self.factor)) if length > 0 else round(length * self.factor)


def prepare_process() -> None:
    """Declare on Windows that this process does its own scaling. Call it before the first window is created."""
    if sys.platform == "win32":
        with contextlib.suppress(AttributeError, OSError):
            import ctypes

            ctypes.windll.shcore.SetProcessDpiAwareness(1)


def detect(root: tk.Misc, factor: float | None = None) -> Scale:
    """Return the scale of this screen, or `factor` if it is given, and set `tk scaling` to it."""
    if root.tk.call("tk", "windowingsystem") == "aqua":
        return Scale(min(_MOST, max(_LEAST, factor or 1.0)))
    factor = min(_MOST, max(_LEAST, factor or _dots_per_inch(root) / _NORMAL_DPI))
    root.tk.call("tk", "scaling", factor * _NORMAL_DPI / 72)
    return Scale(factor)


def _dots_per_inch(root: tk.Misc) -> float:
    """Return the desktop's setting (Xft.dpi) if there is one, else the value that the screen reports."""
    if root.tk.call("tk", "windowingsystem") == "x11":
        probe = tk.Toplevel(root, class_="Xft")
        probe.withdraw()
        xft_dpi = str(probe.tk.call("option", "get", probe, "dpi", "Dpi"))
        probe.destroy()
        with contextlib.suppress(ValueError):
            if 48 <= float(xft_dpi) <= 480:
                return float(xft_dpi)
    return float(root.winfo_fpixels("1i"))


def make_fonts(root: tk.Misc) -> list[font.Font]:
    """Create the named fonts. Keep the list: Tk deletes a named font when its `Font` object is garbage-collected."""
    base = font.nametofont(TEXT, root=root)
    known = font.names(root)
    settings: Any = base.configure()
    fonts: list[font.Font] = []
    for name, (times, weight) in _FONTS.items():
        fonts.append(font.Font(root=root, name=name, exists=name in known))
        bold: Any = weight
        fonts[-1].configure(
            family=settings["family"], size=round(settings["size"] * times) or settings["size"], weight=bold
        )
    return fonts


def knows_chinese(root: tk.Misc) -> bool:
    """Return whether a font has Chinese characters; otherwise they are as wide as an unassigned code point."""
    base = font.nametofont(TEXT, root=root)
    return base.measure("中文") != base.measure("\U0010fffd\U0010fffd")


def line_height(root: tk.Misc, name: str = TEXT) -> int:
    """Return the line height of this font in pixels."""
    return int(font.nametofont(name, root=root).metrics("linespace"))
