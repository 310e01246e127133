"""The gap between two panels, which can be taken hold of: drag it, or move it with the arrow keys."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme.theme import Theme

_STEP = 16.0  # our units a key moves it
_GRIP = (2.0, 36.0)  # what is seen of it, width and height


class Splitter(tk.Canvas):
    """on_move(pixels): by so much to the right. on_rest(): it was let go. on_reset(): a double click, or Home."""

    def __init__(
        self,
        master: tk.Misc,
        theme: Theme,
        *,
        on_move: Callable[[int], object],
        on_rest: Callable[[], object],
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
        self._theme, self._move, self._rest = theme, on_move, on_rest
        self._held: int | None = None  # where on the screen it was taken
        self._lit = self._focused = False
        self.bind("<Configure>", lambda _event: self._draw())
        self.bind("<Enter>", lambda _event: self._light(lit=True))
        self.bind("<Leave>", lambda _event: self._light(lit=False))
        self.bind("<FocusIn>", lambda _event: self._focus(focused=True))
        self.bind("<FocusOut>", lambda _event: self._focus(focused=False))
        self.bind("<Button-1>", self._taken)
        self.bind("<B1-Motion>", self._dragged)
        self.bind("<ButtonRelease-1>", self._let_go)
        for event in ("<Double-Button-1>", "<Home>"):
            self.bind(event, lambda _event: on_reset())
        for key, step in (("<Left>", -_STEP), ("<Right>", _STEP)):
            self.bind(key, lambda _event, step=step: self._stepped(theme.px(step)))  # type: ignore[misc]
        theme.follow(self, lambda _palette: self._draw())

    def _draw(self) -> None:
        palette, px = self._theme.palette, self._theme.px
        self.delete("all")
        self.configure(background=palette.page)
        wide, high = (px(length) for length in _GRIP)
        x, y = self.winfo_width() // 2, self.winfo_height() // 2
        ink = (
            palette.accent
            if self._focused or self._held is not None
            else palette.control
            if self._lit
            else palette.border
        )
        self.create_rectangle(x - wide // 2, y - high // 2, x - wide // 2 + wide, y + high // 2, fill=ink, width=0)

    def _light(self, *, lit: bool) -> None:
        self._lit = lit
        self._draw()

    def _focus(self, *, focused: bool) -> None:
        self._focused = focused
        self._draw()

    def _taken(self, event: tk.Event[Any]) -> None:
        self._held = event.x_root
        self._draw()

    def _dragged(self, event: tk.Event[Any]) -> None:
        if self._held is not None and event.x_root != self._held:
            by, self._held = event.x_root - self._held, event.x_root
            self._move(by)

    def _let_go(self, _event: object) -> None:
        if self._held is not None:
            self._held = None
            self._draw()
            self._rest()

    def _stepped(self, by: int) -> str:
        self._move(by)
        self._rest()
        return "break"
