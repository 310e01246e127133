"""Tooltip: a short text beside the mouse when it rests on a widget."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme

_DELAY = 500  # ms that the mouse must rest
_WIDEST = 520  # unscaled pixels


class Tooltip:
    """Tooltip of one widget, whose bindings keep it alive. text: a text or a function; "" shows no tooltip."""

    def __init__(self, widget: tk.Misc, theme: Theme, text: str | Callable[[], str], *, delay: int = _DELAY) -> None:
        self._widget, self._theme, self._text, self._delay = widget, theme, text, delay
        self._window: tk.Toplevel | None = None
        self._timer: str | None = None
        widget.bind("<Enter>", self._start_timer, add="+")
        widget.bind("<Motion>", self._moved, add="+")
        for event in ("<Leave>", "<ButtonPress>", "<Key>", "<Destroy>", "<Unmap>"):
            widget.bind(event, lambda _: self.hide(), add="+")

    def set_texts(self, text: str | Callable[[], str]) -> None:
        """Set the text."""
        self._text = text

    @property
    def shown(self) -> bool:
        """Whether it is visible."""
        return self._window is not None

    def show(self) -> None:
        """Show it immediately."""
        self.hide()
        text = self._text if isinstance(self._text, str) else self._text()
        if not text:
            return
        palette, px = self._theme.palette, self._theme.px
        window = self._window = tk.Toplevel(self._widget, background=palette.text, padx=0, pady=0)
        window.withdraw()
        window.overrideredirect(True)
        tk.Label(window, text=text, background=palette.text, foreground=palette.card, font=scaling.SMALL,
            justify="left",
                 wraplength=px(_WIDEST), padx=px(8), pady=px(5)).pack()  # fmt: skip
        window.update_idletasks()
        x, y = self._widget.winfo_pointerx() + px(10), self._widget.winfo_pointery() + px(18)
        wide, high = window.winfo_reqwidth(), window.winfo_reqheight()
        x = max(0, min(x, window.winfo_screenwidth() - wide - px(4)))
        if y + high > window.winfo_screenheight():
            y = self._widget.winfo_pointery() - high - px(8)
        window.geometry(f"+{x}+{y}")
        window.deiconify()
        window.lift()

    def hide(self) -> None:
        """Hide it, or cancel it if it is about to appear."""
        if self._timer is not None:
            timer, self._timer = self._timer, None
            self._theme.root.after_cancel(timer)
        if self._window is not None:
            window, self._window = self._window, None
            window.destroy()

    def _start_timer(self, _event: tk.Event[Any]) -> None:
        self.hide()
        self._timer = self._theme.root.after(self._delay, self._timer_expired)

    def _moved(self, event: tk.Event[Any]) -> None:
        if self._window is None:
            self._start_timer(event)
        elif not isinstance(self._text, str):
            self.hide()  # its text may depend on the position
            self._start_timer(event)

    def _timer_expired(self) -> None:
        self._timer = None
        self.show()
