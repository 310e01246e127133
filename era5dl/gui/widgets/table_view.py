"""Table without input handling: a canvas with items for the visible rows only, for any number of rows.

ttk.Treeview is not used: it stores every row (98 MB for 100,000), redraws all visible rows when one of them changes,
and can show a progress bar only in its first column. Here a refresh without changes takes 0.1 ms.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from tkinter import font, ttk

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.table_body import TableBody
from era5dl.gui.widgets.table_header import TableHeader
from era5dl.gui.widgets.table_model import Column, Row, Selection, TableModel, Viewport
from era5dl.gui.widgets.text_fitter import TextFitter
from era5dl.gui.widgets.tooltip import Tooltip

_LINE_SPACING = 10  # added to the height of a line of text, in unscaled pixels


class TableView(ttk.Frame):
    """Header, visible rows and scrollbar. `VirtualTable` adds mouse and keyboard."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        columns: Sequence[Column],
        model: TableModel,
        on_sort: Callable[[str], object],
        empty: str,
        height: int,
    ) -> None:
        super().__init__(master)
        self._theme, self._model = theme, model
        self._selection, self._viewport = Selection(model), Viewport()
        self._hovered, self._focused = -1, False
        self._scrollbar_shows: tuple[float, float] | None = None
        self._empty = empty
        self._empty_shown: bool | None = None  # None: unknown, so it must be drawn again
        self.row_height = theme.px(_LINE_SPACING) + scaling.line_height(self)
        self.canvas = tk.Canvas(
            self,
            highlightthickness=0,
            borderwidth=0,
            takefocus=1,
            width=theme.px(400),
            height=(height + 1) * self.row_height,
        )
        fitter = TextFitter(font.nametofont(scaling.TEXT, root=self).measure)
        self.header = TableHeader(
            self.canvas,
            theme,
            columns,
            self.row_height,
            on_sort=on_sort,
            on_resize=self._rebuild,
            fitter=fitter,
            widest=lambda column: self._body.widest(column),
        )
        self._body = TableBody(self.canvas, theme, self.header, fitter, self.row_height)
        self._scrollbar = ttk.Scrollbar(self, orient="vertical", command=self.yview)
        self.canvas.grid(row=0, column=0, sticky="nsew")
        self._scrollbar.grid(row=0, column=1, sticky="ns")
        self.rowconfigure(0, weight=1)
        self.columnconfigure(0, weight=1)
        self.canvas.bind("<Configure>", lambda _: self._rebuild())
        Tooltip(self.canvas, theme, self._full_text_at_mouse)
        theme.follow(self, lambda _: self._restyle())

    # --- interface

    @property
    def selection(self) -> frozenset[Hashable]:
        """The ids of the selected rows, including those that a filter hides."""
        return self._selection.ids

    def select(self, ids: Iterable[Hashable]) -> None:
        """Select these rows. No callback is called."""
        self._selection.ids = frozenset(ids)
        self.refresh()

    def set_empty_text(self, text: str) -> None:
        """Set the text for an empty table, from the next `refresh` on."""
        if text != self._empty:
            self._empty, self._empty_shown = text, None

    def set_texts(self, titles: Sequence[str], empty: str | None = None) -> None:
        """Set the titles of all columns, and the text for an empty table (None: keep it)."""
        if empty is not None:
            self._empty = empty
        self.header.set_titles(titles)
        self._rebuild()

    def hide_columns(self, names: Collection[str]) -> None:
        """Hide these columns, and show all others that there is room for."""
        self.header.hide(names)
        self._rebuild()

    def show_sort(self, name: str | None, *, descending: bool = False) -> None:
        """Mark the column by which the rows are sorted."""
        self.header.mark_sorted(name, descending)

    def see(self, index: int) -> None:
        """Scroll until this row is visible."""
        self._viewport.show(index)
        self.refresh()

    @property
    def top(self) -> int:
        """Index of the first visible row."""
        return self._viewport.top

    def texts_shown(self) -> list[tuple[str, ...]]:
        """Return the visible texts row by row, shortened as on the screen; for tests."""
        return self._body.texts()

    def refresh(self) -> None:
        """Show the current rows of the model."""
        count, viewport = self._model.row_count(), self._viewport
        viewport.clamp(count)
        for place in range(len(self._body)):
            index = viewport.top + place if viewport.top + place < count else None
            row = None if index is None else self._model.row(index)
            self._body.draw(place, row, self._colours(index, row))
        self._body.flush()
        fractions = viewport.fractions(count)
        if fractions != self._scrollbar_shows:
            self._scrollbar_shows = fractions
            self._scrollbar.set(*fractions)
        if self._empty_shown is not (count == 0):
            self._empty_shown = count == 0
            self.canvas.itemconfigure("empty", text=self._empty if self._empty_shown else "")

    def yview(self, command: str, number: str, unit: str = "") -> None:
        """Execute a scrollbar command."""
        self._viewport.scroll(command, number, unit, self._model.row_count())
        self.refresh()

    # --- drawing

    def _restyle(self) -> None:
        self.canvas.configure(background=self._theme.palette.card)
        self._rebuild()

    def _rebuild(self) -> None:
        """Create all canvas items again, after a change of size, columns or colours."""
        canvas, width = self.canvas, self.canvas.winfo_width()
        self._viewport.height = max(1, (canvas.winfo_height() - self.row_height) // self.row_height)
        self._empty_shown = None
        canvas.delete("empty")
        self.header.arrange(width)
        self._body.rebuild(self._viewport.height + 1)  # the last row may be partly visible
        canvas.create_text(
            width // 2,
            self.row_height * 3,
            fill=self._theme.palette.muted,
            font=scaling.TEXT,
            justify="center",
            width=max(1, width - self._theme.px(40)),
            tags="empty",
        )
        canvas.tag_raise("header")
        self.refresh()

    def _colours(self, index: int | None, row: Row | None) -> tuple[str, str]:
        """Return the colours of a row: background and outline."""
        palette = self._theme.palette
        if index is None or row is None:
            return palette.card, palette.card
        row_id = self._model.row_id(index)
        fill = palette.hover if index == self._hovered or row.heading else palette.card
        if row_id in self._selection.ids:
            fill = palette.select if self._focused else palette.quiet_select
        outline = palette.accent if self._focused and row_id == self._selection.cursor else fill
        return fill, outline

    def _full_text_at_mouse(self) -> str:
        """Return the full text of the cell at the mouse if it is shortened, and the tooltip of its row."""
        x = self.canvas.winfo_pointerx() - self.canvas.winfo_rootx()
        place = (self.canvas.winfo_pointery() - self.canvas.winfo_rooty()) // self.row_height - 1
        column = self.header.column_at(x)
        if column is None:
            return ""
        texts = (self._body.shortened_text(place, column), self._body.tip(place, column))
        return "\n".join(dict.fromkeys(filter(None, texts)))
