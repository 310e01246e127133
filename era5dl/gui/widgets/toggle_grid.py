"""Grid of toggle buttons with multiple selection, used for years, months and days.

All buttons are drawn on one canvas: drawing 130 of them takes a few milliseconds, and Tab stops at the grid only once.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Iterable, Sequence
from tkinter import font, ttk
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.control_images import focused_box, rounded_box
from era5dl.gui.theme.theme import Theme

_GAP = 4  # between two cells, in unscaled pixels
_HEIGHT = 27
_LEAST_WIDTH = 50  # default minimum width of a cell; if there is less room, there are fewer columns


class ToggleGrid(ttk.Frame):
    """Click or Space toggles a cell. Dragging, or Shift with a click or an arrow key, sets a range.

    Arrow keys, Home, End, PgUp and PgDn move the cursor, Ctrl+A selects all. on_change: called with the selected
    values.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        choices: Sequence[tuple[int, str]],
        on_change: Callable[[frozenset[int]], object],
        quick: Sequence[Iterable[int]] = (),
        least_width: float = _LEAST_WIDTH,
    ) -> None:
        """choices: values and their texts, in order. quick: selections with a button of their own.

        least_width: of a cell, in unscaled pixels. `set_texts` sets the title and the texts of the buttons.
        """
        super().__init__(master)
        self._theme, self._on_change, self._least_width = theme, on_change, least_width
        self._choices = list(choices)
        self._selected: set[int] = set()
        self._cursor, self._anchor, self._hovered, self._focused = 0, 0, -1, False
        self._nothing_text = ""
        self._drag_sets: bool | None = None  # whether a drag selects or deselects
        self._font = font.nametofont(scaling.TEXT, root=self)
        self._title = ttk.Label(self, style="Head.TLabel")
        self._count = ttk.Label(self, style="Muted.TLabel")
        self._quick = [self._button(lambda values=values: self._replace(values)) for values in map(frozenset, quick)]  # type: ignore[misc]
        self._all, self._none = self._button(self._select_all), self._button(lambda: self._replace(()))
        self.canvas = tk.Canvas(self, highlightthickness=0, borderwidth=0, takefocus=1, width=theme.px(320), height=1)
        self._title.grid(row=0, column=0, sticky="w")
        self._count.grid(row=0, column=1, sticky="w", padx=theme.px(8))
        for column, button in enumerate((self._all, *self._quick, self._none), start=2):
            button.grid(row=0, column=column, padx=(theme.px(2), 0))
        self.canvas.grid(row=1, column=0, columnspan=4 + len(self._quick), sticky="ew", pady=(theme.px(4), 0))
        self.columnconfigure(1, weight=1)
        self._items: list[tuple[int, int]] = []  # canvas items of each cell: image, text
        self._shown: list[tuple[str, str]] = []  # what they show: image, colour of the text
        self._columns, self._width = 1, 1
        self._bind_events()
        theme.follow(self, lambda _: self._restyle())

    def _button(self, command: Callable[[], object]) -> ttk.Button:
        px = self._theme.px
        return ttk.Button(self, style="Ghost.TButton", padding=(px(8), px(2)), command=command)

    def get(self) -> frozenset[int]:
        """Return the selected values."""
        return frozenset(self._selected)

    def set(self, values: Iterable[int]) -> None:
        """Select these values. `on_change` is not called."""
        self._selected = set(values)
        self._paint()

    def set_texts(
        self,
        *,
        title: str,
        all_text: str,
        none_text: str,
        choices: Sequence[tuple[int, str]] | None = None,
        quick: Sequence[str] = (),
        nothing_text: str = "",
    ) -> None:
        """Set all texts. Selected values stay selected if they are still among the choices.

        nothing_text: beside the title while no cell is selected, for example because that means all of them.
        """
        self._nothing_text = nothing_text
        for button, text in zip(self._quick, quick, strict=True):
            button.configure(text=text)
        self._title.configure(text=title)
        self._all.configure(text=all_text)
        self._none.configure(text=none_text)
        if choices is not None:
            self._choices = list(choices)
            self._selected &= {value for value, _ in choices}
            self._cursor = min(self._cursor, max(0, len(choices) - 1))
            self._arrange()
        self._paint()

    def centre_of(self, value: int) -> tuple[int, int]:
        """Return the centre of a cell on the canvas; for tests."""
        left, top, width, height = self._box([known for known, _ in self._choices].index(value))
        return left + width // 2, top + height // 2

    # --- drawing

    def _restyle(self) -> None:
        self.canvas.configure(background=self._theme.palette.card)
        self._arrange()

    def _arrange(self) -> None:
        """Distribute the width to the columns, and create the canvas items again."""
        px, room = self._theme.px, self.canvas.winfo_width()
        gap = px(_GAP)
        widest_text = max((self._font.measure(text) for _, text in self._choices), default=0)
        least = max(px(self._least_width), widest_text + px(7))
        most = max(1, min((room + gap) // (least + gap), len(self._choices)))
        rows = max(1, -(-len(self._choices) // most))
        self._columns = max(1, -(-len(self._choices) // rows))  # so that the last row is about as long as the others
        self._width = max(least, (room + gap) // self._columns - gap) if room > 1 else least
        self.canvas.configure(height=max(1, rows * (px(_HEIGHT) + gap) - gap))
        self.canvas.delete("all")
        self._items, self._shown = [], []
        for index, (_, text) in enumerate(self._choices):
            left, top, width, height = self._box(index)
            image = self.canvas.create_image(left, top, anchor="nw")
            label = self.canvas.create_text(left + width // 2, top + height // 2, text=text, font=self._font)
            self._items.append((image, label))
            self._shown.append(("", ""))
        self._paint()

    def _box(self, index: int) -> tuple[int, int, int, int]:
        """Return left, top, width and height of a cell."""
        row, column = divmod(index, self._columns)
        gap, height = self._theme.px(_GAP), self._theme.px(_HEIGHT)
        return column * (self._width + gap), row * (height + gap), self._width, height

    def _paint(self) -> None:
        for index, (image, label) in enumerate(self._items):
            appearance = self._appearance_of(index)
            if appearance != self._shown[index]:
                self._shown[index] = appearance
                self.canvas.itemconfigure(image, image=appearance[0])
                self.canvas.itemconfigure(label, fill=appearance[1])
        self._count.configure(text=f"{len(self._selected)}" if self._selected else self._nothing_text)

    def _appearance_of(self, index: int) -> tuple[str, str]:
        """Return the image of a cell and the colour of its text."""
        p = self._theme.palette
        size = (self._theme.images, self._width, self._theme.px(_HEIGHT))
        has_cursor = self._focused and index == self._cursor
        if self._is_selected(index):
            fill = p.accent_hover if index == self._hovered else p.accent
            if has_cursor:
                return focused_box(*size, fill, p.accent, background=p.card), p.on_accent
            return rounded_box(*size, fill, fill, background=p.card), p.on_accent
        fill = p.hover if index == self._hovered else p.field
        ring = p.accent if has_cursor else None
        return rounded_box(*size, fill, p.border, background=p.card, ring=ring), p.text

    # --- selection

    def _is_selected(self, index: int) -> bool:
        return self._choices[index][0] in self._selected

    def _select_all(self) -> None:
        self._replace(value for value, _ in self._choices)

    def _select(self, indices: Iterable[int], selected: bool) -> None:
        values = {self._choices[index][0] for index in indices}
        self._replace(self._selected | values if selected else self._selected - values)

    def _replace(self, values: Iterable[int]) -> None:
        values = set(values)
        if values != self._selected:
            self._selected = values
            self._paint()
            self._on_change(self.get())

    def _select_range_to(self, index: int) -> None:
        """Set all cells from the last toggled cell to this one to the state of the former."""
        low, high = sorted((self._anchor, index))
        self._cursor = index
        self._select(range(low, high + 1), self._is_selected(self._anchor))
        self._paint()

    # --- mouse and keyboard

    def _bind_events(self) -> None:
        canvas = self.canvas
        canvas.bind("<Configure>", lambda _: self._arrange())
        canvas.bind("<Button-1>", self._press)
        canvas.bind("<Shift-Button-1>", self._shift_press)
        canvas.bind("<B1-Motion>", self._drag)
        canvas.bind("<Motion>", lambda event: self._hover(self._index_at(event)))
        canvas.bind("<Leave>", lambda _: self._hover(-1))
        canvas.bind("<FocusIn>", lambda _: self._set_focused(True))
        canvas.bind("<FocusOut>", lambda _: self._set_focused(False))
        for key in ("Left", "Right", "Up", "Down", "Home", "End", "Prior", "Next"):
            canvas.bind(f"<{key}>", lambda _, key=key: self._move(key, False))  # type: ignore[misc]
            canvas.bind(f"<Shift-{key}>", lambda _, key=key: self._move(key, True))  # type: ignore[misc]
        for key in ("<space>", "<Return>"):
            canvas.bind(key, lambda _: self._toggle())
        for key in ("<Control-a>", "<Control-A>"):
            canvas.bind(key, lambda _: self._select_all())

    def _index_at(self, event: tk.Event[Any]) -> int:
        """Return the index of the cell at the mouse; -1 if there is none."""
        gap = self._theme.px(_GAP)
        column, row = event.x // (self._width + gap), event.y // (self._theme.px(_HEIGHT) + gap)
        index = int(row * self._columns + column)
        return index if 0 <= column < self._columns and 0 <= index < len(self._choices) else -1

    def _press(self, event: tk.Event[Any]) -> None:
        self.canvas.focus_set()
        index = self._index_at(event)
        self._drag_sets = None
        if index >= 0:
            self._cursor = self._anchor = index
            self._drag_sets = not self._is_selected(index)
            self._select([index], self._drag_sets)
            self._paint()

    def _shift_press(self, event: tk.Event[Any]) -> None:
        self.canvas.focus_set()
        index = self._index_at(event)
        if index >= 0:
            self._select_range_to(index)

    def _drag(self, event: tk.Event[Any]) -> None:
        index = self._index_at(event)
        if index >= 0 and self._drag_sets is not None:
            self._cursor = index
            self._select([index], self._drag_sets)
            self._hover(index)

    def _move(self, key: str, extend: bool) -> str:
        if not self._choices:
            return "break"
        last, row = len(self._choices) - 1, self._columns
        steps = {"Left": -1, "Right": 1, "Up": -row, "Down": row, "Prior": -3 * row, "Next": 3 * row}
        if key in steps:
            target = self._cursor + steps[key]
            if not 0 <= target <= last:
                target = self._cursor if abs(steps[key]) == row else max(0, min(last, target))
        else:
            target = 0 if key == "Home" else last
        if extend:
            self._select_range_to(target)
        else:
            self._cursor = target
            self._paint()
        return "break"

    def _toggle(self) -> str:
        if self._choices:
            self._anchor = self._cursor
            self._select([self._cursor], not self._is_selected(self._cursor))
        return "break"

    def _hover(self, index: int) -> None:
        if index != self._hovered:
            self._hovered = index
            self._paint()

    def _set_focused(self, focused: bool) -> None:
        self._focused = focused
        self._paint()
