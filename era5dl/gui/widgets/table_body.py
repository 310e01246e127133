"""Body of a table: canvas items of the visible rows. Only changed items are updated."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass, field
from tkinter import font

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.table_header import TableHeader
from era5dl.gui.widgets.table_model import Column, Row, Show
from era5dl.gui.widgets.text_fitter import TextFitter


@dataclass(slots=True)
class _Line:
    """The canvas items of one line, and their current contents."""

    background: int
    cells: list[tuple[int, int]]  # for each column the text and the image (0 if it has none)
    row: Row | None = None
    colours: tuple[str, str] = ("", "")  # of the background and its outline
    texts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


class TableBody:
    """Draws rows below the header, each `row_height` pixels high. A line is a position on the screen, not a row."""

    def __init__(
        self, canvas: tk.Canvas, theme: Theme, header: TableHeader, fitter: TextFitter, row_height: int
    ) -> None:
        self._canvas, self._theme, self._header = canvas, theme, header
        self._fitter, self._row_height = fitter, row_height
        self._font = font.nametofont(scaling.TEXT, root=canvas)
        self._lines: list[_Line] = []
        self._batch = CanvasBatch(canvas)

    def __len__(self) -> int:
        return len(self._lines)

    def rebuild(self, count: int) -> None:
        """Delete all items, and create those of `count` lines."""
        columns = self._header.columns
        self._canvas.delete("rows")
        self._batch.clear()
        self._lines = []
        for place in range(count):
            y = self._row_height * (place + 1) + self._row_height // 2
            background = self._canvas.create_rectangle(0, 0, 0, 0, width=0, tags="rows")
            cells = [self._create_cell(number, y) for number in range(len(columns))]
            self._lines.append(_Line(background, cells, texts=[""] * len(columns), images=[""] * len(columns)))

    def texts(self) -> list[tuple[str, ...]]:
        """Return the visible texts, shortened as on the screen."""
        return [tuple(line.texts) for line in self._lines if line.row is not None]

    def shortened_text(self, place: int, column: int) -> str:
        """Return the full text of a cell if it is shortened, else ""."""
        line = self._lines[place] if 0 <= place < len(self._lines) else None
        if line is None or line.row is None or line.row.texts[column] == line.texts[column]:
            return ""
        return line.row.texts[column]

    def tip(self, place: int, column: int) -> str:
        """Return the tooltip of a cell."""
        line = self._lines[place] if 0 <= place < len(self._lines) else None
        return line.row.tip if line and line.row and self._header.columns[column].tip else ""

    def widest(self, column: int) -> int:
        """Return the width in pixels that the visible contents of a column need."""
        texts = (line.row.texts[column] for line in self._lines if line.row)
        return self._fitter.widest(texts) + self._indent(self._header.columns[column])

    def draw(self, place: int, row: Row | None, colours: tuple[str, str]) -> None:
        """Put a row on a line, or clear the line (None); visible after `flush`. colours: background and its outline."""
        line = self._lines[place]
        if colours != line.colours:
            y = self._row_height * (place + 1)
            self._batch.move(line.background, 0, y, self._header.width - 1, y + self._row_height - 1)
            self._batch.change(line.background, fill=colours[0], width=1, outline=colours[1])
        elif row == line.row:
            return
        before, line.row = line.row, row
        recoloured, line.colours = colours != line.colours, colours
        for number, column in enumerate(self._header.columns):
            text, image = line.cells[number]
            self._draw_text(line, number, column, text, row)
            if image:
                shown = row and not row.heading and not self._header.hidden(number)
                name = self._image(column, row, colours[0]) if row and shown else ""
                if name != line.images[number]:
                    line.images[number] = name
                    self._batch.change(image, image=name)
            if row and (recoloured or before is None or before.status != row.status or before.heading != row.heading):
                self._batch.change(text, fill=self._text_colour(column, row, colours[0]))

    def flush(self) -> None:
        """Show the changes by `draw` on the screen."""
        self._batch.send()

    def _draw_text(self, line: _Line, number: int, column: Column, item: int, row: Row | None) -> None:
        text = ""
        if row and not self._header.hidden(number):
            left, right = self._header.span(number)
            text = self._fitter.fit(row.texts[number], right - left - self._indent(column), middle=column.middle)
        if text != line.texts[number]:
            line.texts[number] = text
            self._batch.change(item, text=text)

    def _text_colour(self, column: Column, row: Row, background: str) -> str:
        palette = self._theme.palette
        if background == palette.select:  # status colours are hard to read on the colour of a selection
            return palette.select_text
        if background == palette.quiet_select:
            return palette.text
        if column.show is Show.STATUS and not row.heading:
            return self._theme.colour(row.status.colour)
        return palette.muted if column.muted or column.show is Show.PROGRESS else palette.text

    def _image(self, column: Column, row: Row, background: str) -> str:
        if column.show is not Show.PROGRESS:
            return self._theme.icon(row.status.icon, row.status.colour, 14)
        track = "track" if background in (self._theme.palette.card, self._theme.palette.hover) else "border"
        width = self._header.bar_width
        return self._theme.bar(row.progress, row.status.bar, width=width, track=track, background=background)

    def _create_cell(self, number: int, y: int) -> tuple[int, int]:
        column, left, right = self._header.columns[number], *self._header.span(number)
        image = 0
        if column.show is not Show.TEXT:
            image = self._canvas.create_image(left, y, anchor="w", tags="rows")
        x, anchor = (right, "e") if column.right else (left + self._indent(column), "w")
        text = self._canvas.create_text(x, y, anchor=anchor, font=self._font, tags="rows")  # type: ignore[call-overload]
        return text, image

    def _indent(self, column: Column) -> int:
        """Return the width of the image in front of the text."""
        if column.show is Show.PROGRESS:
            return self._theme.px(self._header.bar_width + 8)
        return self._theme.px(21) if column.show is Show.STATUS else 0
