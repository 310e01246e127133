"""Table widget for 100,000 rows and more, with sorting, multiple selection and keyboard control.

table = VirtualTable(card, theme, columns=(Column("file", "File", stretch=True, middle=True), ...), model=model,
                     on_sort=..., on_select=..., on_menu=..., on_open=...)
table.refresh()          after each change of the model; draws only the cells that changed
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from era5dl.gui.theme.theme import Theme
from era5dl.gui.widgets.table_model import Column, TableModel
from era5dl.gui.widgets.table_view import TableView

_WHEEL_ROWS = 3


class VirtualTable(TableView):
    """Keys: arrows, PgUp, PgDn, Home, End, with Shift for ranges; Space, Ctrl+A, Return, the Menu key, Alt+1…9 to sort.

    on_sort(name): called when a heading is clicked; it sorts the model, then calls `show_sort` and `refresh`.
    on_select(ids): called when the selection has changed.   on_open(id): called for Return or a double click.
    on_menu(x, y): called for the Menu key or the right mouse button, to show a menu for the selection at (x, y).
    on_view_menu(x, y): called for the right mouse button in the header or below the last row.
    on_copy(): called for Ctrl+C.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        columns: Sequence[Column],
        model: TableModel,
        on_sort: Callable[[str], object] = lambda _: None,
        on_select: Callable[[frozenset[Hashable]], object] = lambda _: None,
        on_menu: Callable[[int, int], object] = lambda _x, _y: None,
        on_open: Callable[[Hashable], object] = lambda _: None,
        on_view_menu: Callable[[int, int], object] = lambda _x, _y: None,
        on_copy: Callable[[], object] = lambda: None,
        empty: str = "",
        height: int = 8,
    ) -> None:
        """empty: text shown when there are no rows. height: requested number of rows."""
        super().__init__(master, theme, columns=columns, model=model, on_sort=on_sort, empty=empty, height=height)
        self._on_select, self._on_menu, self._on_open = on_select, on_menu, on_open
        self._on_view_menu, self._on_copy = on_view_menu, on_copy
        self._bind_mouse()
        self._bind_keys()

    # --- mouse

    def _bind_mouse(self) -> None:
        canvas = self.canvas
        canvas.bind("<Button-1>", lambda event: self._click(event, self._selection.select))
        canvas.bind("<Shift-Button-1>", lambda event: self._click(event, self._selection.extend))
        is_mac = canvas.tk.call("tk", "windowingsystem") == "aqua"
        toggle, menu = ("<Command-Button-1>", "<Control-Button-1>") if is_mac else ("<Control-Button-1>", "<Button-3>")
        canvas.bind(toggle, lambda event: self._click(event, self._selection.toggle))
        canvas.bind("<B1-Motion>", self._drag)
        canvas.bind("<ButtonRelease-1>", self.header.release)
        canvas.bind("<Double-Button-1>", self._double_click)
        for button in (menu, "<Button-2>") if is_mac else (menu,):  # Tk 8.6 on macOS: the right button is the second
            canvas.bind(button, self._right_click)
        canvas.bind("<Motion>", self._motion)
        canvas.bind("<Leave>", lambda _: self._hover(-1))
        for event, rows in (("<Button-4>", -_WHEEL_ROWS), ("<Button-5>", _WHEEL_ROWS)):
            canvas.bind(event, lambda _, rows=rows: self._wheel(rows))  # type: ignore[misc]
        canvas.bind("<MouseWheel>", lambda event: self._wheel(-_WHEEL_ROWS if event.delta > 0 else _WHEEL_ROWS))

    def _index_at(self, y: int) -> int | None:
        """Return the index of the row at this height; -1 below the last row, None in the header."""
        if y < self.row_height:
            return None
        index = self._viewport.top + y // self.row_height - 1
        return index if index < self._model.row_count() else -1

    def _click(self, event: tk.Event[Any], select: Callable[[int], None]) -> None:
        self.canvas.focus_set()
        index = self._index_at(event.y)
        if index is None:
            self.header.press(event)
        elif index >= 0:
            select(index)
            self._selection_changed()
        elif self._selection.ids:
            self._selection.clear()
            self._selection_changed()

    def _drag(self, event: tk.Event[Any]) -> None:
        if self.header.drag(event):
            return
        index = self._index_at(max(event.y, self.row_height))
        if index is not None and index >= 0 and self._selection.cursor is not None:
            self._selection.extend(index)
            self.see(index)
            self._selection_changed()

    def _double_click(self, event: tk.Event[Any]) -> None:
        if self._index_at(event.y) is None:
            self.header.double_click(event)
        else:
            self._open()

    def _right_click(self, event: tk.Event[Any]) -> None:
        self.canvas.focus_set()
        index = self._index_at(event.y)
        if index is None or index < 0:
            self._on_view_menu(event.x_root, event.y_root)
            return
        if self._model.row_id(index) not in self._selection.ids:
            self._selection.select(index)
            self._selection_changed()
        self._on_menu(event.x_root, event.y_root)

    def _wheel(self, rows: int) -> str:
        self._viewport.top += rows
        self.refresh()
        return "break"

    def _motion(self, event: tk.Event[Any]) -> None:
        index = self._index_at(event.y)
        self.header.hover(event if index is None else None)
        self._hover(-1 if index is None else index)

    def _hover(self, index: int) -> None:
        if index != self._hovered:
            self._hovered = index
            self.refresh()

    # --- keyboard

    def _bind_keys(self) -> None:
        canvas, select = self.canvas, self._selection
        canvas.bind("<FocusIn>", lambda _: self._set_focused(True))
        canvas.bind("<FocusOut>", lambda _: self._set_focused(False))
        for key in ("Up", "Down", "Prior", "Next", "Home", "End"):
            canvas.bind(f"<{key}>", lambda _, key=key: self._move(key, select.select))  # type: ignore[misc]
            canvas.bind(f"<Shift-{key}>", lambda _, key=key: self._move(key, select.extend))  # type: ignore[misc]
        canvas.bind("<space>", lambda _: self._select_at_cursor(select.select))
        canvas.bind("<Control-space>", lambda _: self._select_at_cursor(select.toggle))
        for key in ("<Control-a>", "<Control-A>"):
            canvas.bind(key, lambda _: self._select_all())
        for key in ("<Return>", "<KP_Enter>"):
            canvas.bind(key, lambda _: self._open())
        for key in ("<Control-c>", "<Control-C>"):
            canvas.bind(key, lambda _: self._on_copy())
        windows = canvas.tk.call("tk", "windowingsystem") == "win32"
        for key in ("<Menu>", "<Shift-F10>", *(["<App>"] if windows else [])):
            canvas.bind(key, lambda _: self._menu_by_key())
        for number in range(min(9, len(self.header.columns))):
            canvas.bind(f"<Alt-Key-{number + 1}>", lambda _, number=number: self.header.sort(number))  # type: ignore[misc]

    def _move(self, key: str, select: Callable[[int], None]) -> str:
        count = self._model.row_count()
        if not count:
            return "break"
        page = max(1, self._viewport.height - 1)
        steps = {"Up": -1, "Down": 1, "Prior": -page, "Next": page, "Home": -count, "End": count}
        start = self._selection.cursor_index()
        if start is None:
            start = self._viewport.top - (steps[key] > 0)
        index = max(0, min(count - 1, start + steps[key]))
        select(index)
        self.see(index)
        self._selection_changed()
        return "break"

    def _select_at_cursor(self, select: Callable[[int], None]) -> str:
        index = self._selection.cursor_index()
        if index is not None:
            select(index)
            self.see(index)
            self._selection_changed()
        return "break"

    def _select_all(self) -> str:
        self._selection.select_all()
        self._selection_changed()
        return "break"

    def _open(self) -> str:
        if self._selection.cursor is not None and self._selection.ids:
            self._on_open(self._selection.cursor)
        return "break"

    def _menu_by_key(self) -> str:
        index = self._selection.cursor_index()
        if index is not None and self._selection.ids:
            self.see(index)
            y = self.row_height * (index - self._viewport.top + 2)
            self._on_menu(self.canvas.winfo_rootx() + self._theme.px(24), self.canvas.winfo_rooty() + y)
        return "break"

    def _selection_changed(self) -> None:
        self.refresh()
        self._on_select(self.selection)

    def _set_focused(self, focused: bool) -> None:
        self._focused = focused
        if focused and self._selection.cursor is None and self._model.row_count():
            self._selection.cursor = self._model.row_id(self._viewport.top)
        self.refresh()
