"""Toggle switch: a check box that looks like a switch."""

from __future__ import annotations

import tkinter as tk
from collections.abc import Callable
from tkinter import ttk

from era5dl.gui.theme.theme import Theme


class ToggleSwitch(ttk.Checkbutton):
    """Switch that Space, Return or a click toggles."""

    def __init__(
        self,
        master: tk.Misc,
        _theme: Theme,
        *,
        text: str,
        value: bool,
        on_change: Callable[[bool], object],
        on_page: bool = False,
    ) -> None:
        self._variable = tk.BooleanVar(master, value=value)
        style = "Page.Switch.TCheckbutton" if on_page else "Switch.TCheckbutton"
        super().__init__(
            master,
            text=text,
            variable=self._variable,
            style=style,
            command=lambda: on_change(self._variable.get()),
        )

    def get(self) -> bool:
        """Return whether it is on."""
        return self._variable.get()

    def set(self, value: bool) -> None:
        """Turn it on or off. `on_change` is not called."""
        self._variable.set(value)

    def set_texts(self, text: str) -> None:
        """Set the label."""
        self.configure(text=text)
