"""Grid of the days and hours of one month on a canvas, with the state of each hour."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Sequence

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.state_cells import Styles, draw_run, runs

_CELL, _ROW = 8, 10  # unscaled pixels
_LABELS, _HEAD = 24, 16
_DAYS, _HOURS = 31, 24


class HourGrid(tk.Canvas):
    """`show` displays a month: a row for each day, a column for each hour (UTC)."""

    def __init__(self, master: tk.Misc, theme: Theme, styles: Styles) -> None:
        px = theme.px
        super().__init__(
            master,
            width=px(_LABELS) + _HOURS * px(_CELL) + px(4),
            height=px(_HEAD) + _DAYS * px(_ROW),
            highlightthickness=0,
            borderwidth=0,
        )
        self._theme, self._styles = theme, styles
        self._days: Sequence[Sequence[str | None]] = ()
        self._batch = CanvasBatch(self)
        theme.follow(self, lambda _: self.draw())

    def show(self, days: Sequence[Sequence[str | None]]) -> None:
        """Show these days: the states of their 24 hours, None for an hour that is not wanted."""
        self._days = days
        self.draw()

    def draw(self) -> None:
        """Draw everything."""
        px, palette, batch = self._theme.px, self._theme.palette, self._batch
        batch.delete("all")
        batch.configure(background=palette.card)
        left, cell, row = px(_LABELS), px(_CELL), px(_ROW)
        small = scaling.SMALL
        for hour in range(0, _HOURS if self._days else 0, 6):
            batch.create("text", left + hour * cell, 0, text=f"{hour:02}", anchor="nw", fill=palette.muted, font=small)
        for number, states in enumerate(self._days):
            top = px(_HEAD) + number * row
            if (number + 1) % 5 == 0 or number == 0:
                middle = top + row // 2
                batch.create(
                    "text", left - px(6), middle, text=str(number + 1), anchor="e", fill=palette.muted, font=small
                )
            for first, stop, state in runs(states, 0, _HOURS):
                box = (left + first * cell, top, left + stop * cell - 1, top + row - px(2))
                style = self._styles[state]
                draw_run(batch, palette, style, box, cells=stop - first, font=small, letters=False)
        batch.send()
