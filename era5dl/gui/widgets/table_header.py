"""Header of a table: titles, sort marker, and column edges that can be dragged."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from tkinter import font
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.table_model import Column, Show
from era5dl.gui.widgets.text_fitter import TextFitter

_PADDING = 8  # unscaled pixels at both sides of a cell
_BAR, _SHORTEST_BAR = 84.0, 24.0  # width of a progress bar, in unscaled pixels
_GRIP = 4  # distance from an edge, in unscaled pixels, within which the mouse drags it
_CLICK = 4  # distance that the mouse may move during a click


class TableHeader:
    """Draws on the canvas of the table, in its first `height` pixels. Columns are identified by number."""

    def __init__(
        self,
        canvas: tk.Canvas,
        theme: Theme,
        columns: Sequence[Column],
        height: int,
        *,
        on_sort: Callable[[str], object],
        on_resize: Callable[[], object],
        fitter: TextFitter,
        widest: Callable[[int], int],
    ) -> None:
        """widest: returns the width in pixels that the contents of a column need."""
        self.columns = tuple(columns)
        self._canvas, self._theme, self._height = canvas, theme, height
        self._on_sort, self._on_resize, self._fitter, self._widest = on_sort, on_resize, fitter, widest
        self._font = font.nametofont(scaling.TEXT, root=canvas)
        self.width = 0  # of the table, in pixels
        self.bar_width = _BAR  # of the progress bars, in unscaled pixels
        self._wanted = [theme.px(column.width) for column in columns]
        self._edges: list[int] = [0] * (len(columns) + 1)
        self._least = [theme.px(column.least) for column in columns]
        self._off: frozenset[str] = frozenset()  # columns that are not wanted
        self._sorted: str | None = None
        self._descending = False
        self._hovered = -1
        self._pressed: tuple[int, int] | None = None  # column and x where the button was pressed on a title
        self._dragged: tuple[int, int, int] | None = None  # while an edge is dragged: column, x and width at the start

    def span(self, number: int) -> tuple[int, int]:
        """Return the left and right end of the contents of a column."""
        padding = self._theme.px(_PADDING)
        return self._edges[number] + padding, self._edges[number + 1] - padding

    def hidden(self, number: int) -> bool:
        """Return whether there is no room for this column."""
        return self._edges[number] == self._edges[number + 1]

    def column_at(self, x: int) -> int | None:
        """Return the column at this position."""
        for number in range(len(self.columns)):
            if self._edges[number] <= x < self._edges[number + 1]:
                return number
        return None

    def set_titles(self, titles: Sequence[str]) -> None:
        """Set the titles, which `arrange` draws."""
        self.columns = tuple(replace(column, title=title) for column, title in zip(self.columns, titles, strict=True))

    def hide(self, names: Collection[str]) -> None:
        """Hide these columns, and show all others that there is room for, from the next `arrange` on."""
        self._off = frozenset(names)

    def keep_visible(self, name: str, text: str) -> None:
        """Make a column wide enough for a text, from the next `arrange` on."""
        for number, column in enumerate(self.columns):
            if column.name == name:
                needed = self._fitter.measure(text) + 2 * self._theme.px(_PADDING) + 1
                self._least[number] = max(self._theme.px(column.least), needed)

    def mark_sorted(self, name: str | None, descending: bool) -> None:
        """Set the sort marker."""
        self._sorted, self._descending = name, descending
        self._draw()

    def sort(self, number: int) -> str:
        """Report a click on a title."""
        self._on_sort(self.columns[number].name)
        return "break"

    # --- widths

    def arrange(self, width: int) -> None:
        """Distribute the width of the table to its columns, and draw the titles."""
        self.width = width
        least = list(self._least)
        wanted = list(self._wanted)
        columns = self.columns
        for number, column in enumerate(columns):
            if column.name in self._off:
                least[number] = wanted[number] = 0
        for number in sorted(range(len(least)), key=lambda number: (columns[number].optional, number), reverse=True):
            column, needed = columns[number], sum(least)
            if column.spare:
                needed += sum(max(0, wanted[n] - least[n]) for n, one in enumerate(columns) if one.stretch and least[n])
            if column.optional and needed > width:
                least[number] = wanted[number] = 0
        widths = [max(width, low) for width, low in zip(wanted, least, strict=True)]
        remaining = width - sum(widths)
        stretching = [number for number, column in enumerate(columns) if column.stretch and least[number]]
        for number in stretching:
            widths[number] += max(0, remaining) // len(stretching)
        excess = sum(widths) - width
        for number in sorted(range(len(widths)), key=lambda number: (columns[number].stretch, -widths[number])):
            if excess <= 0:
                break
            cut = min(excess, widths[number] - least[number])
            widths[number] -= cut
            excess -= cut
        edge = 0
        for number, part in enumerate(widths):
            self._edges[number] = edge
            edge += part
        self._edges[-1] = edge
        self._fit_bars()
        self._draw()

    def _fit_bars(self) -> None:
        """Make the progress bars as wide as their column allows beside the percentage."""
        for number, column in enumerate(self.columns):
            if column.show is Show.PROGRESS:
                left, right = self.span(number)
                room = (right - left - self._fitter.measure("100 %")) / self._theme.scale.factor - 8
                self.bar_width = max(_SHORTEST_BAR, min(_BAR, room))

    def _resize(self, number: int, width: int) -> None:
        """Set the width of a column. A column that stretches compensates for the difference."""
        width = max(self._least[number], width)
        if self.columns[number].stretch and number + 1 < len(self.columns):
            other = number + 1  # this column takes what remains: its edge moves with the width of its neighbour
            change = width - (self._edges[number + 1] - self._edges[number])
            self._wanted[other] = max(self._least[other], self._wanted[other] - change)
        else:
            self._wanted[number] = width
        self._on_resize()

    # --- mouse

    def press(self, event: tk.Event[Any]) -> None:
        """Handle a press of the mouse button in the header."""
        edge = self._edge_at(event.x)
        if edge is not None:
            self._dragged = (edge, event.x, self._edges[edge + 1] - self._edges[edge])
            return
        number = self.column_at(event.x)
        if number is not None:
            self._pressed = (number, event.x)

    def drag(self, event: tk.Event[Any]) -> bool:
        """Handle a mouse movement with the button pressed. Return whether the button was pressed in the header."""
        if self._dragged is not None:
            number, start, width = self._dragged
            self._resize(number, width + event.x - start)
            return True
        return self._pressed is not None

    def release(self, event: tk.Event[Any]) -> None:
        """Handle a release of the mouse button at any position."""
        pressed, self._pressed, self._dragged = self._pressed, None, None
        if pressed and abs(event.x - pressed[1]) <= self._theme.px(_CLICK) and 0 <= event.y < self._height:
            self.sort(pressed[0])

    def double_click(self, event: tk.Event[Any]) -> None:
        """Make the column as wide as its contents, if the mouse is on its edge."""
        edge = self._edge_at(event.x)
        if edge is not None:
            title = self._font.measure(self.columns[edge].title) + self._theme.px(16)
            self._resize(edge, max(title, self._widest(edge)) + 2 * self._theme.px(_PADDING) + 1)

    def hover(self, event: tk.Event[Any] | None) -> None:
        """Set mouse cursor and highlight for the mouse position. event: None if the mouse is not over the header."""
        edge = self._edge_at(event.x) if event else None
        self._canvas.configure(cursor="sb_h_double_arrow" if edge is not None else "")
        number = self.column_at(event.x) if event and edge is None else None
        hovered = -1 if number is None else number
        if hovered != self._hovered:
            self._hovered = hovered
            self._draw()

    def _edge_at(self, x: int) -> int | None:
        """Return the column whose right edge is at this position."""
        for number in range(len(self.columns)):
            if abs(x - self._edges[number + 1]) <= self._theme.px(_GRIP):
                return number
        return None

    # --- drawing

    def _draw(self) -> None:
        canvas, palette = self._canvas, self._theme.palette
        canvas.delete("header")
        bottom = self._height - 1
        canvas.create_rectangle(0, 0, self.width, bottom, fill=palette.card, width=0, tags="header")
        canvas.create_line(0, bottom, self.width, bottom, fill=palette.line, tags="header")
        for number, column in enumerate(self.columns):
            if not self.hidden(number):
                self._draw_title(number, column)

    def _draw_title(self, number: int, column: Column) -> None:
        canvas, palette, px = self._canvas, self._theme.palette, self._theme.px
        left, right = self.span(number)
        y, is_sorted = self._height // 2, column.name == self._sorted
        colour = palette.text if is_sorted or number == self._hovered else palette.muted
        title = self._fitter.fit(column.title, right - left - (px(16) if is_sorted else 0))
        x, anchor = (right, "e") if column.right else (left, "w")
        canvas.create_text(x, y, text=title, anchor=anchor, fill=colour, font=self._font, tags="header")  # type: ignore[call-overload]
        if is_sorted:
            offset = self._font.measure(title) + px(4)
            icon = self._theme.icon("down" if self._descending else "up", "accent", 11)
            x = right - offset if column.right else left + offset
            canvas.create_image(x, y, image=icon, anchor=anchor, tags="header")
        if number + 1 < len(self.columns):
            edge = self._edges[number + 1]
            canvas.create_line(edge, y - px(5), edge, y + px(5), fill=palette.line, tags="header")
