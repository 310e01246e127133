"""How big things are on this screen, which fonts there are, and whether they know Chinese.

On Linux desktops with a scaled screen Tk 8.6 enlarges fonts (it reads Xft.dpi) but nothing else: `tk scaling` must be
set by us, and every length must go through `px`. On Windows the process must say that it knows about scaled
screens before the first window is made. On macOS Tk counts in points, and the system scales.
"""

from __future__ import annotations

import contextlib
import sys
import tkinter as tk
from dataclasses import dataclass
from tkinter import font
from typing import Any

_NORMAL_DPI = 96
_LEAST, _MOST = 0.75, 4.0  # beyond these nothing can be read, or nothing fits
TEXT, SMALL, HEAD, TITLE, FIGURE, MONO = (
    "TkDefaultFont",
    "Era5Small",
    "Era5Head",
    "Era5Title",
    "Era5Figure",
    "TkFixedFont",
)
_OURS = {SMALL: (0.88, "normal"), HEAD: (1.06, "bold"), TITLE: (1.45, "bold"), FIGURE: (1.7, "bold")}
CHINESE_FONTS = "fonts-noto-cjk or fonts-wqy-microhei"  # Debian's names, for the message that none was found


@dataclass(frozen=True, slots=True)
class Scale:
    """Pixels of the screen for one of ours; 1.0 is a screen of 96 dots per inch."""

    factor: float

    def px(self, length: float) -> int:
        """Our length in whole pixels; something that is there at all has at least one."""
        return max(1, round(length * self.factor)) if length > 0 else round(length * self.factor)


def prepare_process() -> None:
    """Before the first window: on Windows, tell the system that we scale ourselves."""
    if sys.platform == "win32":
        with contextlib.suppress(AttributeError, OSError):
            import ctypes

            ctypes.windll.shcore.SetProcessDpiAwareness(1)


def detect(root: tk.Misc, factor: float | None = None) -> Scale:
    """The scale of this screen, or the one wished for; sets `tk scaling` to it."""
    if root.tk.call("tk", "windowingsystem") == "aqua":
        return Scale(min(_MOST, max(_LEAST, factor or 1.0)))
    factor = min(_MOST, max(_LEAST, factor or _dots_per_inch(root) / _NORMAL_DPI))
    root.tk.call("tk", "scaling", factor * _NORMAL_DPI / 72)
    return Scale(factor)


def _dots_per_inch(root: tk.Misc) -> float:
    """What the desktop says (Xft.dpi), else what the screen says."""
    if root.tk.call("tk", "windowingsystem") == "x11":
        probe = tk.Toplevel(root, class_="Xft")
        probe.withdraw()
        said = str(probe.tk.call("option", "get", probe, "dpi", "Dpi"))
        probe.destroy()
        with contextlib.suppress(ValueError):
            if 48 <= float(said) <= 480:
                return float(said)
    return float(root.winfo_fpixels("1i"))


def make_fonts(root: tk.Misc) -> list[font.Font]:
    """The named fonts beside Tk's own. Keep the list: a Font that is dropped takes its name with it."""
    base = font.nametofont(TEXT, root=root)
    known = font.names(root)
    facts: Any = base.configure()
    made: list[font.Font] = []
    for name, (times, weight) in _OURS.items():
        made.append(font.Font(root=root, name=name, exists=name in known))
        bold: Any = weight
        made[-1].configure(family=facts["family"], size=round(facts["size"] * times) or facts["size"], weight=bold)
    return made


def knows_chinese(root: tk.Misc) -> bool:
    """Whether some font here draws Chinese: a sign without a glyph is as wide as one that can have none."""
    base = font.nametofont(TEXT, root=root)
    return base.measure("中文") != base.measure("\U0010fffd\U0010fffd")


def line_height(root: tk.Misc, name: str = TEXT) -> int:
    """Pixels from one line of this font to the next."""
    return int(font.nametofont(name, root=root).metrics("linespace"))
