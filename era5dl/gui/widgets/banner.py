"""Banner: a message across the width of a page, with an optional button."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from tkinter import ttk

from era5dl.gui.theme.theme import Theme

_HIDE_DELAY = 600  # ms; prevents the page from jumping when a message disappears and returns immediately


class BannerKind(Enum):
    """Severity; each kind has its own icon besides its colour."""

    INFO = "Info"
    OK = "Ok"
    WARNING = "Warn"
    DANGER = "Danger"


_ICONS = {
    BannerKind.INFO: ("info", "accent"),
    BannerKind.OK: ("done", "ok"),
    BannerKind.WARNING: ("warning", "warn"),
    BannerKind.DANGER: ("danger", "danger"),
}


@dataclass(frozen=True, slots=True)
class BannerAction:
    """A button in the banner."""

    text: str
    command: Callable[[], object]


class Banner(ttk.Frame):
    """Message bar that takes no room while it has no message. Place it once with grid or pack."""

    def __init__(self, master: tk.Misc, theme: Theme, *, on_close: Callable[[], object] | None = None) -> None:
        """on_close: called when the user closes the message; None for a banner without a close button."""
        super().__init__(master, style="Page.TFrame", height=1)
        self._theme, self._on_close = theme, on_close
        self._box = ttk.Frame(self, padding=(theme.px(12), theme.px(7), theme.px(8), theme.px(7)))
        self._icon = ttk.Label(self._box)
        self._text = ttk.Label(self._box, justify="left")
        self._button = ttk.Button(self._box)
        self._close_button = ttk.Button(self._box, command=self._close)
        self._icon.grid(row=0, column=0, padx=(0, theme.px(10)))
        self._text.grid(row=0, column=1, sticky="ew")
        self._box.columnconfigure(1, weight=1)
        self._kind = BannerKind.INFO
        self._hiding: str | None = None
        self.bind("<Configure>", self._resized, add="+")
        theme.follow(self, lambda _: self._paint())

    @property
    def text(self) -> str:
        """The message; "" if none is shown or it is about to disappear."""
        return str(self._text["text"]) if self._box.winfo_manager() and self._hiding is None else ""

    def show(self, kind: BannerKind, text: str, action: BannerAction | None = None) -> None:
        """Show a message, which replaces the previous one."""
        self._cancel_hiding()
        self._kind = kind
        self._text.configure(text=text)
        if action is None:
            self._button.grid_remove()
        else:
            self._button.configure(text=action.text, command=action.command)
            self._button.grid(row=0, column=2, padx=(self._theme.px(10), 0))
        if self._on_close is not None:
            self._close_button.grid(row=0, column=3, padx=(self._theme.px(6), 0))
        self._paint()
        if not self._box.winfo_manager():
            self._box.pack(fill="x", pady=(0, self._theme.px(8)))

    def hide(self, *, at_once: bool = False) -> None:
        """Hide the message, by default after a short delay."""
        self._cancel_hiding()
        if not self._box.winfo_manager():
            return
        if at_once:
            self._remove()
        else:
            self._hiding = self.after(_HIDE_DELAY, self._remove)

    def _remove(self) -> None:
        self._hiding = None
        self._box.pack_forget()
        self.configure(height=1)  # an empty frame would keep its height

    def _cancel_hiding(self) -> None:
        if self._hiding is not None:
            self.after_cancel(self._hiding)
            self._hiding = None

    def _close(self) -> None:
        self.hide(at_once=True)
        if self._on_close is not None:
            self._on_close()

    def _resized(self, _event: object) -> None:
        room = self.winfo_width() - self._theme.px(64)
        for button in (self._button, self._close_button):
            if button.winfo_manager():
                room -= button.winfo_reqwidth() + self._theme.px(12)
        self._text.configure(wraplength=max(self._theme.px(160), room))

    def _paint(self) -> None:
        style = f"{self._kind.value}.Banner"
        icon, colour = _ICONS[self._kind]
        self._box.configure(style=f"{style}.TFrame")
        self._text.configure(style=f"{style}.TLabel")
        self._icon.configure(style=f"{style}.TLabel", image=self._theme.icon(icon, colour, 18))
        self._button.configure(style=f"{style}.TButton")
        self._close_button.configure(style=f"Icon.{style}.TButton", image=self._theme.icon("cross", "muted", 14))
