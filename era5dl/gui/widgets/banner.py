"""A message across the page that says what is going on and what happens next."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from tkinter import ttk

from era5dl.gui.theme.theme import Theme

_LINGER = 600  # milliseconds before the place of a message that is over is given back: what flickers must not shake


class BannerKind(Enum):
    """How grave; each has its icon besides its colour."""

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
    """A button in the message."""

    text: str
    command: Callable[[], object]


class Banner(ttk.Frame):
    """Place it with grid or pack once; it takes no room while there is nothing to say."""

    def __init__(self, master: tk.Misc, theme: Theme, *, on_close: Callable[[], object] | None = None) -> None:
        """on_close: shows a cross and hears that the person closed the message."""
        super().__init__(master, style="Page.TFrame", height=1)
        self._theme, self._on_close = theme, on_close
        self._box = ttk.Frame(self, padding=(theme.px(12), theme.px(7), theme.px(8), theme.px(7)))
        self._icon = ttk.Label(self._box)
        self._text = ttk.Label(self._box, justify="left")
        self._button = ttk.Button(self._box)
        self._cross = ttk.Button(self._box, command=self._closed)
        self._icon.grid(row=0, column=0, padx=(0, theme.px(10)))
        self._text.grid(row=0, column=1, sticky="ew")
        self._box.columnconfigure(1, weight=1)
        self._kind = BannerKind.INFO
        self._leaving: str | None = None
        self.bind("<Configure>", self._resized, add="+")
        theme.follow(self, lambda _: self._paint())

    @property
    def text(self) -> str:
        """What it says now; empty when it is away or about to go."""
        return str(self._text["text"]) if self._box.winfo_manager() and self._leaving is None else ""

    def show(self, kind: BannerKind, text: str, action: BannerAction | None = None) -> None:
        """Say this; what it said before is replaced in place."""
        self._stay()
        self._kind = kind
        self._text.configure(text=text)
        if action is None:
            self._button.grid_remove()
        else:
            self._button.configure(text=action.text, command=action.command)
            self._button.grid(row=0, column=2, padx=(self._theme.px(10), 0))
        if self._on_close is not None:
            self._cross.grid(row=0, column=3, padx=(self._theme.px(6), 0))
        self._paint()
        if not self._box.winfo_manager():
            self._box.pack(fill="x", pady=(0, self._theme.px(8)))

    def hide(self, *, at_once: bool = False) -> None:
        """It is over."""
        self._stay()
        if not self._box.winfo_manager():
            return
        if at_once:
            self._gone()
        else:
            self._leaving = self.after(_LINGER, self._gone)

    def _gone(self) -> None:
        self._leaving = None
        self._box.pack_forget()
        self.configure(height=1)  # an empty frame keeps the height it had

    def _stay(self) -> None:
        if self._leaving is not None:
            self.after_cancel(self._leaving)
            self._leaving = None

    def _closed(self) -> None:
        self.hide(at_once=True)
        if self._on_close is not None:
            self._on_close()

    def _resized(self, _event: object) -> None:
        room = self.winfo_width() - self._theme.px(64)
        for button in (self._button, self._cross):
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
        self._cross.configure(style=f"Icon.{style}.TButton", image=self._theme.icon("cross", "muted", 14))
