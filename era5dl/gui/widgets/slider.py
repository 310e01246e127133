"""Slider: chooses one of many positions by mouse, wheel or keyboard, such as a time of a file."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme.palette import Palette
from era5dl.gui.theme.theme import Theme

_HEIGHT, _KNOB, _TRACK = 22, 7, 4  # unscaled pixels: of the widget, radius of the knob, thickness of the track


class Slider(tk.Canvas):
    """Keys: Left and Right by one, PgUp and PgDn by `page`, Home and End.

    on_change(position): called after each change by the user. page: positions of a larger step.
    """

    def __init__(self, master: tk.Misc, theme: Theme, *, on_change: Callable[[int], object], page: int = 10) -> None:
        super().__init__(
            master, height=theme.px(_HEIGHT), width=theme.px(120), highlightthickness=0, borderwidth=0, takefocus=1
        )
        self._theme, self._on_change, self._page = theme, on_change, page
        self._count, self._position, self._focused = 1, 0, False
        self.bind("<Configure>", lambda _event: self._draw())
        for event in ("<Button-1>", "<B1-Motion>"):
            self.bind(event, self._drag)
        for wheel, step in (("<Button-4>", -1), ("<Button-5>", 1)):
            self.bind(wheel, lambda _event, step=step: self.step(step))  # type: ignore[misc]
        self.bind("<MouseWheel>", lambda event: self.step(-1 if event.delta > 0 else 1))
        self.bind("<FocusIn>", lambda _event: self._set_focused(True))
        self.bind("<FocusOut>", lambda _event: self._set_focused(False))
        for key, action in self.key_actions().items():
            self.bind(f"<{key}>", lambda _event, action=action: action())  # type: ignore[misc]
        theme.follow(self, self._paint)

    @property
    def position(self) -> int:
        """The chosen position, from 0."""
        return self._position

    def key_actions(self) -> dict[str, Callable[[], str]]:
        """Return what each key does; a window may bind the same keys for all of its widgets."""
        return {
            "Left": lambda: self.step(-1),
            "Right": lambda: self.step(1),
            "Prior": lambda: self.step(-self._page),
            "Next": lambda: self.step(self._page),
            "Home": lambda: self.step(-self._count),
            "End": lambda: self.step(self._count),
        }

    def show(self, position: int, count: int) -> None:
        """Show one of `count` positions. `on_change` is not called."""
        if (position, count) != (self._position, self._count):
            self._position, self._count = position, count
            self._draw()

    def step(self, by: int) -> str:
        """Move by so many positions, as far as possible."""
        self._choose(self._position + by)
        return "break"

    def _choose(self, position: int) -> None:
        position = min(max(0, position), self._count - 1)
        if position != self._position:
            self._position = position
            self._draw()
            self._on_change(position)

    def _drag(self, event: tk.Event[Any]) -> None:
        self.focus_set()
        left, right = self._ends
        self._choose(round((event.x - left) / max(1, right - left) * (self._count - 1)))

    @property
    def _ends(self) -> tuple[int, int]:
        edge = self._theme.px(_KNOB + 2)
        return edge, max(edge + 1, self.winfo_width() - edge)

    def _set_focused(self, focused: bool) -> None:
        self._focused = focused
        self._draw()

    def _paint(self, palette: Palette) -> None:
        self.configure(background=palette.card)
        self._draw()

    def _draw(self) -> None:
        palette, px = self._theme.palette, self._theme.px
        self.delete("all")
        left, right = self._ends
        y = self.winfo_height() / 2
        x = left + (right - left) * self._position / max(1, self._count - 1)
        for start, end, colour in ((left, right, palette.track), (left, x, palette.accent)):
            self.create_line(start, y, end, y, fill=colour, width=px(_TRACK), capstyle="round")
        radius = px(_KNOB)
        ring = palette.accent_hover if self._focused else palette.card
        circle = (x - radius, y - radius, x + radius, y + radius)
        self.create_oval(*circle, fill=palette.accent, outline=ring, width=px(2))
