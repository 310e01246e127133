"""Splitter: the gap between two panels, which the user moves with the mouse or the arrow keys."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme.theme import Theme

_STEP = 16.0  # unscaled pixels that an arrow key moves it
_GRIP = (2.0, 36.0)  # width and height of its visible part


class Splitter(tk.Canvas):
    """on_move(pixels): called when it is moved to the right by this distance. on_release(): called after the move.

    on_reset(): called for a double click or Home.
    """

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_move: Callable[[int], object],
        on_release: Callable[[], object],
        on_reset: Callable[[], object],
        width: float = 10,
    ) -> None:
        super().__init__(
            master,
            width=theme.px(width),
            height=1,
            highlightthickness=0,
            borderwidth=0,
            cursor="sb_h_double_arrow",
            takefocus=1,
        )
        self._theme, self._on_move, self._on_release = theme, on_move, on_release
        self._dragged_from: int | None = None  # x on the screen
        self._hovered = self._focused = False
        self.bind("<Configure>", lambda _event: self._draw())
        self.bind("<Enter>", lambda _event: self._hover(hovered=True))
        self.bind("<Leave>", lambda _event: self._hover(hovered=False))
        self.bind("<FocusIn>", lambda _event: self._focus(focused=True))
        self.bind("<FocusOut>", lambda _event: self._focus(focused=False))
        self.bind("<Button-1>", self._press)
        self.bind("<B1-Motion>", self._drag)
        self.bind("<ButtonRelease-1>", self._release)
        for event in ("<Double-Button-1>", "<Home>"):
            self.bind(event, lambda _event: on_reset())
        for key, step in (("<Left>", -_STEP), ("<Right>", _STEP)):
            self.bind(key, lambda _event, step=step: self._step(theme.px(step)))  # type: ignore[misc]
        theme.follow(self, lambda _palette: self._draw())

    def _draw(self) -> None:
        palette, px = self._theme.palette, self._theme.px
        self.delete("all")
        self.configure(background=palette.page)
        wide, high = (px(length) for length in _GRIP)
        x, y = self.winfo_width() // 2, self.winfo_height() // 2
        active = self._focused or self._dragged_from is not None
        colour = palette.accent if active else palette.control if self._hovered else palette.border
        self.create_rectangle(x - wide // 2, y - high // 2, x - wide // 2 + wide, y + high // 2, fill=colour, width=0)

    def _hover(self, *, hovered: bool) -> None:
        self._hovered = hovered
        self._draw()

    def _focus(self, *, focused: bool) -> None:
        self._focused = focused
        self._draw()

    def _press(self, event: tk.Event[Any]) -> None:
        self._dragged_from = event.x_root
        self._draw()

    def _drag(self, event: tk.Event[Any]) -> None:
        if self._dragged_from is not None and event.x_root != self._dragged_from:
            by, self._dragged_from = event.x_root - self._dragged_from, event.x_root
            self._on_move(by)

    def _release(self, _event: object) -> None:
        if self._dragged_from is not None:
            self._dragged_from = None
            self._draw()
            self._on_release()

    def _step(self, by: int) -> str:
        self._on_move(by)
        self._on_release()
        return "break"
