"""Legend of states: a cell of each with its name, in as many lines as needed."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Sequence
from tkinter import font

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.state_cells import Styles, draw_run

_CELL, _ROW, _SPACE = 14, 20, 18  # unscaled pixels


class StateLegend(tk.Canvas):
    """`show` takes the names of the states that occur."""

    def __init__(self, master: tk.Misc, theme: Theme, styles: Styles) -> None:
        super().__init__(master, height=1, highlightthickness=0, borderwidth=0)
        self._theme, self._styles = theme, styles
        self._entries: Sequence[tuple[str, str]] = ()
        self._font = font.nametofont(scaling.TEXT, root=self)
        self._batch = CanvasBatch(self)
        self._height = 0
        self.bind("<Configure>", lambda _: self.draw())
        theme.follow(self, lambda _: self.draw())

    def show(self, entries: Sequence[tuple[str, str]]) -> None:
        """Show these states, as (state, text)."""
        if entries != self._entries:
            self._entries = entries
            self.draw()

    def draw(self) -> None:
        """Draw everything, and take the height that is needed."""
        px, palette, batch = self._theme.px, self._theme.palette, self._batch
        batch.delete("all")
        left = top = 0
        room = self.winfo_width()
        for state, name in self._entries:
            width = px(_CELL) + px(6) + self._font.measure(name)
            if left and left + width > room:
                left, top = 0, top + px(_ROW)
            box = (left, top + px(3), left + px(_CELL), top + px(_ROW) - px(3))
            draw_run(batch, palette, self._styles[state], box, cells=1, font=scaling.SMALL)
            text_left = left + px(_CELL) + px(6)
            batch.create(
                "text", text_left, top + px(_ROW) // 2, text=name, anchor="w", fill=palette.text, font=scaling.TEXT
            )
            left += width + px(_SPACE)
        batch.configure(background=palette.card)
        height = top + px(_ROW) if self._entries else 1
        if height != self._height:
            self._height = height
            batch.configure(height=height)
        batch.send()
