"""The round plate on the page that groups what belongs together."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk

from era5dl.gui.theme.theme import Theme

_PADDING = 14


class Card(ttk.Frame):
    """A frame with room at its edges. Everything without "Page." in its style is meant to lie on one."""

    def __init__(self, master: tk.Misc, theme: Theme, *, padding: float = _PADDING) -> None:
        super().__init__(master, style="Card.TFrame", padding=theme.px(padding))
