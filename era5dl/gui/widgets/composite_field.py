"""A field made of several widgets: its border shows the state of the entry inside it."""

from __future__ import annotations

import tkinter as tk
from tkinter import ttk
from typing import Any

from era5dl.gui.theme.theme import Theme


class CompositeField(ttk.Frame):
    """A field's frame with a bare `entry` in it; put pictures and buttons to its sides with `pack`."""

    def __init__(self, master: tk.Misc, theme: Theme, *, width: int = 20) -> None:
        super().__init__(master, style="Field.TFrame", padding=theme.px(3))
        self.theme = theme
        self.variable = tk.StringVar(self)
        self.entry = ttk.Entry(self, style="Bare.TEntry", textvariable=self.variable, width=width)
        self.entry.bind("<FocusIn>", lambda _: self.state(["focus"]), add="+")
        self.entry.bind("<FocusOut>", lambda _: self.state(["!focus"]), add="+")
        self.bind("<Enter>", lambda _: self.state(["active"]), add="+")
        self.bind("<Leave>", self._left, add="+")

    def _left(self, event: tk.Event[Any]) -> None:
        inside = 0 <= event.x < self.winfo_width() and 0 <= event.y < self.winfo_height()
        if not inside:  # else it only went over to a widget in the field
            self.state(["!active"])

    def picture(self, icon: str, colour: str = "muted", size: float = 16) -> IconLabel:
        """An icon on the ground of fields."""
        return IconLabel(self, self.theme, icon, colour, size)

    def mark_invalid(self, invalid: bool) -> None:
        """Ring it red or not. Say the reason in words nearby, too."""
        self.state(["invalid" if invalid else "!invalid"])


class IconLabel(tk.Label):
    """An icon on the ground of fields that can be clicked; it never takes the keyboard."""

    def __init__(self, master: tk.Misc, theme: Theme, icon: str, colour: str = "muted", size: float = 16) -> None:
        super().__init__(master, borderwidth=0, highlightthickness=0, takefocus=0)
        self._theme, self._icon, self._colour, self._size, self._hot = theme, icon, colour, size, False
        theme.follow(self, lambda _: self._paint())

    def on_click(self, command: Any) -> None:
        """Do this when it is clicked; it lights up below the mouse from now on."""
        self.bind("<Button-1>", lambda _: command(), add="+")
        self.bind("<Enter>", lambda _: self._light(True), add="+")
        self.bind("<Leave>", lambda _: self._light(False), add="+")

    def show(self, icon: str | None) -> None:
        """Another icon, or none."""
        self._icon = icon or ""
        self._paint()

    def _light(self, hot: bool) -> None:
        self._hot = hot
        self._paint()

    def _paint(self) -> None:
        image = self._theme.icon(self._icon, "text" if self._hot else self._colour, self._size) if self._icon else ""
        self.configure(background=self._theme.palette.field, image=image)
