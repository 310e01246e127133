"""A few words beside the mouse when it rests, or below what the keyboard is on."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from typing import Any

from era5dl.gui.theme import scaling
from era5dl.gui.theme.theme import Theme

_REST = 500  # milliseconds the mouse must rest
_WIDEST = 520


class Tooltip:
    """Keeps itself alive by its bindings. `text` is asked at each showing; nothing is shown for an empty one."""

    def __init__(self, widget: tk.Misc, theme: Theme, text: str | Callable[[], str], *, rest: int = _REST) -> None:
        self._widget, self._theme, self._text, self._rest = widget, theme, text, rest
        self._window: tk.Toplevel | None = None
        self._waiting: str | None = None
        widget.bind("<Enter>", self._arm, add="+")
        widget.bind("<Motion>", self._moved, add="+")
        for event in ("<Leave>", "<ButtonPress>", "<Key>", "<Destroy>", "<Unmap>"):
            widget.bind(event, lambda _: self.hide(), add="+")

    def set_texts(self, text: str | Callable[[], str]) -> None:
        """Say this from now on."""
        self._text = text

    @property
    def shown(self) -> bool:
        """Whether it is on the screen."""
        return self._window is not None

    def show(self) -> None:
        """Show it now."""
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
        """Take it away, and do not show one that was about to come."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._theme.root.after_cancel(waiting)
        if self._window is not None:
            window, self._window = self._window, None
            window.destroy()

    def _arm(self, _event: tk.Event[Any]) -> None:
        self.hide()
        self._waiting = self._theme.root.after(self._rest, self._due)

    def _moved(self, event: tk.Event[Any]) -> None:
        if self._window is None:
            self._arm(event)
        elif not isinstance(self._text, str):
            self.hide()  # what it says may depend on the place
            self._arm(event)

    def _due(self) -> None:
        self._waiting = None
        self.show()
