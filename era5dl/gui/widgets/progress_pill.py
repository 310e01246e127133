"""A short progress bar with its state beside it, for lists and cards."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk

from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.status_color import Tone


class ProgressPill(ttk.Frame):
    """[icon] [====--] text"""

    def __init__(self, master: tk.Misc, theme: Theme, *, width: float = 92) -> None:
        super().__init__(master)
        self._theme, self._width = theme, width
        self._fraction, self._tone = 0.0, Tone.WAITING
        self._icon, self._bar, self._text = ttk.Label(self), ttk.Label(self), ttk.Label(self)
        self._icon.pack(side="left")
        self._bar.pack(side="left", padx=theme.px(7))
        self._text.pack(side="left")
        theme.follow(self, self._paint)

    def show(self, fraction: float, tone: Tone, text: str) -> None:
        """fraction: 0 … 1. text: the state in words, or the percentage."""
        self._fraction, self._tone = fraction, tone
        self._text.configure(text=text)
        self._paint(self._theme.palette)

    def _paint(self, palette: Palette) -> None:
        self._icon.configure(image=self._theme.icon(self._tone.icon, self._tone.colour, 14))
        self._bar.configure(
            image=self._theme.bar(self._fraction, self._tone.bar, width=self._width, ground=palette.card)
        )
