"""A grid of chips of which any number is taken: years, months, days.

All of them are drawn on one canvas: 130 chips are there in a few milliseconds, and one Tab passes them.
"""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable, Iterable, Sequence
from tkinter import font, ttk
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.control_images import plate, ringed
from era5dl.gui.theme.theme import Theme

_GAP = 4
_HEIGHT = 27


class ToggleGrid(ttk.Frame):
    """Click or Space takes a chip or leaves it; dragging, or Shift with a click or an arrow, does so with a range.

    Arrows, Home, End, PgUp, PgDn move; Ctrl+A takes all. `on_change` gets the values taken.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        title: str,
        choices: Sequence[tuple[int, str]],
        on_change: Callable[[frozenset[int]], object],
        taken: Iterable[int] = (),
        columns: int = 0,
        least: float = 50,
        all_text: str = "All",
        none_text: str = "None",
    ) -> None:
        """choices: values and their texts, in order. columns: so many at most; 0 is as many as have room.

        least: width of a chip, in our units, below which fewer columns are made.
        """
        super().__init__(master)
        self._theme, self._on_change, self._columns, self._least = theme, on_change, columns, least
        self._choices = list(choices)
        self._taken: set[int] = set(taken)
        self._off: frozenset[int] = frozenset()
        self._cursor, self._anchor, self._under, self._focused = 0, 0, -1, False
        self._painting: bool | None = None  # what a drag does to chips it comes over
        self._font = font.nametofont(scaling.TEXT, root=self)
        self._title = ttk.Label(self, text=title, style="Head.TLabel")
        self._count = ttk.Label(self, style="Muted.TLabel")
        small = {"style": "Ghost.TButton", "padding": (theme.px(8), theme.px(2))}
        self._all = ttk.Button(self, text=all_text, command=lambda: self._replace(self._possible()), **small)  # type: ignore[arg-type]
        self._none = ttk.Button(self, text=none_text, command=lambda: self._replace(()), **small)  # type: ignore[arg-type]
        self.canvas = tk.Canvas(self, highlightthickness=0, borderwidth=0, takefocus=1, width=theme.px(320), height=1)
        self._title.grid(row=0, column=0, sticky="w")
        self._count.grid(row=0, column=1, sticky="w", padx=theme.px(8))
        self._all.grid(row=0, column=2, padx=theme.px(2))
        self._none.grid(row=0, column=3)
        self.canvas.grid(row=1, column=0, columnspan=4, sticky="ew", pady=(theme.px(4), 0))
        self.columnconfigure(1, weight=1)
        self._items: list[tuple[int, int]] = []
        self._shown: list[tuple[str, str]] = []
        self._across = 0
        self._bind_events()
        theme.follow(self, lambda _: self.restyle())

    # --- for those who use it

    def get(self) -> frozenset[int]:
        """The values taken."""
        return frozenset(self._taken)

    def set(self, values: Iterable[int]) -> None:
        """Take these without telling anybody."""
        self._taken = set(values)
        self._paint()

    def set_choices(self, choices: Sequence[tuple[int, str]]) -> None:
        """Other values or texts; what is taken and still there stays taken."""
        self._choices = list(choices)
        self._taken &= {value for value, _ in choices}
        self._cursor = min(self._cursor, max(0, len(choices) - 1))
        self._arrange()

    def set_enabled(self, values: Iterable[int] | None) -> None:
        """Only these can be taken; None is all. What is taken stays taken."""
        allowed = {value for value, _ in self._choices} if values is None else set(values)
        self._off = frozenset(value for value, _ in self._choices if value not in allowed)
        self._paint()

    def set_texts(
        self, *, title: str, all_text: str, none_text: str, choices: Sequence[tuple[int, str]] | None = None
    ) -> None:
        """Another language."""
        self._title.configure(text=title)
        self._all.configure(text=all_text)
        self._none.configure(text=none_text)
        if choices is not None:
            self.set_choices(choices)

    def restyle(self) -> None:
        """Repaint in the colours of now; done by itself at a switch."""
        self.canvas.configure(background=self._theme.palette.card)
        self._arrange()

    def place_of(self, value: int) -> tuple[int, int]:
        """The middle of a chip on the canvas; for tests."""
        number = [known for known, _ in self._choices].index(value)
        left, top, wide, high = self._box(number)
        return left + wide // 2, top + high // 2

    # --- drawing

    def _arrange(self) -> None:
        px, width = self._theme.px, self.canvas.winfo_width()
        gap, least = px(_GAP), px(self._least)
        least = max(least, max((self._font.measure(text) for _, text in self._choices), default=0) + px(10))
        across = max(1, (width + gap) // (least + gap))
        self._across = max(1, min(across, self._columns or across, len(self._choices)))
        self._wide = max(least, (width + gap) // self._across - gap) if width > 1 else least
        rows = -(-len(self._choices) // self._across)
        self.canvas.configure(height=max(1, rows * (px(_HEIGHT) + gap) - gap))
        self.canvas.delete("all")
        self._items, self._shown = [], []
        for number, (_, text) in enumerate(self._choices):
            left, top, wide, high = self._box(number)
            image = self.canvas.create_image(left, top, anchor="nw")
            label = self.canvas.create_text(left + wide // 2, top + high // 2, text=text, font=self._font)
            self._items.append((image, label))
            self._shown.append(("", ""))
        self._paint()

    def _box(self, number: int) -> tuple[int, int, int, int]:
        row, column = divmod(number, self._across)
        gap, high = self._theme.px(_GAP), self._theme.px(_HEIGHT)
        return column * (self._wide + gap), row * (high + gap), self._wide, high

    def _paint(self) -> None:
        for number, (image, label) in enumerate(self._items):
            theme = self._look_of(number)
            if theme != self._shown[number]:
                self._shown[number] = theme
                self.canvas.itemconfigure(image, image=theme[0])
                self.canvas.itemconfigure(label, fill=theme[1])
        self._count.configure(text=f"{len(self._taken)}" if self._taken else "")

    def _look_of(self, number: int) -> tuple[str, str]:
        """Picture and colour of the text of a chip."""
        p, value = self._theme.palette, self._choices[number][0]
        size = (self._theme, self._wide, self._theme.px(_HEIGHT))
        taken, here = value in self._taken, self._focused and number == self._cursor
        if value in self._off:
            edge = p.accent if here else p.line
            return plate(*size, p.track if taken else p.card, edge, ground=p.card), p.faint
        if taken:
            fill = p.accent_hover if number == self._under else p.accent
            if here:
                return ringed(*size, fill, p.accent, ground=p.card), p.on_accent
            return plate(*size, fill, fill, ground=p.card), p.on_accent
        fill = p.hover if number == self._under else p.field
        return plate(*size, fill, p.border, ground=p.card, ring=p.accent if here else None), p.text

    # --- what is taken

    def _possible(self) -> list[int]:
        return [value for value, _ in self._choices if value not in self._off]

    def _replace(self, values: Iterable[int]) -> None:
        values = set(values)
        if values != self._taken:
            self._taken = values
            self._paint()
            self._on_change(self.get())

    def _put(self, numbers: Iterable[int], taken: bool) -> None:
        values = {self._choices[number][0] for number in numbers} - self._off
        self._replace(self._taken | values if taken else self._taken - values)

    def _is_taken(self, number: int) -> bool:
        return self._choices[number][0] in self._taken

    # --- mouse and keys

    def _bind_events(self) -> None:
        canvas = self.canvas
        canvas.bind("<Configure>", lambda _: self._arrange())
        canvas.bind("<Button-1>", self._press)
        canvas.bind("<Shift-Button-1>", self._press_range)
        canvas.bind("<B1-Motion>", self._drag)
        canvas.bind("<Motion>", lambda event: self._light(self._at(event)))
        canvas.bind("<Leave>", lambda _: self._light(-1))
        canvas.bind("<FocusIn>", lambda _: self._focus(True))
        canvas.bind("<FocusOut>", lambda _: self._focus(False))
        for key in ("Left", "Right", "Up", "Down", "Home", "End", "Prior", "Next"):
            canvas.bind(f"<{key}>", lambda _, key=key: self._move(key, False))  # type: ignore[misc]
            canvas.bind(f"<Shift-{key}>", lambda _, key=key: self._move(key, True))  # type: ignore[misc]
        for key in ("<space>", "<Return>"):
            canvas.bind(key, lambda _: self._toggle())
        for key in ("<Control-a>", "<Control-A>"):
            canvas.bind(key, lambda _: self._replace(self._possible()))

    def _at(self, event: tk.Event[Any]) -> int:
        gap = self._theme.px(_GAP)
        column, row = event.x // (self._wide + gap), event.y // (self._theme.px(_HEIGHT) + gap)
        number = int(row * self._across + column)
        return number if 0 <= column < self._across and 0 <= number < len(self._choices) else -1

    def _press(self, event: tk.Event[Any]) -> None:
        self.canvas.focus_set()
        number = self._at(event)
        self._painting = None
        if number >= 0:
            self._cursor = self._anchor = number
            self._painting = not self._is_taken(number)
            self._put([number], self._painting)
            self._paint()

    def _press_range(self, event: tk.Event[Any]) -> None:
        self.canvas.focus_set()
        number = self._at(event)
        if number >= 0:
            self._range_to(number)

    def _drag(self, event: tk.Event[Any]) -> None:
        number = self._at(event)
        if number >= 0 and self._painting is not None:
            self._cursor = number
            self._put([number], self._painting)
            self._light(number)

    def _range_to(self, number: int) -> None:
        """From where the last one was taken or left up to here, as that one."""
        low, high = sorted((self._anchor, number))
        taken = self._is_taken(self._anchor)
        self._cursor = number
        self._put(range(low, high + 1), taken)
        self._paint()

    def _move(self, key: str, extend: bool) -> str:
        if not self._choices:
            return "break"
        last, row = len(self._choices) - 1, self._across
        steps = {"Left": -1, "Right": 1, "Up": -row, "Down": row, "Prior": -3 * row, "Next": 3 * row}
        if key in steps:
            goal = self._cursor + steps[key]
            if not 0 <= goal <= last:
                goal = self._cursor if abs(steps[key]) == row else max(0, min(last, goal))
        else:
            goal = 0 if key == "Home" else last
        if extend:
            self._range_to(goal)
        else:
            self._cursor = goal
            self._paint()
        return "break"

    def _toggle(self) -> str:
        if self._choices:
            self._anchor = self._cursor
            self._put([self._cursor], not self._is_taken(self._cursor))
        return "break"

    def _light(self, number: int) -> None:
        if number != self._under:
            self._under = number
            self._paint()

    def _focus(self, focused: bool) -> None:
        self._focused = focused
        self._paint()
