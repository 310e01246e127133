"""The headings of a table: titles, the mark of the sorted column, and widths that can be dragged."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Sequence
from dataclasses import replace
from tkinter import font
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.table_model import Column, Show, TextFitter

_PAD = 8  # our units at both sides of a cell
_BAR, _SHORTEST_BAR = 84.0, 24.0  # our units of a bar of progress
_GRIP = 4  # how near to an edge the mouse takes hold of it
_CLICK = 4  # pixels a press may move and still be a click


class TableHeader:
    """Draws on the table's canvas, in its first `height` pixels."""

    def __init__(
        self,
        canvas: tk.Canvas,
        theme: Theme,
        columns: Sequence[Column],
        height: int,
        on_sort: Callable[[str], object],
        on_resize: Callable[[], object],
        fitter: TextFitter,
        widest: Callable[[int], int],
    ) -> None:
        """widest: pixels the contents of a column need."""
        self.columns = tuple(columns)
        self._canvas, self._theme, self._height = canvas, theme, height
        self._on_sort, self._on_resize, self._fitter, self._widest = on_sort, on_resize, fitter, widest
        self._font = font.nametofont(scaling.TEXT, root=canvas)
        self.width = 0  # of the table, in pixels
        self.bar = _BAR  # length of the bars in a column of progress, in our units
        self._wished = [theme.px(column.width) for column in columns]
        self._edges: list[int] = [0] * (len(columns) + 1)
        self._sorted: str | None = None
        self._descending = False
        self._hot = -1
        self._pressed: tuple[int, int] | None = None  # column, x: a click begun on a title
        self._gripped: tuple[int, int, int] | None = None  # column, x, width: an edge being dragged

    def span(self, number: int) -> tuple[int, int]:
        """Left and right end of what a column may show."""
        pad = self._theme.px(_PAD)
        return self._edges[number] + pad, self._edges[number + 1] - pad

    def column_at(self, x: int) -> int | None:
        """The column at this place."""
        for number in range(len(self.columns)):
            if self._edges[number] <= x < self._edges[number + 1]:
                return number
        return None

    def set_titles(self, titles: Sequence[str]) -> None:
        """Other words; `arrange` shows them."""
        self.columns = tuple(replace(column, title=title) for column, title in zip(self.columns, titles, strict=True))

    def mark(self, name: str | None, descending: bool) -> None:
        """Show by which column the rows are sorted."""
        self._sorted, self._descending = name, descending
        self._draw()

    def arrange(self, width: int) -> None:
        """Share out the width of the table and draw the titles."""
        self.width = width
        least = [self._theme.px(column.least) for column in self.columns]
        wished = list(self._wished)
        for number in reversed(range(len(least))):
            if self.columns[number].spare and sum(least) > width:
                least[number] = wished[number] = 0
        given = [max(wish, low) for wish, low in zip(wished, least, strict=True)]
        spare = width - sum(given)
        stretching = [number for number, column in enumerate(self.columns) if column.stretch]
        for number in stretching:
            given[number] = max(least[number], given[number] + spare // len(stretching))
        over = sum(given) - width
        for number in sorted(range(len(given)), key=lambda number: given[number], reverse=True):
            if over <= 0:
                break
            cut = min(over, given[number] - least[number])
            given[number] -= cut
            over -= cut
        edge = 0
        for number, part in enumerate(given):
            self._edges[number] = edge
            edge += part
        self._edges[-1] = edge
        self._fit_bar()
        self._draw()

    def hidden(self, number: int) -> bool:
        """Whether there is no room for this column."""
        return self._edges[number] == self._edges[number + 1]

    def _fit_bar(self) -> None:
        """Bars are as long as their column has room beside their numbers."""
        for number, column in enumerate(self.columns):
            if column.show is Show.PROGRESS:
                left, right = self.span(number)
                room = (right - left - self._fitter.measure("100 %")) / self._theme.scale.factor - 8
                self.bar = max(_SHORTEST_BAR, min(_BAR, room))

    def sort(self, number: int) -> str:
        """As if this title were clicked."""
        if self.columns[number].sortable:
            self._on_sort(self.columns[number].name)
        return "break"

    # --- the mouse

    def pressed(self, event: tk.Event[Any]) -> None:
        """The button went down among the titles."""
        edge = self._edge_at(event.x)
        if edge is not None:
            self._gripped = (edge, event.x, self._edges[edge + 1] - self._edges[edge])
            return
        number = self.column_at(event.x)
        if number is not None:
            self._pressed = (number, event.x)

    def dragged(self, event: tk.Event[Any]) -> bool:
        """Whether the drag is ours: it began among the titles."""
        if self._gripped is not None:
            number, start, width = self._gripped
            self._resize(number, width + event.x - start)
            return True
        return self._pressed is not None

    def released(self, event: tk.Event[Any]) -> None:
        """The button went up, wherever."""
        pressed, self._pressed, self._gripped = self._pressed, None, None
        if pressed and abs(event.x - pressed[1]) <= self._theme.px(_CLICK) and 0 <= event.y < self._height:
            self.sort(pressed[0])

    def double(self, event: tk.Event[Any]) -> None:
        """On an edge: as wide as the contents need."""
        edge = self._edge_at(event.x)
        if edge is not None:
            title = self._font.measure(self.columns[edge].title) + self._theme.px(16)
            self._resize(edge, max(title, self._widest(edge)) + 2 * self._theme.px(_PAD) + 1)

    def hover(self, event: tk.Event[Any] | None) -> None:
        """The mouse is over the titles, or (None) is not."""
        edge = self._edge_at(event.x) if event else None
        self._canvas.configure(cursor="sb_h_double_arrow" if edge is not None else "")
        number = self.column_at(event.x) if event and edge is None else None
        hot = -1 if number is None or not self.columns[number].sortable else number
        if hot != self._hot:
            self._hot = hot
            self._draw()

    def _edge_at(self, x: int) -> int | None:
        for number in range(len(self.columns)):
            if abs(x - self._edges[number + 1]) <= self._theme.px(_GRIP):
                return number
        return None

    def _resize(self, number: int, width: int) -> None:
        """The column becomes so wide; a column that stretches gives or takes the rest, if it is not this one."""
        width = max(self._theme.px(self.columns[number].least), width)
        if self.columns[number].stretch and number + 1 < len(self.columns):
            other = number + 1  # it takes what is left anyway: move the edge by its neighbour
            change = width - (self._edges[number + 1] - self._edges[number])
            self._wished[other] = max(self._theme.px(self.columns[other].least), self._wished[other] - change)
        else:
            self._wished[number] = width
        self._on_resize()

    def _draw(self) -> None:
        canvas, palette, px = self._canvas, self._theme.palette, self._theme.px
        canvas.delete("heading")
        wide, middle = self.width, self._height // 2
        canvas.create_rectangle(0, 0, wide, self._height - 1, fill=palette.card, width=0, tags="heading")
        canvas.create_line(0, self._height - 1, wide, self._height - 1, fill=palette.line, tags="heading")
        for number, column in enumerate(self.columns):
            if self.hidden(number):
                continue
            left, right = self.span(number)
            marked = column.name == self._sorted
            ink = palette.text if marked or number == self._hot else palette.muted
            room = right - left - (px(16) if marked else 0)
            title = self._fitter.fit(column.title, room)
            place, anchor = (right, "e") if column.right else (left, "w")
            canvas.create_text(place, middle, text=title, anchor=anchor, fill=ink, font=self._font, tags="heading")  # type: ignore[call-overload]
            if marked:
                long = self._font.measure(title) + px(4)
                icon = self._theme.icon("down" if self._descending else "up", "accent", 11)
                place = right - long if column.right else left + long
                canvas.create_image(place, middle, image=icon, anchor=anchor, tags="heading")
            if number + 1 < len(self.columns):
                edge = self._edges[number + 1]
                canvas.create_line(edge, middle - px(5), edge, middle + px(5), fill=palette.line, tags="heading")
