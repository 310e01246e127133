"""The lines of a table on the screen: the items of its canvas, and of these only what changed is touched."""

from __future__ import annotations

import tkinter as tk
from dataclasses import dataclass, field
from tkinter import font

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.canvas_batch import CanvasBatch
from era5dl.gui.widgets.table_header import TableHeader
from era5dl.gui.widgets.table_model import Column, Row, Show, TextFitter


@dataclass(slots=True)
class _BodyRow:
    """The items of one line on the screen, and what they show."""

    ground: int
    cells: list[tuple[int, int]]  # text, picture (0 if the column has none)
    row: Row | None = None
    colours: tuple[str, str] = ("", "")  # of the ground, of its outline
    texts: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


class TableBody:
    """Draws rows below the headings, each `height` pixels high."""

    def __init__(self, canvas: tk.Canvas, theme: Theme, headings: TableHeader, fitter: TextFitter, height: int) -> None:
        self._canvas, self._theme, self._headings, self._fitter, self._height = canvas, theme, headings, fitter, height
        self._font = font.nametofont(scaling.TEXT, root=canvas)
        self._lines: list[_BodyRow] = []
        self._batch = CanvasBatch(canvas)

    def __len__(self) -> int:
        return len(self._lines)

    def rebuild(self, count: int) -> None:
        """Make the items of so many lines anew: other size, other columns, other colours."""
        columns = self._headings.columns
        self._canvas.delete("rows")
        self._batch.forget()
        self._lines = []
        for place in range(count):
            middle = self._height * (place + 1) + self._height // 2
            ground = self._canvas.create_rectangle(0, 0, 0, 0, width=0, tags="rows")
            cells = [self._make_cell(number, middle) for number in range(len(columns))]
            self._lines.append(_BodyRow(ground, cells, texts=[""] * len(columns), pictures=[""] * len(columns)))

    def texts(self) -> list[tuple[str, ...]]:
        """What is on the screen, as it is cut."""
        return [tuple(line.texts) for line in self._lines if line.row is not None]

    def cut_text(self, place: int, number: int) -> str:
        """The whole text of a cell, if it is cut; else ""."""
        line = self._lines[place] if 0 <= place < len(self._lines) else None
        if line is None or line.row is None or line.row.texts[number] == line.texts[number]:
            return ""
        return line.row.texts[number]

    def widest(self, number: int) -> int:
        """Pixels the texts of this column on the screen need."""
        texts = (line.row.texts[number] for line in self._lines if line.row)
        return self._fitter.widest(texts) + self._indent(self._headings.columns[number])

    def show(self) -> None:
        """Let it be seen what `draw` has drawn since."""
        self._batch.send()

    def draw(self, place: int, row: Row | None, colours: tuple[str, str]) -> None:
        """Put a row, or nothing, in this line for the next `show`. colours: of its ground and the outline around it."""
        line = self._lines[place]
        if colours != line.colours:
            y = self._height * (place + 1)
            self._batch.place(line.ground, 0, y, self._headings.width - 1, y + self._height - 1)
            self._batch.change(line.ground, fill=colours[0], width=1, outline=colours[1])
        elif row == line.row:
            return
        before, line.row = line.row, row
        recoloured, line.colours = colours != line.colours, colours
        for number, column in enumerate(self._headings.columns):
            text, picture = line.cells[number]
            self._draw_text(line, number, column, text, row)
            if picture:
                seen = row and not self._headings.hidden(number)
                name = self._picture(column, row, colours[0]) if row and seen else ""
                if name != line.pictures[number]:
                    line.pictures[number] = name
                    self._batch.change(picture, image=name)
            if row and (recoloured or before is None or before.tone != row.tone):
                self._batch.change(text, fill=self._ink(column, row, colours[0]))

    def _draw_text(self, line: _BodyRow, number: int, column: Column, item: int, row: Row | None) -> None:
        shown = ""
        if row and not self._headings.hidden(number):
            left, right = self._headings.span(number)
            shown = self._fitter.fit(row.texts[number], right - left - self._indent(column), middle=column.middle)
        if shown != line.texts[number]:
            line.texts[number] = shown
            self._batch.change(item, text=shown)

    def _ink(self, column: Column, row: Row, ground: str) -> str:
        palette = self._theme.palette
        if ground in (palette.select, palette.quiet_select):  # colours of states are hard to read on these
            return palette.select_text if ground == palette.select else palette.text
        if column.show is Show.STATE:
            return self._theme.colour(row.tone.colour)
        return palette.muted if column.quiet or column.show is Show.PROGRESS else palette.text

    def _picture(self, column: Column, row: Row, ground: str) -> str:
        if column.show is Show.PROGRESS:
            track = "track" if ground in (self._theme.palette.card, self._theme.palette.hover) else "border"
            return self._theme.bar(row.progress, row.tone.bar, width=self._headings.bar, track=track, background=ground)
        return self._theme.icon(row.tone.icon, row.tone.colour, 14)

    def _make_cell(self, number: int, middle: int) -> tuple[int, int]:
        column, left, right = self._headings.columns[number], *self._headings.span(number)
        picture = 0
        if column.show is not Show.TEXT:
            picture = self._canvas.create_image(left, middle, anchor="w", tags="rows")
        place, anchor = (right, "e") if column.right else (left + self._indent(column), "w")
        text = self._canvas.create_text(place, middle, anchor=anchor, font=self._font, tags="rows")  # type: ignore[call-overload]
        return text, picture

    def _indent(self, column: Column) -> int:
        """Room for the picture in front of the text."""
        if column.show is Show.PROGRESS:
            return self._theme.px(self._headings.bar + 8)
        return self._theme.px(21) if column.show is Show.STATE else 0
