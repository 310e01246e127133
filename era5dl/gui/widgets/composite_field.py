"""Entry field with icons beside the entry, such as a search or date field. The border shows the state of the entry."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk
from typing import Any

from era5dl.gui.theme.theme import Theme


class CompositeField(ttk.Frame):
    """Frame of a field with a borderless `entry`. Subclasses pack the entry, and icons beside it."""

    def __init__(self, master: tk.Misc, theme: Theme, *, width: int = 20) -> None:
        """width: width of the entry in characters."""
        super().__init__(master, style="Field.TFrame", padding=theme.px(3))
        self.theme = theme
        self.variable = tk.StringVar(self)
        self.entry = ttk.Entry(self, style="Bare.TEntry", textvariable=self.variable, width=width)
        self.entry.bind("<FocusIn>", lambda _: self.state(["focus"]), add="+")
        self.entry.bind("<FocusOut>", lambda _: self.state(["!focus"]), add="+")
        self.bind("<Enter>", lambda _: self.state(["active"]), add="+")
        self.bind("<Leave>", self._left, add="+")

    def add_icon(self, icon: str, size: float = 16) -> FieldIcon:
        """Create an icon on the background of the field. The caller packs it."""
        return FieldIcon(self, self.theme, icon, size)

    def mark_invalid(self, invalid: bool) -> None:
        """Show or remove a red ring. The caller also shows the error as a text."""
        self.state(["invalid" if invalid else "!invalid"])

    def _left(self, event: tk.Event[Any]) -> None:
        inside = 0 <= event.x < self.winfo_width() and 0 <= event.y < self.winfo_height()
        if not inside:  # else the mouse only moved to a widget in the field
            self.state(["!active"])


class FieldIcon(tk.Label):
    """An icon inside a field. It can be clicked, but never gets the keyboard focus."""

    def __init__(self, master: tk.Misc, theme: Theme, icon: str, size: float) -> None:
        super().__init__(master, borderwidth=0, highlightthickness=0, takefocus=0)
        self._theme, self._icon, self._size, self._hovered = theme, icon, size, False
        theme.follow(self, lambda _: self._paint())

    def on_click(self, command: Callable[[], object]) -> None:
        """Call `command` on each click, and highlight the icon below the mouse."""
        self.bind("<Button-1>", lambda _: command(), add="+")
        self.bind("<Enter>", lambda _: self._hover(True), add="+")
        self.bind("<Leave>", lambda _: self._hover(False), add="+")

    def show(self, icon: str | None) -> None:
        """Show another icon, or none."""
        self._icon = icon or ""
        self._paint()

    def _hover(self, hovered: bool) -> None:
        self._hovered = hovered
        self._paint()

    def _paint(self) -> None:
        colour = "text" if self._hovered else "muted"
        image = self._theme.icon(self._icon, colour, self._size) if self._icon else ""
        self.configure(background=self._theme.palette.field, image=image)
