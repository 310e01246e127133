"""Basic widgets of the pages: the card frame, and a label that skips redundant Tk updates."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk

from era5dl.gui.theme.theme import Theme


class Card(ttk.Frame):
    """Rounded frame that groups widgets on a page. Widgets on it use styles without the prefix "Page."."""

    def __init__(self, master: tk.Misc, theme: Theme) -> None:
        super().__init__(master, style="Card.TFrame", padding=theme.px(14))


class UpdatingLabel(ttk.Label):
    """Label for texts that are set ten times a second: `show` calls Tk only if the text or the style has changed."""

    def __init__(self, master: tk.Misc, *, style: str) -> None:
        super().__init__(master, style=style, justify="left")
        self._shown = ("", style)

    def show(self, text: str, style: str | None = None) -> bool:
        """Show a text, in another style if one is given. Return whether something has changed."""
        wanted = (text, style or self._shown[1])
        if wanted == self._shown:
            return False
        self._shown = wanted
        self.configure(text=text, style=wanted[1])
        return True
