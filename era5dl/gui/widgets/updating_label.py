"""A label that is told its text ten times a second, and tells Tk only when it is another one."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk


class UpdatingLabel(ttk.Label):
    """Set the text by `say` only."""

    def __init__(self, master: tk.Misc, *, style: str) -> None:
        super().__init__(master, style=style, justify="left")
        self._said = ("", style)

    def say(self, text: str, style: str | None = None) -> bool:
        """Show this text; in another style, if one is given. True when it was not shown already."""
        wanted = (text, style or self._said[1])
        if wanted == self._said:
            return False
        self._said = wanted
        self.configure(text=text, style=wanted[1])
        return True
