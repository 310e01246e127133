"""Grid of rows and months on a canvas: a calendar of many years, of which only the visible part is drawn.

80 years of 200 rows have 190,000 cells. Consecutive cells with the same state are one item of the canvas.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from tkinter import font, ttk
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.state_cells import Styles, draw_run, runs
from era5dl.gui.widgets.text_fitter import TextFitter

_CELL, _ROW = 15, 22  # unscaled pixels
_GAP = 5  # between two years
_LABELS = 176  # width of the names of the rows
_HEAD = 38


class MonthGrid(ttk.Frame):
    """Arrow keys move the cursor, with Ctrl by years and to the ends; PgUp and PgDn by pages, Home and End in the row.

    on_move(row, column): the cursor has moved. on_open(row, column): Return, Space or a click.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        styles: Styles,
        *,
        on_move: Callable[[int, int], object],
        on_open: Callable[[int, int], object],
    ) -> None:
        super().__init__(master)
        self._theme, self._styles, self._on_move, self._on_open = theme, styles, on_move, on_open
        self._labels: Sequence[str] = ()
        self._months: Sequence[str] = ()
        self._states: Sequence[Sequence[str | None]] = ()
        self._lefts: list[int] = []  # of each column, from the first
        self._top_row = self._left_column = 0
        self.cursor = (0, 0)
        self._empty_text = ""
        self._has_focus = False
        self.canvas = tk.Canvas(self, highlightthickness=0, borderwidth=0, takefocus=1, width=theme.px(420), height=1)
        self._batch = CanvasBatch(self.canvas)
        self._vertical = ttk.Scrollbar(self, command=self._scroll_rows)
        self._horizontal = ttk.Scrollbar(self, orient="horizontal", command=self._scroll_columns)
        self.canvas.grid(row=0, column=0, sticky="nsew")
        self._vertical.grid(row=0, column=1, sticky="ns")
        self._horizontal.grid(row=1, column=0, sticky="ew")
        self.rowconfigure(0, weight=1)
        self.columnconfigure(0, weight=1)
        self._fitter = TextFitter(font.nametofont(scaling.TEXT, root=self).measure)
        self._bind_events()
        theme.follow(self, lambda _: self.draw())

    def show(
        self, labels: Sequence[str], months: Sequence[str], states: Sequence[Sequence[str | None]], empty: str
    ) -> None:
        """Show these rows. months: "202001", or "" for a column without a month. empty: text if there are no rows.

        The cursor and the visible part stay where they are, if they exist.
        """
        is_new = (len(labels), tuple(months)) != (len(self._labels), tuple(self._months))
        self._labels, self._months, self._states, self._empty_text = labels, months, states, empty
        px, left = self._theme.px, 0
        self._lefts = []
        for column, month in enumerate(months):
            if column and month[:4] != months[column - 1][:4]:
                left += px(_GAP)
            self._lefts.append(left)
            left += px(_CELL)
        self._lefts.append(left)
        if is_new:
            self.cursor = (0, max(len(months) - 1, 0))
            self._top_row, self._left_column = 0, 0
            self._make_visible()
        self.draw()

    def centre_of(self, row: int, column: int) -> tuple[int, int]:
        """Return the centre of a visible cell on the canvas; for tests."""
        px = self._theme.px
        left = px(_LABELS) + self._lefts[column] - self._lefts[self._left_column]
        return left + px(_CELL) // 2, px(_HEAD) + (row - self._top_row) * px(_ROW) + px(_ROW) // 2

    # --- drawing

    def draw(self) -> None:
        """Draw the visible part."""
        px, palette, batch = self._theme.px, self._theme.palette, self._batch
        batch.delete("all")
        batch.configure(background=palette.card)
        if not self._labels:
            batch.create(
                "text", px(8), px(16), text=self._empty_text, anchor="nw", fill=palette.muted, font=scaling.TEXT,
                width=max(self.canvas.winfo_width() - px(16), 1),
            )  # fmt: skip
        else:
            last = min(self._left_column + self._visible_columns() + 1, len(self._months))
            self._draw_head(last)
            for row in range(self._top_row, min(self._top_row + self._visible_rows() + 1, len(self._labels))):
                self._draw_row(row, last)
            self._draw_cursor()
        batch.send()
        self._update_scrollbars()

    def _draw_head(self, last: int) -> None:
        px, palette, batch = self._theme.px, self._theme.palette, self._batch
        for column in range(self._left_column, last):
            month = self._months[column]
            left = self._left(column)
            if month and (month[4:] == "01" or column == self._left_column) and month[4:] < "11":
                batch.create(
                    "text", left, px(10), text=month[:4], anchor="w", fill=palette.text, font=scaling.TEXT
                )  # fmt: skip
            if month and int(month[4:]) % 3 == 1:
                batch.create(
                    "text", left + px(_CELL) // 2, px(28), text=str(int(month[4:])), fill=palette.muted,
                    font=scaling.SMALL,
                )  # fmt: skip

    def _draw_row(self, row: int, last: int) -> None:
        px, palette = self._theme.px, self._theme.palette
        top = px(_HEAD) + (row - self._top_row) * px(_ROW)
        label = self._fitter.fit(self._labels[row], px(_LABELS) - px(12))
        self._batch.create(
            "text", px(2), top + px(_ROW) // 2, text=label, anchor="w", fill=palette.text, font=scaling.TEXT
        )  # fmt: skip
        states = self._states[row]
        for first, stop, state in runs(states, self._left_column, last):
            for begin, end in self._years(first, stop):
                box = (
                    self._left(begin),
                    top + px(3),
                    self._left(end - 1) + px(_CELL) - px(2),
                    top + px(_ROW) - px(3),
                )
                draw_run(
                    self._batch, palette, self._styles[state], box, cells=end - begin, font=scaling.SMALL
                )  # fmt: skip

    def _draw_cursor(self) -> None:
        row, column = self.cursor
        if not self._has_focus or row < self._top_row or column < self._left_column:
            return
        x, y = self.centre_of(row, column)
        px = self._theme.px
        half, high = px(_CELL) // 2 + 1, px(_ROW) // 2
        self._batch.create(
            "rectangle", x - half, y - high, x + half - px(1), y + high, outline=self._theme.palette.accent, width=px(2)
        )  # fmt: skip

    def _years(self, first: int, stop: int) -> list[tuple[int, int]]:
        """Divide columns at the turns of the years."""
        months = self._months
        edges = [first]
        edges += [column for column in range(first + 1, stop) if months[column][:4] != months[column - 1][:4]]
        return list(zip(edges, [*edges[1:], stop], strict=True))

    def _left(self, column: int) -> int:
        return self._theme.px(_LABELS) + self._lefts[column] - self._lefts[self._left_column]

    # --- scrolling

    def _visible_rows(self) -> int:
        return max((self.canvas.winfo_height() - self._theme.px(_HEAD)) // self._theme.px(_ROW), 1)

    def _visible_columns(self) -> int:
        """Return how many columns fit, counted from the first visible one."""
        room = self.canvas.winfo_width() - self._theme.px(_LABELS)
        first = self._left_column
        for column in range(first, len(self._months)):
            if self._lefts[column + 1] - self._lefts[first] > room:
                return max(column - first, 1)
        return max(len(self._months) - first, 1)

    def _last_left(self) -> int:
        """Return the first visible column when the last one is at the right edge."""
        room, end = self.canvas.winfo_width() - self._theme.px(_LABELS), self._lefts[-1] if self._lefts else 0
        return next((column for column, left in enumerate(self._lefts[:-1]) if end - left <= room), 0)

    def _update_scrollbars(self) -> None:
        rows, columns = max(len(self._labels), 1), max(len(self._months), 1)
        self._vertical.set(self._top_row / rows, min((self._top_row + self._visible_rows()) / rows, 1.0))
        self._horizontal.set(
            self._left_column / columns, min((self._left_column + self._visible_columns()) / columns, 1.0)
        )

    def _scroll_rows(self, how: str, amount: str, unit: str = "") -> None:
        most = max(len(self._labels) - self._visible_rows(), 0)
        self._top_row = _scrolled(self._top_row, most, len(self._labels), self._visible_rows(), (how, amount, unit))
        self.draw()

    def _scroll_columns(self, how: str, amount: str, unit: str = "") -> None:
        step = self._visible_columns()
        place = _scrolled(self._left_column, self._last_left(), len(self._months), step, (how, amount, unit))
        self._left_column = place
        self.draw()

    def _make_visible(self) -> None:
        """Scroll to the cursor."""
        row, column = self.cursor
        rows = self._visible_rows()
        self._top_row = min(max(self._top_row, row - rows + 1), row)
        if column < self._left_column:
            self._left_column = column
        while self._left_column < column and column >= self._left_column + self._visible_columns():
            self._left_column += 1

    # --- mouse and keyboard

    def _bind_events(self) -> None:
        canvas = self.canvas
        canvas.bind("<Configure>", lambda _: self._resized())
        canvas.bind("<Button-1>", self._press)
        canvas.bind("<Button-4>", lambda _: self._scroll_rows("scroll", "-2", "units"))
        canvas.bind("<Button-5>", lambda _: self._scroll_rows("scroll", "2", "units"))
        canvas.bind("<Shift-Button-4>", lambda _: self._scroll_columns("scroll", "-3", "units"))
        canvas.bind("<Shift-Button-5>", lambda _: self._scroll_columns("scroll", "3", "units"))
        canvas.bind("<MouseWheel>", lambda e: self._scroll_rows("scroll", str(-2 * _sign(e.delta)), "units"))
        canvas.bind("<Shift-MouseWheel>", lambda e: self._scroll_columns("scroll", str(-3 * _sign(e.delta)), "units"))
        canvas.bind("<FocusIn>", lambda _: self._set_focus(True))
        canvas.bind("<FocusOut>", lambda _: self._set_focus(False))
        steps = {"Left": (0, -1), "Right": (0, 1), "Up": (-1, 0), "Down": (1, 0)}
        for key, (rows, columns) in steps.items():
            canvas.bind(f"<{key}>", lambda _, r=rows, c=columns: self._move(r, c))  # type: ignore[misc]
            canvas.bind(f"<Control-{key}>", lambda _, r=rows, c=columns: self._move(r * 1000, c * 12))  # type: ignore[misc]
        canvas.bind("<Prior>", lambda _: self._move(-self._visible_rows(), 0))
        canvas.bind("<Next>", lambda _: self._move(self._visible_rows(), 0))
        canvas.bind("<Home>", lambda _: self._move(0, -len(self._months)))
        canvas.bind("<End>", lambda _: self._move(0, len(self._months)))
        for key in ("<Return>", "<space>"):
            canvas.bind(key, lambda _: self._open())

    def _resized(self) -> None:
        if self._labels:
            self._make_visible()
            self._left_column = min(self._left_column, self._last_left())
        self.draw()

    def _press(self, event: tk.Event[Any]) -> None:
        self.canvas.focus_set()
        px = self._theme.px
        row = self._top_row + (event.y - px(_HEAD)) // px(_ROW)
        x = event.x - px(_LABELS)
        if x < 0 or event.y < px(_HEAD) or not 0 <= row < len(self._labels):
            return
        start = self._lefts[self._left_column]
        for column in range(self._left_column, len(self._months)):
            if 0 <= x - (self._lefts[column] - start) < px(_CELL):
                self._go(row, column)
                self._open()
                return

    def _move(self, rows: int, columns: int) -> str:
        if self._labels and self._months:
            row, column = self.cursor
            self._go(
                min(max(row + rows, 0), len(self._labels) - 1), min(max(column + columns, 0), len(self._months) - 1)
            )
        return "break"

    def _go(self, row: int, column: int) -> None:
        self.cursor = (row, column)
        self._make_visible()
        self.draw()
        self._on_move(row, column)

    def _open(self) -> str:
        if self._labels and self._months:
            self._on_open(*self.cursor)
        return "break"

    def _set_focus(self, focused: bool) -> None:
        self._has_focus = focused
        self.draw()


def _scrolled(now: int, most: int, total: int, page: int, command: tuple[str, str, str]) -> int:
    """Return the first visible line after a command of a scrollbar. most: the largest possible one."""
    how, amount, unit = command
    step = page if unit == "pages" else 1
    wanted = round(float(amount) * total) if how == "moveto" else now + int(amount) * step
    return min(max(wanted, 0), max(most, 0))


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
